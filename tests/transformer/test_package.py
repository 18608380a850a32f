"""What `import transformer` provides, and what start-up costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import transformer

HELP = """
import sys
from transformer.cli import main
try:
    main([*{command!r}, "--help"])
except SystemExit:
    pass
"""
HEAVY = "print(*{'torch', 'scipy', 'sympy', 'matplotlib', 'pandas'} & set(sys.modules))"
REGISTRIES = """
import sys
from transformer.config.data import EXEMPLAR_KINDS, MODES
from transformer.config.encoders import ENCODERS
from transformer.config.evaluators import EVALUATORS
from transformer.config import RunConfig
assert all(map(len, (EXEMPLAR_KINDS, MODES, ENCODERS, EVALUATORS)))
RunConfig().run_id()
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


def test_configs_and_registries_import_nothing_heavy():
    assert last_line(REGISTRIES + HEAVY) == ""


@pytest.mark.parametrize("command", [[], ["data"], ["embed"], ["separation"], ["train-encoder"]])
def test_help_imports_nothing_heavy(command):
    assert last_line(HELP.format(command=command) + HEAVY) == ""


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


def test_a_star_import_brings_all_names():
    names: dict[str, object] = {}
    exec("from transformer import *", names)
    assert set(transformer._HOMES) <= set(names)
