"""Files of the user's own that are imported before a command."""

from dataclasses import dataclass

from tyro.conf import UseAppendAction

from coopetition.tools.flags import parse_known_flags


@dataclass(frozen=True, kw_only=True)
class PluginFlags:
    """Flags of every command."""

    plugin: UseAppendAction[tuple[str, ...]] = ()


def load_plugins(arguments: list[str]) -> list[str]:
    """Import the files that `--plugin` names, and return the other arguments."""
    flags, others = parse_known_flags(PluginFlags, arguments, prog="python -m transformer")
    if flags.plugin:
        from transformer.config.registry import load_plugin
        from transformer.experiments.presets import PRESETS

        PRESETS.scan()  # `load_plugin` knows the registries of the configs
        for path in flags.plugin:
            load_plugin(path)
    return others
