"""Commands that list what can be used by name."""

from dataclasses import dataclass, fields

from coopetition.tools.console import print_rows
from transformer.config.run import Scale


@dataclass(frozen=True, kw_only=True)
class Data:
    """List data modes, exemplar kinds, evaluators and encoders."""

    json: bool = False
    """Print one JSON object per row."""

    def execute(self) -> None:
        from transformer.config.data import EXEMPLAR_KINDS, MODES
        from transformer.config.encoders import ENCODERS
        from transformer.config.evaluators import EVALUATORS

        tables = {
            "--data.mode": MODES,
            "--exemplars": EXEMPLAR_KINDS,
            "evaluator": EVALUATORS,
            "embed --encoder": ENCODERS,
        }
        rows = [
            {"for": flag, "name": name, "what": summary}
            for flag, registry in tables.items()
            for name, summary in registry.summaries().items()
        ]
        print_rows(rows, as_json=self.json)


@dataclass(frozen=True, kw_only=True)
class Interventions:
    """List the interventions with their settings."""

    json: bool = False
    """Print one JSON object per intervention."""

    def execute(self) -> None:
        from transformer.config.interventions import INTERVENTIONS

        rows = [
            {
                "intervention": name,
                "settings": ", ".join(item.name for item in fields(INTERVENTIONS[name])),  # pyright: ignore
                "what": summary,
            }
            for name, summary in INTERVENTIONS.summaries().items()
        ]
        print_rows(rows, as_json=self.json)


@dataclass(frozen=True, kw_only=True)
class Measures:
    """List the measures: of runs, checkpoints, states, or checkpoints on an evaluator's sequences.

    The command `measure` accepts only the last kind (`per` is `evaluator`); a plan accepts all.
    """

    json: bool = False
    """Print one JSON object per measure."""

    def execute(self) -> None:
        from transformer.measures import MEASURES

        rows = [
            {"measure": name, "per": MEASURES[name].per, "what": summary}
            for name, summary in MEASURES.summaries().items()
        ]
        print_rows(rows, as_json=self.json)


@dataclass(frozen=True, kw_only=True)
class Presets:
    """List the presets: steps, a description, and the checkpoint that each starts from.

    The scale `any` marks presets of one size, which --scale does not change.
    """

    scale: Scale = "cpu"
    """Scale of the papers' presets to list: `smoke`, `cpu`, `gpu` or `paper`."""
    json: bool = False
    """Print one JSON object per preset."""

    def execute(self) -> None:
        from transformer.experiments.presets import PRESETS

        rows = []
        for name, preset in sorted(PRESETS.items(), key=lambda item: "/" in item[0]):
            if self.scale in preset.scales:
                at_scale = preset.at(self.scale)
                is_fixed = all(preset.config(each) == at_scale.config for each in preset.scales)
                source, step = at_scale.starts_from, at_scale.config.start.step
                rows.append(
                    {
                        "preset": name,
                        "scale": "any" if is_fixed else self.scale,
                        "steps": at_scale.config.n_steps,
                        "description": at_scale.description,
                        "starts_from": f"{source} at step {step}" if source else None,
                    }
                )
        print_rows(rows, as_json=self.json)
