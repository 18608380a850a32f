"""List the named runs: steps, what they are, whose checkpoint they start from."""

from dataclasses import dataclass

from coopetition.tools.console import print_rows
from transformer.experiments.presets import PRESETS, Scale


@dataclass(frozen=True, kw_only=True)
class Flags:
    scale: Scale = "cpu"
    """Of the papers' presets: `smoke`, `cpu`, `gpu` or `paper`; those that lack it are left out."""
    json: bool = False
    """Print one JSON object a preset."""


def run(flags: Flags) -> None:
    rows = []
    small_first = sorted(PRESETS.items(), key=lambda item: "/" in item[0])
    for name, preset in small_first:
        if flags.scale not in preset.scales:
            continue
        config = preset.make(flags.scale)
        start = f"{preset.after} at step {config.start.step}" if preset.after else None
        rows.append(
            {"preset": name, "steps": config.n_steps, "what": preset.what, "starts_from": start}
        )
    print_rows(rows, as_json=flags.json)
