"""Programs: find their commands, run one, and report errors in one line.

A program is a package; each of its modules is a command, unless its name starts with an
underscore.  A command's module has a docstring, which is its help (the first line is shown in the
program's help), a dataclass `Flags`, and a function `run(flags)`.  If some flags decide the
defaults of others, it also has `defaults(arguments)`, which returns the flags to start from, and
it may have `explain_unknown(flag)` (see `parse_flags`).  An underscore in a module's name is a
hyphen in the command.

Small commands can share a module: each is a dataclass of flags with a docstring and a method
`execute()`, and the class's name in lower case is the command.  Heavy imports belong inside `run`
and `execute`.

Exit codes: 0 success, 1 failure, 2 wrong usage, 129 hung up, 130 interrupted, 143 terminated.
"""

import ast
import importlib
import inspect
import os
import pkgutil
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple, TypeGuard

import tyro

from coopetition.tools.errors import Interrupted, UsageError, UserError, is_lack_of_memory
from coopetition.tools.files import NO_SPACE
from coopetition.tools.flags import parse_flags
from coopetition.tools.signals import END_SIGNALS, handle_signals
from coopetition.tools.versions import package_version

COMPLETION, SHELLS = "--tyro-print-completion", ("bash", "zsh", "fish", "tcsh")


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
    commands = find_commands(module)
    if not arguments or arguments[0] in ("-h", "--help"):
        _print_help(module, prog, commands)
        return 0 if arguments else 2
    name, *rest = arguments
    if name == "--version":
        print(package_version("coopetition"))
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
    if hasattr(command, "explain_unknown"):
        keywords["explain_unknown"] = command.explain_unknown
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


def find_commands(module: ModuleType) -> dict[str, _Command]:
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
    """A signal that ends the program, raised as SIGINT is."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def run_as_program(work: Callable[[], int], prog: str) -> int:
    """Do `work` and return its exit code, or report what stopped it and return the code of that."""
    os.environ["MPLBACKEND"] = "agg"  # commands draw into files, whatever a notebook has set
    try:
        with handle_signals(END_SIGNALS, _raise_terminated):
            return work()
    except Interrupted as stop:
        return _report(f"{prog}: {stop}", stop.exit_code)
    except UserError as error:
        return _report(f"{prog}: error: {error}", error.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        size = re.search(r"allocate ([\d.,]+ ?\w+)", str(error))  # of numpy and torch
        what = f"{size[1]} at once" if size else "this"
        return _report(f"{prog}: error: not enough memory for {what}; choose smaller sizes", 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader (`head`, say) has gone
        return 1
    except OSError as error:
        advice = NO_SPACE.get(error.errno or 0)
        hint = f" ({advice}, or name another place)" if advice else ""
        return _report(f"{prog}: error: {error}{hint}", 1)
    except Terminated as stop:
        return _report(f"{prog}: terminated", stop.exit_code)
    except KeyboardInterrupt:
        return _report(f"{prog}: interrupted", 128 + signal.SIGINT)


def _report(line: str, exit_code: int) -> int:
    print(line, file=sys.stderr)
    return exit_code


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)
