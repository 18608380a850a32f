"""Train tiny transformers and watch their strategies.

`--plugin FILE` before the command, as often as you like, loads a file of yours that adds data
modes, kinds of exemplars, evaluators or presets.
"""

import sys
from collections.abc import Sequence

from coopetition.tools.command_line import exit_code, run_commands
from coopetition.tools.errors import UsageError

PROG = "python -m transformer"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    rest = sys.argv[1:] if arguments is None else list(arguments)
    plugins = []
    while rest[:1] == ["--plugin"]:
        plugins.append(rest[1:2])
        rest = rest[2:]
    failed = exit_code(lambda: _load(plugins), PROG) if plugins else 0
    return failed or run_commands(__name__, PROG, rest)


def _load(plugins: list[list[str]]) -> int:
    from transformer.config.registry import load_plugin

    for given in plugins:
        if not given:
            raise UsageError("--plugin needs a file")
        load_plugin(given[0])
    return 0
