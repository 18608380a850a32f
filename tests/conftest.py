"""Settings shared by all tests."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

# One thread each: two test processes with two spinning threads each would stand in their own way.
os.environ["OMP_NUM_THREADS"] = "1"
# Compiled kernels are those of one run: of the first process, which removes them, and its workers.
if "COOPETITION_CACHE" not in os.environ:
    _kept = tempfile.TemporaryDirectory(prefix="coopetition-tests-")
    os.environ["COOPETITION_CACHE"] = _kept.name

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None, print_blob=True, max_examples=50)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, max_examples=50)
settings.register_profile("nightly", deadline=None, print_blob=True, max_examples=2000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)

SHARED = Path(__file__).resolve().parents[2] / "shared"
REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    """Close what a test left open, so that no test sees the figures of another."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def call(capsys) -> Callable[..., str]:
    """Call a program as its user does, but in this process.

    Gives its standard output, or of a call that is expected to fail its one line of error.
    """

    def call(program: str, *arguments: object, expect: int = 0) -> str:
        capsys.readouterr()
        code = import_module(f"{program}.cli").main([str(each) for each in arguments])
        done = capsys.readouterr()
        assert code == expect, done.err + done.out
        if expect == 0:
            return done.out
        assert done.err.endswith("\n")
        return done.err.splitlines()[-1]

    return call


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """A run of the preset `smoke`, trained once."""
    from transformer import load_run
    from transformer.cli import main

    folder = tmp_path_factory.mktemp("trained") / "smoke"
    flags = ["--preset", "smoke", "--out", str(folder), "--threads", "1"]
    assert main(["train", *flags, "--execution", "eager"]) == 0
    return load_run(folder)
