"""List the data modes, kinds of exemplars, evaluators and encoders that there are."""

from dataclasses import dataclass

from coopetition.tools.console import print_rows


@dataclass(frozen=True, kw_only=True)
class Flags:
    json: bool = False
    """Print one JSON object a row."""


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
        {"for": what, "name": name, "what": line}
        for what, registry in tables.items()
        for name, line in registry.summaries().items()
    ]
    print_rows(rows, as_json=flags.json)
