"""Commands are found by their files; what stops one decides its exit code."""

import os
import signal
import sys
from pathlib import Path

import pytest

from coopetition.tools.commands import run_as_program, run_commands
from coopetition.tools.errors import Interrupted, UsageError, UserError

COMMAND = '''"""Greet somebody.

More about it.
"""

import ruinous
from dataclasses import dataclass

@dataclass
class Flags:
    name: str = "you"
    """Whom."""

def run(flags):
    print("hello", flags.name)
'''


@pytest.fixture
def program(tmp_path, monkeypatch):
    folder = tmp_path / "greetings"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A program."""\n')
    (folder / "hello.py").write_text(COMMAND.replace("import ruinous\n", ""))
    (folder / "heavy.py").write_text(COMMAND)
    (folder / "_shared.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda *arguments: run_commands("greetings", "greet", arguments)
    for name in [name for name in sys.modules if name.startswith("greetings")]:
        del sys.modules[name]


def test_a_command_is_added_by_one_file(program, capsys):
    assert program("hello", "--name", "world") == 0
    assert capsys.readouterr().out == "hello world\n"
    with pytest.raises(SystemExit):
        program("hello", "--help")
    assert "More about it." in capsys.readouterr().out


def test_help_lists_commands_without_importing_them(program, capsys):
    assert program("--help") == 0
    shown = capsys.readouterr().out
    assert "A program." in shown and "  heavy  Greet somebody.\n" in shown and "shared" not in shown
    assert program() == 2
    assert program("dance") == 2
    assert "unknown command 'dance'; choose one of heavy, hello" in capsys.readouterr().err
    assert program("--version") == 0


def test_a_shell_can_complete_commands_and_flags(program, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ruinous", sys)
    with pytest.raises(SystemExit) as end:
        program("--tyro-print-completion", "bash")
    script = capsys.readouterr().out
    assert not end.value.code and "hello" in script and "--name" in script
    for shells in ([], ["dos"]):
        assert program("--tyro-print-completion", *shells) == 2
        assert "choose one of bash, zsh, fish, tcsh" in capsys.readouterr().err


def test_a_command_that_is_stopped_while_it_is_imported_says_so(program, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ruinous", None)
    with pytest.raises(ImportError):
        program("heavy")
    ruinous = Path(sys.path[0], "ruinous.py")
    ruinous.write_text("raise KeyboardInterrupt\n")
    monkeypatch.delitem(sys.modules, "ruinous")
    assert program("heavy") == 130
    assert capsys.readouterr().err == "greet: interrupted\n"


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("that is wrong"), 2, "p: error: that is wrong"),
        (UserError("it failed"), 1, "p: error: it failed"),
        (Interrupted("stopped at step 3", signal.SIGINT), 130, "p: stopped at step 3"),
        (Interrupted("stopped at step 3", signal.SIGTERM), 143, "p: stopped at step 3"),
        (KeyboardInterrupt(), 130, "p: interrupted"),
        (MemoryError(), 1, "p: error: not enough memory for this; choose smaller sizes"),
        (OSError(28, "No space left on device"), 1,
         "p: error: [Errno 28] No space left on device (the disk is full: free some space)"),
    ],
)  # fmt: skip
def test_what_stops_a_command_is_one_line_and_its_code(capsys, error, code, line):
    assert run_as_program(raising(error), "p") == code
    assert capsys.readouterr().err == line + "\n"


def test_a_mistake_of_ours_is_not_hidden():
    for error in (RuntimeError("a bug"), AssertionError()):
        with pytest.raises(type(error)):
            run_as_program(raising(error), "p")


def test_a_terminated_command_cleans_up_and_says_so(capsys):
    cleaned = []

    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(True)

    before = signal.getsignal(signal.SIGTERM)
    assert run_as_program(work, "p") == 143
    assert capsys.readouterr().err == "p: terminated\n" and cleaned
    assert signal.getsignal(signal.SIGTERM) is before
