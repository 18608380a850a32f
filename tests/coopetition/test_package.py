"""Importing the package and showing help load no heavy package."""

import subprocess
import sys
from pathlib import Path

import pytest

import coopetition as co
from coopetition import cli

HEAVY = ("torch", "scipy", "sympy", "numba", "matplotlib", "pandas")
COMMANDS = [path.stem for path in Path(cli.__file__).parent.glob("[a-z]*.py")]


def loaded_by(code: str) -> list[str]:
    """Return the heavy packages that a program loads."""
    code += f"\nimport sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return eval(done.stdout.splitlines()[-1])


def test_importing_the_theory_is_light():
    code = "import coopetition as co; co.Trajectory; co.Problem; assert callable(co.solve)"
    assert loaded_by(code) == []


@pytest.mark.parametrize("program", ["coopetition", "transformer"])
def test_help_of_a_program_is_light(program):
    assert loaded_by(f"from {program}.cli import main; assert main(['--help']) == 0") == []


def test_help_of_every_command_is_light():
    code = f"""
from coopetition.cli import main
for command in {COMMANDS}:
    try:
        main([command, "--help"])
    except SystemExit as end:
        assert not end.code, command
"""
    assert len(COMMANDS) == 9 and loaded_by(code) == []


def test_every_exported_name_is_there_and_no_other():
    assert all(getattr(co, name) is not None for name in co.__all__)
    assert set(co.__all__) <= set(dir(co))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = co.nonsense
