"""Command lines: find a program's commands, read their flags, and report errors in one line.

A program is a package; each of its modules is a command, unless its name starts with an
underscore.  A command's module has a docstring, which is its help (the first line is shown in the
program's help), a dataclass `Flags`, and a function `run(flags)`.  If some flags decide the
defaults of others, it also has `defaults(arguments)`, which returns the flags to start from.  An
underscore in a module's name is a hyphen in the command.

Small commands can share a module: each is a dataclass of flags with a docstring and a method
`execute()`, and the class's name in lower case is the command.  Heavy imports belong inside `run`
and `execute`.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted, 143 terminated.
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
from types import FrameType, ModuleType
from typing import Any, NamedTuple, Self, TypeGuard, TypeVar, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from coopetition.tools.errors import Interrupted, UsageError, UserError

T = TypeVar("T")

COMPLETION, SHELLS = "--tyro-print-completion", ("bash", "zsh", "fish", "tcsh")
# tyro draws its messages in boxes, in colour on a terminal, and in ASCII if it must
DECORATION = re.compile(r"\x1b\[[0-9;]*m|[╭╮╰╯│─]+|^[-+| ]*$|^\||\|$", re.MULTILINE)
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


def parse_flags(kind: type[T], arguments: list[str], *, prog: str, **keywords: Any) -> T:
    """Return flags of the dataclass `kind`; a mistake raises `UsageError`."""
    arguments = [*map(_expand_home, arguments)]
    is_help = {"-h", "--help"}.intersection(arguments)
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
        raise UsageError(f"{extract_message(captured.getvalue())}; see {prog} --help") from end


def parse_known_flags(kind: type[T], arguments: list[str], *, prog: str) -> tuple[T, list[str]]:
    """Return the flags of `kind` that are among the arguments, and the other arguments."""
    both: Any = parse_flags(kind, arguments, prog=prog, add_help=False, return_unknown_args=True)
    return both


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

    Help shows an empty default as `none`.
    """
    if _READ_BY_TYRO in info.markers:
        return None
    marked = replace(info, markers=info.markers | {_READ_BY_TYRO})
    spec = ConstructorRegistry.get_primitive_spec(marked)
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None
    expected = re.sub(r"^\{(\[.*\])\}$", r"\1", spec.metavar.removeprefix("{None}|"))

    def read(words: list[str]) -> Any:
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


def run_commands(
    package: str,
    prog: str,
    arguments: Sequence[str] | None = None,
    prepare: Callable[[list[str]], list[str]] = list,
) -> int:
    """Run the command that the arguments name, and return the exit code.

    Parameters
    ----------
    package : the program's package of commands
    arguments : default: those of `sys.argv`
    prepare : is called first; returns the arguments without those that it has used
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_as_program(lambda: _dispatch(package, prog, prepare(given)), prog)


def _dispatch(package: str, prog: str, arguments: list[str]) -> int:
    module = importlib.import_module(package)
    commands = _find_commands(module)
    if not arguments or arguments[0] in ("-h", "--help"):
        _print_help(module, prog, commands)
        return 0 if arguments else 2
    name, *rest = arguments
    if name == "--version":
        print(importlib.metadata.version("coopetition"))
        return 0
    if name == COMPLETION:
        _print_completion(package, prog, commands, rest)
    if name not in commands:
        raise UsageError(f"unknown command {name!r}; choose one of {', '.join(commands)}")
    command = commands[name].load(package)
    if isinstance(command, type):
        parse_flags(command, rest, prog=f"{prog} {name}").execute()
        return 0
    keywords: dict[str, Any] = {"description": inspect.getdoc(command)}
    if hasattr(command, "defaults"):
        keywords["default"] = command.defaults(rest)
    command.run(parse_flags(command.Flags, rest, prog=f"{prog} {name}", **keywords))
    return 0


class _Command(NamedTuple):
    """Location of a command."""

    file: str
    class_name: str
    """Empty where the module is the command."""
    summary: str

    def load(self, package: str) -> Any:
        """Import the module or the class that is the command."""
        module = importlib.import_module(f"{package}.{self.file}")
        return getattr(module, self.class_name) if self.class_name else module


def _find_commands(module: ModuleType) -> dict[str, _Command]:
    """Return the commands of a package by name, without importing its modules."""
    found = {}
    for each in pkgutil.iter_modules(module.__path__):
        if each.name.startswith("_"):
            continue
        source = Path(module.__path__[0], f"{each.name}.py").read_text(encoding="utf-8")
        tree = ast.parse(source)
        classes = [node for node in tree.body if _is_command(node)]
        for node in classes or [tree]:
            class_name = node.name if isinstance(node, ast.ClassDef) else ""
            name = class_name.lower() or each.name.replace("_", "-")
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            found[name] = _Command(each.name, class_name, summary)
    return dict(sorted(found.items()))


def _is_command(node: ast.stmt) -> TypeGuard[ast.ClassDef]:
    return isinstance(node, ast.ClassDef) and any(
        isinstance(item, ast.FunctionDef) and item.name == "execute" for item in node.body
    )


def _print_help(module: ModuleType, prog: str, commands: dict[str, _Command]) -> None:
    """Print the program's help, without importing its commands."""
    print(f"usage: {prog} COMMAND [flags]\n\n{inspect.getdoc(module)}\n")
    for name, command in commands.items():
        print(f"  {name:{max(map(len, commands))}}  {command.summary}")
    print(f"\nFor the flags of a command: {prog} COMMAND --help")
    if " " not in prog:  # a shell completes only programs of one word
        print(f"For completion in your shell: {prog} {COMPLETION} {'|'.join(SHELLS)}")


def _print_completion(
    package: str, prog: str, commands: dict[str, _Command], shells: list[str]
) -> None:
    """Print the script with which a shell completes commands and flags, and exit."""
    if len(shells) != 1 or shells[0] not in SHELLS:
        raise UsageError(f"{COMPLETION} {' '.join(shells)}: choose one of {', '.join(SHELLS)}")
    loaded = {name: command.load(package) for name, command in commands.items()}
    flags = {name: each if isinstance(each, type) else each.Flags for name, each in loaded.items()}
    tyro.extras.subcommand_cli_from_dict(flags, prog=prog, args=[COMPLETION, *shells])


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised in the program as SIGINT is."""


def run_as_program(work: Callable[[], int], prog: str) -> int:
    """Do `work` and return its exit code, or report what stopped it and return the code of that."""
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    os.environ["MPLBACKEND"] = "agg"  # commands draw into files, whatever a notebook has set
    try:
        return work()
    except Interrupted as stop:
        return _report(f"{prog}: {stop}", stop.exit_code)
    except UserError as error:
        return _report(f"{prog}: error: {error}", error.exit_code)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        return _report(f"{prog}: error: not enough memory for this; choose smaller sizes", 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader (`head`, say) has gone: nobody is left to tell
        return 1
    except OSError as error:
        full = " (the disk is full: free some space)" if error.errno == errno.ENOSPC else ""
        return _report(f"{prog}: error: {error}{full}", 1)
    except Terminated:
        return _report(f"{prog}: terminated", 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        return _report(f"{prog}: interrupted", 128 + signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(line: str, exit_code: int) -> int:
    print(line, file=sys.stderr)
    return exit_code


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated
