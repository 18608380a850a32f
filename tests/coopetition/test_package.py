"""Importing and starting up are light."""

import subprocess
import sys


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_the_theory_is_light():
    """No torch, and under half a second more than numpy and scipy (best of five)."""
    code = """
import sys, time
import numpy, scipy
start = time.perf_counter()
import coopetition
seconds = time.perf_counter() - start
assert "torch" not in sys.modules and "matplotlib" not in sys.modules
print(seconds)
"""
    assert min(float(python(code)) for _ in range(5)) < 0.5


def test_help_is_shown_without_what_is_heavy():
    for program in ("coopetition", "transformer"):
        code = f"""
import sys
from {program}.cli import main
assert main(["--help"]) == 0
print([name for name in ("torch", "numba", "sympy", "matplotlib") if name in sys.modules])
"""
        assert python(code).splitlines()[-1] == "[]"
