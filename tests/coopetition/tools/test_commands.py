"""Commands are found by their files, errors are one line, and exit codes say what happened."""

import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from coopetition.tools.commands import run_as_program, run_commands
from coopetition.tools.errors import Interrupted, UsageError, UserError
from coopetition.tools.files import NO_SPACE

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


SEVERAL = '''"""Commands that share a module."""

from dataclasses import dataclass

@dataclass
class Count:
    """Count to a number."""

    last: int = 2
    """The number."""

    def execute(self):
        print(*range(self.last))

class Helper:
    """No command."""
'''


@pytest.fixture
def program(tmp_path, monkeypatch):
    folder = tmp_path / "greetings"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A program."""\n')
    (folder / "hello.py").write_text(COMMAND.replace("import ruinous\n", ""))
    (folder / "heavy.py").write_text(COMMAND)
    (folder / "several.py").write_text(SEVERAL)
    (folder / "_shared.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda *arguments: run_commands("greetings", "greet", arguments)
    for name in [name for name in sys.modules if name.startswith("greetings")]:
        del sys.modules[name]


def test_a_module_or_a_class_is_a_command(program, capsys):
    assert program("hello", "--name", "world") == program("count", "--last", "3") == 0
    assert capsys.readouterr().out == "hello world\n0 1 2\n"
    with pytest.raises(SystemExit):
        program("hello", "--help")
    assert "More about it." in capsys.readouterr().out


def test_help_lists_commands_without_importing_them(program, capsys):
    assert program("--help") == 0
    shown = capsys.readouterr().out
    assert "A program." in shown and "  heavy  Greet somebody.\n" in shown
    assert "  count  Count to a number.\n" in shown
    assert not any(name in shown for name in ("shared", "several", "helper"))
    assert program() == 2
    assert program("dance") == 2
    error = capsys.readouterr().err
    assert "dance" in error and "count, heavy, hello" in error
    assert program("--version") == 0


def test_a_shell_can_complete_commands_and_flags(program, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ruinous", sys)
    with pytest.raises(SystemExit) as end:
        program("--tyro-print-completion", "bash")
    script = capsys.readouterr().out
    assert not end.value.code and "hello" in script and "--name" in script
    for shells in ([], ["dos"]):
        assert program("--tyro-print-completion", *shells) == 2


def test_an_interrupt_during_the_import_of_a_command_is_reported(program, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ruinous", None)
    with pytest.raises(ImportError):
        program("heavy")
    Path(sys.path[0], "ruinous.py").write_text("raise KeyboardInterrupt\n")
    monkeypatch.delitem(sys.modules, "ruinous")
    assert program("heavy") == 130
    assert capsys.readouterr().err == "greet: interrupted\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("wrong"), 2),
        (UserError("failed"), 1),
        (Interrupted("stopped", signal.SIGINT), 130),
        (Interrupted("stopped", signal.SIGTERM), 143),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 1),
        (OSError(28, "No space left on device"), 1),
    ],
)
def test_what_stops_a_command_is_one_line_and_an_exit_code(capsys, error, code):
    def work():
        raise error

    assert run_as_program(work, "p") == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("p: ") and (isinstance(error, MemoryError) or str(error) in line)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 745.06 GiB. GPU 0 has a total of 9"),
        MemoryError("Unable to allocate 745.06 GiB for an array with shape (100000000000,)"),
    ],
)
def test_a_lack_of_memory_names_the_request(capsys, error):
    def work():
        raise error

    assert run_as_program(work, "p") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "memory" in line and "745.06 GiB" in line


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_lack_of_space_is_explained(capsys, number):
    def work():
        raise OSError(number, "as the system says")

    assert run_as_program(work, "p") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "as the system says" in line and NO_SPACE[number] in line


@pytest.mark.parametrize("message", ["a bug", "CUDA error: an illegal memory access"])
def test_programming_errors_are_not_hidden(message):
    def work():
        raise RuntimeError(message)

    with pytest.raises(RuntimeError):
        run_as_program(work, "p")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_command_cleans_up_and_says_so(capsys, number):
    cleaned = []

    def work():
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            cleaned.append(True)

    before = signal.signal(number, signal.SIG_DFL)  # the tests may run under nohup
    try:
        assert run_as_program(work, "p") == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err == "p: terminated\n" and cleaned


def test_an_ignored_hangup_stays_ignored():
    """As `nohup` wants it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_as_program(lambda: signal.raise_signal(signal.SIGHUP) or 0, "p") == 0
    finally:
        signal.signal(signal.SIGHUP, before)
