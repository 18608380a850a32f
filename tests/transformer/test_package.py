"""What `import transformer` gives, and what it costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import transformer


def test_names_come_from_their_homes_when_they_are_asked_for():
    code = (
        "import sys, transformer\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
        "assert 'load_model' in dir(transformer)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'tran'"):
        transformer.tran  # noqa: B018


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


def test_a_star_brings_them_all():
    names: dict[str, object] = {}
    exec("from transformer import *", names)
    assert set(transformer._HOMES) <= set(names)
