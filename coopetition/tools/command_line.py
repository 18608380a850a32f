"""What every command shares: how it is found, one-line errors, exit codes.

A command is a file of its program's folder `cli/`: a docstring, which is its help and whose first
line stands in the program's, a dataclass `Flags`, and `run(flags)`.  Where some flags decide what
the others are, `defaults(arguments)` gives the flags to start from.  Nothing heavy is imported
before `run`, and files whose names start with an underscore are no commands; one within a name is a
hyphen of the command's.

Exit codes: 0 done, 1 failed, 2 the command was called wrongly, 130 and 143 interrupted and
terminated.
"""

import ast
import errno
import importlib
import importlib.metadata
import inspect
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from coopetition.tools.errors import Interrupted, UsageError, UserError

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
    return exit_code(lambda: _dispatch(package, prog, prepare(given)), prog)


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
    from coopetition.tools.flags import parse

    keywords: dict[str, Any] = {"description": inspect.getdoc(command)}
    if hasattr(command, "defaults"):
        keywords["default"] = command.defaults(arguments)
    command.run(parse(command.Flags, arguments, prog=prog, **keywords))


def exit_code(work: Callable[[], int], prog: str) -> int:
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
