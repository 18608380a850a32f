"""Versions of packages in records."""

from coopetition.tools.versions import package_version


def test_a_package_that_is_not_installed_has_no_version():
    """It can be imported from its folder."""
    assert package_version("numpy").split(".")[0].isdecimal()
    assert package_version("no-such-package") == "not installed"
