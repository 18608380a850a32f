"""Train tiny transformers and watch their strategies.

`--plugin FILE` imports a file of yours that adds data modes, kinds of exemplars, evaluators,
interventions, measures or presets.  Give it before or after the command, once for each file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tyro.conf import UseAppendAction

from coopetition.tools.commands import run_commands
from coopetition.tools.errors import UsageError
from coopetition.tools.flags import parse_known_flags

REMOVED = {  # command -> what to use instead
    "separation": "`embed` prints these numbers, and embed --json all of them; in Python, use "
    "transformer.data.features.separation",
}


@dataclass(frozen=True, kw_only=True)
class PluginFlags:
    """Flags of every command."""

    plugin: UseAppendAction[tuple[str, ...]] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_commands(__name__, "python -m transformer", arguments, prepare=_prepare)


def _prepare(arguments: list[str]) -> list[str]:
    """Load the plugins that arguments name; return the other arguments."""
    if arguments and arguments[0] in REMOVED:
        raise UsageError(f"{arguments[0]} was removed: {REMOVED[arguments[0]]}")
    if not any(each.startswith("--plugin") for each in arguments):
        return arguments
    from transformer.config.registry import load_plugin
    from transformer.experiments.presets import PRESETS

    flags, others = parse_known_flags(PluginFlags, arguments, prog="python -m transformer")
    PRESETS.scan()  # `load_plugin` knows the registries of the configs
    for path in flags.plugin:
        load_plugin(path)
    return others
