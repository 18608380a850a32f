"""Values of flags are read; a mistake is one line that names the flag and what it expects."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import tyro

from coopetition.tools.errors import UsageError
from coopetition.tools.flags import extract_message, parse_flags, parse_known_flags


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Flags of a part."""

    inner_size: int = 1


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
    each: tyro.conf.UseAppendAction[tuple[int, ...]] = ()
    inner: Inner = Inner()


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


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--counts", ["--count"]),
        ("--optim.number", ["--number"]),
        ("--inner-size=3", ["--inner.inner-size"]),
        ("--several_", ["--several"]),
        ("--size", ["--inner.inner-size"]),
        ("--zzz", []),
    ],
)
def test_a_mistyped_flag_suggests_known_ones(monkeypatch, word, meant):
    monkeypatch.setenv("COLUMNS", "20")
    with pytest.raises(UsageError) as caught:
        parse("--path", "x", word)
    message = str(caught.value)
    assert [flag for flag in message.split() if f"mean {flag}" in message] == [
        f"{flag}?;" for flag in meant
    ]


def test_a_program_explains_unknown_flags_itself():
    def explain(flag):
        return f"{flag} belongs elsewhere" if flag == "--counts" else ""

    for word, names in (("--counts", "--counts belongs"), ("--several_", "mean --several?")):
        with pytest.raises(UsageError, match=re.escape(names)):
            parse_flags(Flags, ["--path", "x", word], prog="program", explain_unknown=explain)


@pytest.mark.parametrize(
    "words", ["--count 1 --count 2", "--count=1 --count 2", "--norm --no-norm", "--path x --path x"]
)
def test_a_flag_is_given_once(words):
    path = [] if "--path" in words else ["--path", "x"]
    with pytest.raises(UsageError, match="once"):
        parse(*path, *words.split())
    found = parse("--path", "x", "--each", "1", "--each", "2")
    assert found.each == (1, 2), "only flags that are collected may be repeated"


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
