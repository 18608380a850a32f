"""Files of the user's own that are imported before a command."""

from dataclasses import dataclass

from tyro.conf import UseAppendAction

from coopetition.tools.commands import parse_known_flags
from transformer.config.registry import load_plugin
from transformer.experiments.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class Plugins:
    """Flags that every command has."""

    plugin: UseAppendAction[tuple[str, ...]] = ()


def load_plugins(arguments: list[str]) -> list[str]:
    """Import the files that `--plugin` names; the other arguments."""
    plugins, others = parse_known_flags(Plugins, arguments, prog="python -m transformer")
    if plugins.plugin:
        PRESETS.scan()  # the configs' own registries are known to `load_plugin`
    for path in plugins.plugin:
        load_plugin(path)
    return others
