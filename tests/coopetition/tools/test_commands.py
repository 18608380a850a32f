"""Commands are found by their files, mistakes are one line, and exit codes say what happened."""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from coopetition.tools.commands import run_as_program, run_commands
from coopetition.tools.errors import Interrupted, UsageError, UserError
from coopetition.tools.flags import extract_message, parse_flags, parse_known_flags

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


def test_one_file_adds_a_command(program, capsys):
    assert program("hello", "--name", "world") == 0
    assert capsys.readouterr().out == "hello world\n"
    with pytest.raises(SystemExit):
        program("hello", "--help")
    assert "More about it." in capsys.readouterr().out


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


def test_a_class_adds_a_command(program, tmp_path, capsys):
    (tmp_path / "greetings" / "several.py").write_text(SEVERAL)
    assert program("count", "--last", "3") == 0
    assert capsys.readouterr().out == "0 1 2\n"
    assert program("--help") == 0
    shown = capsys.readouterr().out
    assert "  count  Count to a number.\n" in shown
    assert "several" not in shown and "helper" not in shown


def test_help_lists_commands_without_importing_them(program, capsys):
    assert program("--help") == 0
    shown = capsys.readouterr().out
    assert "A program." in shown and "  heavy  Greet somebody.\n" in shown and "shared" not in shown
    assert program() == 2
    assert program("dance") == 2
    error = capsys.readouterr().err
    assert "dance" in error and "heavy, hello" in error
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


def test_programming_errors_are_not_hidden():
    def work():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        run_as_program(work, "p")


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


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Flags of every kind."""

    number: float = 0.5
    count: int | None = None
    pair: tuple[str, float] = ("a", 1.0)
    several: tuple[int, ...] | None = None
    choice: Literal["left", "right"] = "left"
    path: Path
    norm: bool = True


def parse(*words):
    return parse_flags(Flags, list(words), prog="program")


def test_values_are_read():
    words = "--number 2 --count 3 --pair b 2.5 --several 1 2 --choice right --no-norm --path x"
    assert parse(*words.split()) == Flags(
        number=2.0, count=3, pair=("b", 2.5), several=(1, 2), choice="right", norm=False,
        path=Path("x"),
    )  # fmt: skip
    assert parse("--count", "None", "--path", "x").count is None


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("--number x", ["--number", "FLOAT", "x"]),
        ("--count 1e3", ["--count", "INT", "1e3"]),
        ("--pair a b", ["--pair", "STR FLOAT", "a b"]),
        ("--pair a", ["--pair", "2"]),
        ("--several 1 b", ["--several", "[INT [INT ...]]", "1 b"]),
        ("--choice up", ["--choice", "up", "('left', 'right')"]),
        (f"--{'x' * 90} {'y' * 90}", [f"--{'x' * 90}", "y" * 90]),
        ("", ["--path PATH"]),
    ],
)
def test_a_mistake_is_one_line_however_narrow_the_terminal(monkeypatch, words, parts):
    monkeypatch.setenv("COLUMNS", "20")
    with pytest.raises(UsageError) as caught:
        parse(*(["--path", "x"] if words else []), *words.split())
    message = str(caught.value)
    assert all(part in message for part in [*parts, "; see program --help"])
    assert "\n" not in message and "─" not in message
    assert os.environ["COLUMNS"] == "20"


def test_boxes_are_read_with_colours_and_in_ascii():
    coloured = (
        "\x1b[31m╭─ Title ──╮\x1b[0m\n│ \x1b[1mWhat\x1b[0m came. │\n│ ────── │\n│ Help │\n╰───╯\n"
    )
    plain = "+- Title --+\n| What came. |\n| ------ |\n| Help |\n+---+\n"
    assert extract_message(coloured) == extract_message(plain) == "What came"


def test_flags_are_found_among_others():
    words = ["--a", "1", "--path", "x", "--b", "--number", "3", "c"]
    found, others = parse_known_flags(Flags, words, prog="program")
    assert (found.path, found.number) == (Path("x"), 3.0)
    assert others == ["--a", "1", "--b", "c"]
    with pytest.raises(UsageError, match="--path"):
        parse_known_flags(Flags, ["--path"], prog="program")


def test_help_names_both_forms_of_a_switch(capsys):
    with pytest.raises(SystemExit) as end:
        parse("--help")
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "--norm, --no-norm" in shown and "{None}" not in shown


def test_a_tilde_is_the_home_folder(monkeypatch):
    """Also in `--out=~/x`, which a shell leaves as it is."""
    monkeypatch.setenv("HOME", "/home/me")
    for words in (["--path=~/x"], ["--path", "~/x"]):
        assert parse(*words).path == Path("/home/me/x")
    other = parse("--path", "a~b", "--pair", "~", "1")
    assert other.path == Path("a~b") and other.pair[0] == "/home/me"
