"""Flags from dataclasses, by tyro: a mistake is one line.

Tyro tells what it refuses in a box on standard error, which is the only public way to its messages:
what stands there between the title and the first rule is ours.
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from coopetition.tools.errors import UsageError
from coopetition.tools.one_text import InOneText

T = TypeVar("T")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # tyro colours its messages on a terminal
BOX = re.compile(r"[╭╮╰╯│─]+|^[-+| ]*$|^\||\|$")  # and frames them, in ASCII where it must
RULES = ConstructorRegistry()
_INNER: Any = object()  # marks what is already read by a rule of ours


def parse(kind: type[T], arguments: list[str], *, prog: str, **keywords: Any) -> T:
    """Flags of the dataclass `kind`; a mistake raises `UsageError`."""
    arguments = [*map(_without_tilde, arguments)]
    captured = io.StringIO()
    helps = {"-h", "--help"}.intersection(arguments)
    try:
        with contextlib.redirect_stderr(captured), contextlib.nullcontext() if helps else _wide():
            return tyro.cli(
                kind,
                args=arguments,
                prog=prog,
                config=(tyro.conf.AvoidSubcommands,),
                registry=RULES,
                **keywords,
            )
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise UsageError(f"{message_in(captured.getvalue())}; see {prog} --help") from end


def parse_some(kind: type[T], arguments: list[str], *, prog: str) -> tuple[T, list[str]]:
    """`parse` of those arguments that are flags of `kind`, and the others."""
    both: Any = parse(kind, arguments, prog=prog, add_help=False, return_unknown_args=True)
    return both


def _without_tilde(word: str) -> str:
    """A word with the home folder for its `~`, which no shell expands in `--out=~/x`."""
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return flag + equals + os.path.expanduser(value)


def message_in(boxed: str) -> str:
    """The message in tyro's box: the text between its title and its first rule."""
    lines = [BOX.sub("", COLOUR.sub("", line)).strip() for line in boxed.splitlines()]
    block = " ".join("\n".join(lines[1:]).strip().split("\n\n")[0].split()).rstrip(".")
    return block.removeprefix("Error parsing ") or "the flags could not be read"


@contextlib.contextmanager
def _wide() -> Iterator[None]:
    """A terminal so wide that no word of a box is broken."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


@RULES.primitive_rule
def _in_plain_words(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Tyro's own rule for a kind of value, but that a wrong one is told by what was expected."""
    if _INNER in info.markers:
        return None
    spec = ConstructorRegistry.get_primitive_spec(replace(info, markers=info.markers | {_INNER}))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None
    expected = re.sub(r"^\{(\[.*\])\}$", r"\1", spec.metavar.removeprefix("{None}|"))

    def read(words: list[str]) -> Any:
        try:
            value = spec.instance_from_str(words)
            return value.expanduser() if isinstance(value, Path) else value  # of --out=~/x
        except (ValueError, RuntimeError):  # a home that there is not is a RuntimeError
            raise ValueError(f"expected {expected}, got {' '.join(words)}") from None

    return replace(spec, metavar=expected, instance_from_str=read)


@RULES.primitive_rule
def _in_one_text(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How a tuple of `InOneText` is read."""
    kind = next(iter(get_args(info.type)), None)
    if info.type_origin is not tuple or not (
        isinstance(kind, type) and issubclass(kind, InOneText)
    ):
        return None

    def read(words: list[str]) -> tuple[Any, ...]:
        try:
            return kind.read_flag(words[0])
        except UsageError as error:
            raise ValueError(str(error)) from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [kind.write_flag(value)],
    )
