"""Train tiny transformers and watch their strategies.

`--plugin FILE` imports a file of yours that adds data modes, kinds of exemplars, evaluators,
interventions, measures or presets.  It may stand before a command or among its flags, any number of
times.
"""

from collections.abc import Sequence

from coopetition.tools.commands import run_commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_commands(__name__, "python -m transformer", arguments, prepare=_load_plugins)


def _load_plugins(arguments: list[str]) -> list[str]:
    if not any(each.startswith("--plugin") for each in arguments):
        return arguments
    from transformer.cli._plugins import load_plugins

    return load_plugins(arguments)
