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
            at_scale = preset.at(flags.scale)
            source, step = at_scale.starts_from, at_scale.config.start.step
            rows.append(
                {
                    "preset": name,
                    "steps": at_scale.config.n_steps,
                    "description": at_scale.description,
                    "starts_from": f"{source} at step {step}" if source else None,
                }
            )
    print_rows(rows, as_json=flags.json)
