"""Flags of a command: a dataclass that `tyro` fills from the command line.

A mistake is one line that names the flag, the expected type and what was given.
"""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, TypeVar, get_args, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from coopetition.tools.errors import UsageError

T = TypeVar("T")

# tyro draws its messages in boxes, in colour on a terminal, and in ASCII if it must
DECORATION = re.compile(r"\x1b\[[0-9;]*m|[╭╮╰╯│─]+|^[-+| ]*$|^\||\|$", re.MULTILINE)
# at the start of a cell of tyro's help: a flag, and the other form of a switch
HELP_FLAG = re.compile(r"(?:^ ?|  |[│|] )(--[a-z][\w.-]*)(?:, (--[a-z][\w.-]*))?", re.MULTILINE)
RULES = ConstructorRegistry()
_READ_BY_TYRO: Any = object()  # marks a type whose words are read by tyro's own rule


class JsonTuple:
    """Base of classes of which a tuple is one flag, written as JSON text."""

    @classmethod
    def from_json_text(cls, text: str) -> tuple[Self, ...]:
        """Return the values of a flag's text; a mistake raises `UsageError`."""
        raise NotImplementedError

    @classmethod
    def to_json_text(cls, values: tuple[Self, ...]) -> str:
        """Return the text from which `from_json_text` reads the values."""
        raise NotImplementedError


def default_shown_as(text: str) -> Any:
    """Return a mark for `Annotated` with which help shows a flag's default in words."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


def parse_flags(
    kind: type[T],
    arguments: list[str],
    *,
    prog: str,
    explain_unknown: Callable[[str], str] = lambda flag: "",
    **keywords: Any,
) -> T:
    """Return flags of the dataclass `kind`; a mistake raises `UsageError`.

    `explain_unknown` returns a sentence about an unknown flag, or "" to propose similar flags.
    """
    arguments = [*map(_expand_home, arguments)]
    is_help = {"-h", "--help"}.intersection(arguments)
    if not is_help and not keywords.get("return_unknown_args"):
        _check_given_once(kind, arguments)
    captured = io.StringIO()
    try:
        with (
            contextlib.redirect_stderr(captured),
            contextlib.nullcontext() if is_help else _wide_terminal(),
        ):
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
        message = extract_message(captured.getvalue())
        if message.startswith("Unrecognized options"):
            unknown = _unknown_flags(arguments, known := _list_flags(kind, prog, keywords))
            if explained := [*filter(None, map(explain_unknown, unknown))]:
                message += "; " + "; ".join(explained)
            elif meant := _similar_flags(unknown, known):
                message += f"; did you mean {' or '.join(meant)}?"
        raise UsageError(f"{message}; see {prog} --help") from end


def parse_known_flags(kind: type[T], arguments: list[str], *, prog: str) -> tuple[T, list[str]]:
    """Return the flags of `kind` that are among the arguments, and the other arguments."""
    both: Any = parse_flags(kind, arguments, prog=prog, add_help=False, return_unknown_args=True)
    return both


def _check_given_once(kind: type[Any], arguments: list[str]) -> None:
    """Raise `UsageError` for a repeated flag, unless its field is marked `UseAppendAction`."""
    hints = get_type_hints(kind, include_extras=True)
    (append_mark,) = get_args(tyro.conf.UseAppendAction[str])[1:]
    may_repeat = {name for name, hint in hints.items() if append_mark in get_args(hint)[1:]}
    seen: dict[str, str] = {}
    for word in arguments:
        if not word.startswith("--"):
            continue
        flag = word.partition("=")[0]
        name = flag.removeprefix("--").replace("-", "_")
        name = re.sub(r"(^|\.)no_(?=[^.]*$)", r"\1", name)  # the other form of a switch
        if name in seen and name not in may_repeat:
            raise UsageError(f"{flag} repeats an earlier {seen[name]}; give it once")
        seen[name] = flag


def _list_flags(kind: type[Any], prog: str, keywords: dict[str, Any]) -> list[str]:
    """Return the flags that the help of `kind` names."""
    captured = io.StringIO()
    with (
        contextlib.redirect_stdout(captured),
        contextlib.suppress(SystemExit),
        _wide_terminal(),
    ):
        parse_flags(kind, ["--help"], prog=prog, **keywords)
    found = HELP_FLAG.findall(captured.getvalue())
    return list(dict.fromkeys(flag for both_forms in found for flag in both_forms if flag))


def _unknown_flags(arguments: list[str], known: list[str]) -> list[str]:
    """Return the flags among the arguments that are not known."""
    words = (word.partition("=")[0].replace("_", "-") for word in arguments)
    return [word for word in words if word.startswith("--") and word not in known]


def _similar_flags(unknown: list[str], known: list[str]) -> list[str]:
    """Return the known flags that unknown ones may mean.

    They end in the same word, those with the shortest path first, or have a similar name.
    """
    meant: list[str] = []
    for given in unknown:
        ending = re.compile(rf"[-.]{re.escape(given.lstrip('-').rpartition('.')[2])}$")
        same = [flag for flag in known if ending.search(flag)]
        same.sort(key=lambda flag: flag.count("."))
        meant += same[:3] or get_close_matches(given, known, 1, cutoff=0.7)
    return list(dict.fromkeys(meant))


def _expand_home(word: str) -> str:
    """Expand `~` in a word, also in `--out=~/x`, where no shell does."""
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return flag + equals + os.path.expanduser(value)


def extract_message(box: str) -> str:
    """Return the message in tyro's box: the text between its title and its first rule."""
    lines = [line.strip() for line in DECORATION.sub("", box).split("\n")[1:]]
    paragraph = "\n".join(lines).strip().split("\n\n")[0]
    message = " ".join(paragraph.split()).rstrip(".").removeprefix("Error parsing ")
    return message or "the flags could not be read"


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """Pretend that the terminal is so wide that tyro breaks no line."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


@RULES.primitive_rule
def _name_expected_type(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Read a value by tyro's own rule, but name the expected type if it is wrong.

    An empty path is refused.  Help shows an empty default as `none`.
    """
    if _READ_BY_TYRO in info.markers:
        return None
    marked = replace(info, markers=info.markers | {_READ_BY_TYRO})
    spec = ConstructorRegistry.get_primitive_spec(marked)
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None
    expected = re.sub(r"^\{(\[.*\])\}$", r"\1", spec.metavar.removeprefix("{None}|"))

    def read(words: list[str]) -> Any:
        if info.type is Path and "" in words:  # which would be the current folder
            raise ValueError("expected a path, got none; name a file or folder")
        try:
            return spec.instance_from_str(words)
        except ValueError:
            raise ValueError(f"expected {expected}, got {' '.join(words)}") from None

    def show(value: Any) -> list[str]:
        return ["none"] if value in ("", ()) else spec.str_from_instance(value)

    return replace(spec, metavar=expected, instance_from_str=read, str_from_instance=show)


@RULES.primitive_rule
def _read_json_tuple(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Read a tuple of `JsonTuple` from one JSON text."""
    kind = next(iter(get_args(info.type)), None)
    if info.type_origin is not tuple or not (
        isinstance(kind, type) and issubclass(kind, JsonTuple)
    ):
        return None

    def read(words: list[str]) -> tuple[Any, ...]:
        try:
            return kind.from_json_text(words[0])
        except UsageError as error:
            raise ValueError(str(error)) from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [kind.to_json_text(value)] if value else ["none"],
    )
