"""Train tiny transformers and watch their strategies.

`--plugin FILE` before a command or among its flags, as often as you like, loads a file of yours
that adds data modes, kinds of exemplars, evaluators or presets.
"""

from collections.abc import Sequence

from coopetition.tools.commands import run_commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return run_commands(__name__, "python -m transformer", arguments, prepare=_load_plugins)


def _load_plugins(arguments: list[str]) -> list[str]:
    from transformer.cli._plugins import load_plugins

    return load_plugins(arguments)
