"""A mistake in the flags is one line that says what came and what was expected."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from coopetition.tools.commands import message_in, parse_flags, parse_known_flags
from coopetition.tools.errors import UsageError


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


def test_values_are_read():
    words = "--number 2 --count 3 --pair b 2.5 --several 1 2 --choice right --no-norm --path x"
    assert parse_flags(Flags, words.split(), prog="program") == Flags(
        number=2.0, count=3, pair=("b", 2.5), several=(1, 2), choice="right", norm=False,
        path=Path("x"),
    )  # fmt: skip
    assert parse_flags(Flags, ["--count", "None", "--path", "x"], prog="program").count is None


def test_a_home_is_put_for_its_sign(monkeypatch):
    """A shell leaves it in `--out=~/x`."""
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_flags(Flags, ["--path=~/x"], prog="program").path == Path("/home/me/x")
    with pytest.raises(UsageError, match="got ~nobody_of_this_name/x"):
        parse_flags(Flags, ["--path=~nobody_of_this_name/x"], prog="program")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--number x", "--number: expected FLOAT, got x"),
        ("--count x", "--count: expected INT, got x"),
        ("--count 1e3", "--count: expected INT, got 1e3"),
        ("--pair a b", "--pair: expected STR FLOAT, got a b"),
        ("--pair a", "Missing value for argument '--pair'. Expected 2 values"),
        ("--several 1 b", "--several: expected [INT [INT ...]], got 1 b"),
        ("--choice up", "invalid choice 'up' for argument '--choice'. Expected one of "
                        "('left', 'right')"),
        ("--nonsense 3", "Unrecognized options: --nonsense, 3"),
        (f"--{'x' * 90} {'y' * 90}", f"Unrecognized options: --{'x' * 90}, {'y' * 90}"),
        ("", "Missing from program: --path PATH (required)"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(monkeypatch, words, message):
    """However narrow the terminal, to whose width tyro draws its boxes."""
    monkeypatch.setenv("COLUMNS", "20")
    path = [] if not words else ["--path", "x"]
    with pytest.raises(UsageError) as caught:
        parse_flags(Flags, [*path, *words.split()], prog="program")
    assert str(caught.value) == f"{message}; see program --help"
    assert os.environ["COLUMNS"] == "20"


def test_boxes_are_read_with_colours_and_in_ascii():
    coloured = (
        "\x1b[31m╭─ Title ──╮\x1b[0m\n│ \x1b[1mWhat\x1b[0m came. │\n│ ────── │\n│ Help │\n╰───╯\n"
    )
    plain = "+- Title --+\n| What came. |\n| ------ |\n| Help |\n+---+\n"
    assert message_in(coloured) == message_in(plain) == "What came"
    assert message_in("") == "the flags could not be read"


def test_flags_among_others_are_found():
    found, others = parse_known_flags(
        Flags, ["--a", "1", "--path", "x", "--b", "--number", "3", "c"], prog="program"
    )
    assert (found.path, found.number) == (Path("x"), 3.0)
    assert others == ["--a", "1", "--b", "c"]
    with pytest.raises(UsageError, match="--path"):
        parse_known_flags(Flags, ["--path"], prog="program")


def test_help_names_both_forms_of_a_switch(capsys):
    with pytest.raises(SystemExit) as end:
        parse_flags(Flags, ["--help"], prog="program")
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "--norm, --no-norm" in shown and "{None}" not in shown


@pytest.mark.parametrize("words", [["--path=~/x"], ["--path", "~/x"]])
def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path, words):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_flags(Flags, words, prog="program").path == tmp_path / "x"
    other = parse_flags(Flags, ["--path", "a~b", "--pair", "~", "1"], prog="program")
    assert other.path == Path("a~b") and other.pair[0] == str(tmp_path)
