"""Importing and starting up are light."""

import signal
import subprocess
import sys
import time

import pytest


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


@pytest.mark.parametrize("after_s", [0.1, 0.4])
def test_an_interrupted_start_is_one_line(after_s):
    command = [sys.executable, "-m", "coopetition", "solve", "--max-steps", "1000000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in error
