"""Values of which several are one flag.

Flags from dataclasses, by tyro: a mistake is one line.

Tyro tells what it refuses in a box on standard error, which is the only public way to its messages:
what stands there between the title and the first rule is ours.

What every command shares: how it is found, one-line errors, exit codes.

A command is a file of its program's folder `cli/`: a docstring, which is its help and whose first
line stands in the program's, a dataclass `Flags`, and `run(flags)`.  Where some flags decide what
the others are, `defaults(arguments)` gives the flags to start from.  Nothing heavy is imported
before `run`, and files whose names start with an underscore are no commands; one within a name is a
hyphen of the command's.

Exit codes: 0 done, 1 failed, 2 the command was called wrongly, 130 and 143 interrupted and
terminated.
"""

import ast
import contextlib
import errno
import importlib
import importlib.metadata
import inspect
import io
import os
import pkgutil
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Self, TypeVar, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from coopetition.tools.errors import Interrupted, UsageError, UserError


class JsonTuple:
    """Base of values of which a tuple is one flag's text, read and written by their class."""

    @classmethod
    def from_json_text(cls, text: str) -> tuple[Self, ...]:
        """The values that a text says; a mistake raises `UsageError`."""
        raise NotImplementedError

    @classmethod
    def to_json_text(cls, values: tuple[Self, ...]) -> str:
        """The inverse of `from_json_text`."""
        raise NotImplementedError


T = TypeVar("T")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # tyro colours its messages on a terminal
BOX = re.compile(r"[╭╮╰╯│─]+|^[-+| ]*$|^\||\|$")  # and frames them, in ASCII where it must
RULES = ConstructorRegistry()
_INNER: Any = object()  # marks what is already read by a rule of ours


def parse_flags(kind: type[T], arguments: list[str], *, prog: str, **keywords: Any) -> T:
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


def parse_known_flags(kind: type[T], arguments: list[str], *, prog: str) -> tuple[T, list[str]]:
    """`parse` of those arguments that are flags of `kind`, and the others."""
    both: Any = parse_flags(kind, arguments, prog=prog, add_help=False, return_unknown_args=True)
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
    """How a tuple of `JsonTuple` is read."""
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
        str_from_instance=lambda value: [kind.to_json_text(value)],
    )


COMPLETION, SHELLS = "--tyro-print-completion", ("bash", "zsh", "fish", "tcsh")


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the program was as SIGINT is."""


def run_commands(
    package: str,
    prog: str,
    arguments: Sequence[str] | None = None,
    prepare: Callable[[list[str]], list[str]] = list,
) -> int:
    """Run the command of `package` that the arguments (`sys.argv`'s) name; the exit code.

    `prepare` does what is to be done before any command, and gives the arguments without its own.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_as_program(lambda: _dispatch(package, prog, prepare(given)), prog)


def _dispatch(package: str, prog: str, arguments: list[str]) -> int:
    module = importlib.import_module(package)
    files = [m.name for m in pkgutil.iter_modules(module.__path__) if not m.name.startswith("_")]
    names = {name.replace("_", "-"): name for name in files}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {prog} COMMAND [flags]\n\n{inspect.getdoc(module)}\n")
        for name, file in names.items():
            source = Path(module.__path__[0], f"{file}.py").read_text(encoding="utf-8")
            summary = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
            print(f"  {name:{max(map(len, names))}}  {summary}")
        print(f"\n{prog} COMMAND --help shows a command's flags.")
        if " " not in prog:  # a shell completes programs by their one word
            print(f"{prog} {COMPLETION} {'|'.join(SHELLS)} prints what completes them in a shell.")
        return 0 if arguments else 2
    name, *rest = arguments
    if name == "--version":
        print(importlib.metadata.version("coopetition"))
        return 0
    if name == COMPLETION:
        _complete(package, prog, names, rest)
    if name not in names:
        raise UsageError(f"unknown command {name!r}; choose one of {', '.join(names)}")
    run_command(importlib.import_module(f"{package}.{names[name]}"), rest, f"{prog} {name}")
    return 0


def _complete(package: str, prog: str, names: dict[str, str], shells: list[str]) -> None:
    """Print what makes a shell complete commands and flags, and exit."""
    import tyro

    if len(shells) != 1 or shells[0] not in SHELLS:
        raise UsageError(f"{COMPLETION} {' '.join(shells)}: choose one of {', '.join(SHELLS)}")
    flags = {
        name: importlib.import_module(f"{package}.{file}").Flags for name, file in names.items()
    }
    tyro.extras.subcommand_cli_from_dict(flags, prog=prog, args=[COMPLETION, *shells])


def run_command(command: Any, arguments: list[str], prog: str) -> None:
    """Read the flags of the module `command`, and run it."""
    keywords: dict[str, Any] = {"description": inspect.getdoc(command)}
    if hasattr(command, "defaults"):
        keywords["default"] = command.defaults(arguments)
    command.run(parse_flags(command.Flags, arguments, prog=prog, **keywords))


def run_as_program(work: Callable[[], int], prog: str) -> int:
    """Do `work`; its exit code, or that of what stopped it, after a line that says so."""
    before = signal.signal(signal.SIGTERM, _terminate)
    os.environ["MPLBACKEND"] = "agg"  # commands draw into files, whatever a notebook has set
    try:
        return work()
    except Interrupted as stop:
        print(f"{prog}: {stop}", file=sys.stderr)
        return stop.exit_code
    except UserError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return error.exit_code
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        print(f"{prog}: error: not enough memory for this; choose smaller sizes", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader (head, say) has gone; there is no one left to tell
        return 1
    except OSError as error:
        full = " (the disk is full: free some space)" if error.errno == errno.ENOSPC else ""
        print(f"{prog}: error: {error}{full}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        terminated = isinstance(stop, Terminated)
        print(f"{prog}: {'terminated' if terminated else 'interrupted'}", file=sys.stderr)
        return 128 + (signal.SIGTERM if terminated else signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
