"""Versions of packages, for the records of results."""

from importlib.metadata import PackageNotFoundError, version


def package_version(name: str) -> str:
    """Return the version of a package; "not installed" for one that is imported from a folder."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
