"""Imports point one way: between packages, between folders, and between modules."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("paper_figures", "transformer", "coopetition")
FOLDERS = {  # each imports only from those after it
    "coopetition": (
        "cli",
        "explorer",
        "plot",
        "fitting",
        "studies",
        "theory",
        "dynamics",
        "model",
        "tools",
    ),
    "transformer": (
        "cli",
        "experiments",
        "sweeps",
        "runs",
        "training",
        "measures",
        "interventions",
        "model",
        "data",
        "config",
    ),
}
AT_CALL_TIME = {  # file -> folder that it may import inside a function, against the direction
    "coopetition.cli.demo": {"paper_figures"},  # the console command that shows everything
    "coopetition.cli.explore": {"paper_figures"},  # the runs that its page overlays
}
# a registry names the folder that it scans when it is first asked: the one way up in a package
SCANNED = {
    "transformer.config.encoders": {"transformer.data.encoders"},
    "transformer.config.evaluators": {"transformer.data.evaluators"},
    "transformer.config.data": {"transformer.data.exemplars", "transformer.data.modes"},
    "transformer.config.interventions": {"transformer.interventions"},
    "transformer.interventions.grafts": {"transformer.runs.models"},
}
DRAWN = {"coopetition.dynamics", "coopetition.studies", "coopetition.fitting"}  # results that plot


def files_of(package: str) -> dict[str, Path]:
    """Module name -> file, of a package."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = {name: path for package in PACKAGES for name, path in files_of(package).items()}


def imports(module: str) -> Iterator[tuple[str, bool]]:
    """Our own modules that a module imports, anywhere in it, and whether inside a function.

    A string that is a module's name counts too: something will import by it.
    """
    tree = ast.parse(MODULES[module].read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            whole = node.module or ""
            names = [f"{whole}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else whole for name in names]
        elif isinstance(node, ast.Constant) and "." in str(node.value):
            names = [str(node.value)]
        else:
            continue
        for name in names:
            if name in MODULES:
                yield name, id(node) in inside


def folder_of(module: str) -> tuple[str, str]:
    """Package and folder; a file that lies in no folder is the package's own."""
    package, *rest = module.split(".")
    folder = rest[0] if rest and (ROOT / package / rest[0]).is_dir() else ""
    return package, folder


def height(module: str) -> tuple[int, int]:
    """Place in the order of packages and folders: what is imported must not be higher."""
    package, folder = folder_of(module)
    folders = FOLDERS.get(package, ())
    return PACKAGES.index(package), folders.index(folder) if folder in folders else -1


def is_allowed(module: str, name: str, lazily: bool) -> bool:
    """Is an import one of the three exceptions?"""
    draws = ".".join(folder_of(module)) in DRAWN and folder_of(name) == ("coopetition", "plot")
    called = folder_of(name)[0] in AT_CALL_TIME.get(module, set())
    return name in SCANNED.get(module, set()) or (lazily and (draws or called))


@pytest.mark.parametrize("package", FOLDERS)
def test_every_folder_has_a_place_in_the_order(package):
    folders = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert folders == set(FOLDERS[package])


def test_imports_point_one_way():
    against = [
        f"{module} imports {name}"
        for module in MODULES
        for name, lazily in imports(module)
        if height(name) < height(module) and not is_allowed(module, name, lazily)
    ]
    assert not against


def test_no_file_is_in_a_circle_of_imports():
    graph = {
        module: {name for name, _ in imports(module)} - {module, *SCANNED.get(module, set())}
        for module in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_module_reaches_into_the_private_names_of_another():
    reached = [
        f"{module}: {alias.name}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "") in MODULES
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert not reached
