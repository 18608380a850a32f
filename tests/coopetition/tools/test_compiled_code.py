"""Compiled code is kept on disk, read by later processes, and compiled again if damaged."""

import errno
import os
import signal
import subprocess
import sys

import numba
import pytest
from numba.core import event

from coopetition.tools.compiled_code import cache_folder, ensure_compiled, jit_source
from coopetition.tools.signals import END_SIGNALS

PROGRAM = """
from coopetition.tools.compiled_code import ensure_compiled, jit_source
twice = jit_source("def twice(x):\\n    return x + x\\n", "twice")
print(ensure_compiled(twice, "a sum", 1.5)(1.5))
"""
COMPILING = "compiling a sum (once on this machine)\n"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COOPETITION_CACHE", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return tmp_path


def load():
    return jit_source("def twice(x):\n    return x + x\n", "twice")


def run(program, **environment):
    """Return standard output and error of another process."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_code_is_compiled_once_and_read_by_other_processes(cache):
    assert run(PROGRAM) == ("3.0\n", COMPILING)
    assert [path.suffix for path in cache.iterdir() if path.is_file()] == [".py"]
    assert run(PROGRAM) == ("3.0\n", "")


@pytest.mark.parametrize("suffix", [".py", ".nbi", ".nbc"])
@pytest.mark.parametrize(
    "damage", [lambda whole: b"no such file", lambda whole: whole[: len(whole) // 2]]
)
def test_damaged_code_is_compiled_again(cache, suffix, damage):
    ensure_compiled(load(), "a sum", 1.5)
    (path,) = cache.rglob(f"*{suffix}")
    content = damage(path.read_bytes())
    path.write_bytes(content)
    assert ensure_compiled(load(), "a sum", 1.5)(1.5) == 3.0
    assert path.read_bytes() != content or suffix == ".py"
    again = load()
    assert ensure_compiled(again, "a sum", 1.5)(1.5) == 3.0 and again.stats.cache_hits


def test_a_folder_that_cannot_be_written_gives_one_warning(cache, monkeypatch, capsys):
    (cache / "file").touch()
    folder = cache / "file" / "folder"
    monkeypatch.setenv("COOPETITION_CACHE", str(folder))
    jit_source("def other():\n    pass\n", "other")
    assert ensure_compiled(load(), "a sum", 1.5)(1.5) == 3.0
    warning, line = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: compiled code cannot be kept in {folder}; ")
    assert line == "compiling a sum"


def test_a_disk_that_is_full_gives_one_warning(cache, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    twice = load()
    monkeypatch.setattr(os, "replace", full)
    assert ensure_compiled(twice, "a sum", 1.5)(1.5) == 3.0
    assert capsys.readouterr().err.count("warning: compiled code cannot be kept in ") == 1


def test_without_compilation_the_python_functions_run(cache):
    """Debuggers and coverage tools need that."""
    code = """
import numpy as np
import coopetition as co
model, draw = co.two_strategies(), co.random_draw(0, dict.fromkeys("abcd", 2))
assert co.descend(model, draw, n_steps=3).n_steps == 3
curves = co.theories()["toy"].curves(np.full(8, 1.5), np.linspace(0, 0.1, 3))
print(curves.shape)
"""
    assert run(code, NUMBA_DISABLE_JIT="1")[0] == "(4, 3)\n"


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("COOPETITION_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "coopetition"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, by the standard
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "coopetition"


@pytest.mark.parametrize("number", [signal.SIGINT, *END_SIGNALS])
def test_an_interrupt_waits_until_the_code_is_compiled(cache, number, monkeypatch):
    class Stop(KeyboardInterrupt):
        pass

    def stop(*_):
        raise Stop

    class Sender(event.Listener):
        def on_start(self, event):
            os.kill(os.getpid(), number)

        def on_end(self, event):
            pass

    before = signal.signal(number, stop)
    twice = load()
    try:
        with event.install_listener("numba:compile", Sender()), pytest.raises(Stop):
            ensure_compiled(twice, "a sum", 1.5)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    assert (numba.typeof(1.5),) in twice.overloads
