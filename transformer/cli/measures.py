"""List the measures: each is taken per run, per checkpoint, or per checkpoint and evaluator.

The command `measure` takes those per evaluator; a plan takes all.
"""

from dataclasses import dataclass

from coopetition.tools.console import print_rows


@dataclass(frozen=True, kw_only=True)
class Flags:
    json: bool = False
    """Print one JSON object for each row."""


def run(flags: Flags) -> None:
    from transformer.measures import MEASURES

    rows = [
        {"measure": name, "per": MEASURES[name].per, "what": line}
        for name, line in MEASURES.summaries().items()
    ]
    print_rows(rows, as_json=flags.json)
