"""What every command shares: flags from dataclasses, one-line errors, exit codes.

Exit codes: 0 done, 1 failed, 2 the command was called wrongly.
"""

import contextlib
import errno
import io
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TypeVar

import tyro

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import to_json

T = TypeVar("T")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # tyro colours its messages on a terminal
BOX = re.compile(r"[╭╮╰╯│─]+|^[-+| ]*$|^\||\|$")  # and frames them, in ASCII where it must


def parse(kind: Callable[..., T], arguments: list[str], *, prog: str, default: Any = None) -> T:
    """Flags of the dataclass `kind`, by tyro; a mistake raises `UsageError` in one line."""
    captured = io.StringIO()
    keywords = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(captured):
            return tyro.cli(
                kind,
                args=arguments,
                prog=prog,
                config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff),
                **keywords,
            )
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise UsageError(f"{_first_sentence(captured.getvalue())}; see {prog} --help") from end


def _first_sentence(boxed: str) -> str:
    """The message of tyro's boxed error: the text between its title and its first rule."""
    lines = [BOX.sub("", COLOUR.sub("", line)).strip() for line in boxed.splitlines()]
    blocks = "\n".join(lines[1:]).strip().split("\n\n")
    return " ".join(blocks[0].split()) or "the flags could not be read"


def run_command(
    commands: dict[str, Callable[[list[str]], None]], description: str, prog: str
) -> None:
    """Dispatch `sys.argv` to a command and end the process with its exit code."""
    sys.exit(_exit_code(commands, description, prog, sys.argv[1:]))


def _exit_code(
    commands: dict[str, Callable[[list[str]], None]],
    description: str,
    prog: str,
    arguments: list[str],
) -> int:
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            width = max(map(len, commands))
            print(f"usage: {prog} COMMAND [flags]\n\n{description}\n")
            for name, command in commands.items():
                print(f"  {name:{width}}  {(command.__doc__ or '').splitlines()[0]}")
            print(f"\n{prog} COMMAND --help shows a command's flags.")
            return 0 if arguments else 2
        name = arguments[0]
        if name == "--version":
            print(version("coopetition"))
            return 0
        if name not in commands:
            raise UsageError(f"unknown command {name!r}; choose one of {', '.join(commands)}")
        commands[name](arguments[1:])
        return 0
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
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 1


def print_json(content: Any) -> None:
    """Print one JSON object."""
    print(to_json(content), end="")
