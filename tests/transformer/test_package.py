"""What `import transformer` provides, and what start-up costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import transformer

HELP = """
import contextlib, pkgutil, sys
from transformer import cli
names = [each.name for each in pkgutil.iter_modules(cli.__path__) if not each.name.startswith("_")]
for name in names:
    with contextlib.suppress(SystemExit):
        cli.main([name.replace("_", "-"), "--help"])
"""
HEAVY = "print(*{'torch', 'scipy', 'sympy', 'matplotlib', 'pandas'} & set(sys.modules))"
REGISTRIES = """
import sys
from transformer.config.data import EXEMPLAR_KINDS, MODES
from transformer.config.encoders import ENCODERS
from transformer.config.evaluators import EVALUATORS
assert all(map(len, (EXEMPLAR_KINDS, MODES, ENCODERS, EVALUATORS)))
from transformer.experiments.presets import PRESETS
PRESETS["smoke"].config("cpu").run_id()
"""


def last_line(program: str) -> str:
    """Return the last line that a new process prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[
        -2
    ]


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, transformer; assert 'load_model' in dir(transformer); "
    assert last_line(program + HEAVY) == ""
    with pytest.raises(AttributeError, match="'tran'"):
        transformer.tran  # noqa: B018


@pytest.mark.parametrize("program", [REGISTRIES, HELP], ids=["registries", "help of all commands"])
def test_start_up_imports_nothing_heavy(program):
    assert last_line(program + HEAVY) == ""


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(transformer.__file__).read_text())
    imports = [
        (alias.name, node.module)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert dict(imports) == transformer._HOMES
    for name in transformer._HOMES:
        assert getattr(transformer, name).__name__ == name
