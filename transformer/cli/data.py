"""List data modes, exemplar kinds, evaluators and encoders."""

from dataclasses import dataclass

from coopetition.tools.console import print_rows


@dataclass(frozen=True, kw_only=True)
class Flags:
    json: bool = False
    """Print one JSON object per row."""


def run(flags: Flags) -> None:
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
    print_rows(rows, as_json=flags.json)
