"""The reference has every public name once."""

import ast
import importlib.util
import re
from importlib import import_module

import pytest

import coopetition
import transformer
import transformer.config
from tests.test_docs import PAGES, ROOT
from transformer.config.interventions import INTERVENTIONS

PACKAGES = ("coopetition", "transformer", "paper_figures")
SCRIPTS = [*(ROOT / "examples").glob("*.py"), *(ROOT / "docs" / "_tutorial").glob("*.py")]


@pytest.fixture(scope="module")
def documented():
    path = ROOT / "docs" / "_ext" / "reference_pages.py"
    spec = importlib.util.spec_from_file_location("reference_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.documented_names()


def find(name):
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


def test_no_name_is_documented_twice(documented):
    assert len({*documented}) == len(documented)


@pytest.mark.parametrize("package", [coopetition, transformer, transformer.config])
def test_all_names_of_a_package_are_documented(package, documented):
    assert {f"{package.__name__}.{name}" for name in package.__all__} <= {*documented}


def test_all_interventions_are_documented(documented):
    classes = {f"{each.__module__}.{each.__qualname__}" for each in dict(INTERVENTIONS).values()}
    assert classes <= {*documented}


def test_documented_names_exist_and_have_texts(documented):
    assert all(find(name).__doc__ for name in documented)


def undocumented_imports(text, documented):
    """Yield what a text imports from the packages, by any path, and the reference lacks."""
    values = [find(name) for name in documented]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PACKAGES:
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                if not any(find(name) is value for value in values):
                    yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_imports_is_documented(page, documented):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert not [name for block in blocks for name in undocumented_imports(block, documented)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_what_an_example_imports_is_documented(script, documented):
    assert not [*undocumented_imports(script.read_text(), documented)]
