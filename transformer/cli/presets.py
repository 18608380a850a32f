"""List the presets: steps, a description, and the checkpoint that each starts from."""

from dataclasses import dataclass

from coopetition.tools.console import print_rows
from transformer.config.run import Scale


@dataclass(frozen=True, kw_only=True)
class Flags:
    scale: Scale = "cpu"
    """Scale of the papers' presets: `smoke`, `cpu`, `gpu` or `paper`; others are left out."""
    json: bool = False
    """Print one JSON object per preset."""


def run(flags: Flags) -> None:
    """Print the presets that exist at a scale, those without a paper first."""
    from transformer.experiments.presets import PRESETS

    rows = []
    for name, preset in sorted(PRESETS.items(), key=lambda item: "/" in item[0]):
        if flags.scale in preset.scales:
            config = preset.config(flags.scale)
            start = f"{preset.after} at step {config.start.step}" if preset.after else None
            description = {"description": preset.description, "starts_from": start}
            rows.append({"preset": name, "steps": config.n_steps} | description)
    print_rows(rows, as_json=flags.json)
