"""List the measures of a model that there are."""

from dataclasses import dataclass

from coopetition.tools.console import print_rows


@dataclass(frozen=True, kw_only=True)
class Flags:
    json: bool = False
    """Print one JSON object a row."""


def run(flags: Flags) -> None:
    from transformer.measures.of_models import MODEL_MEASURES

    rows = [{"measure": n, "what": line} for n, line in MODEL_MEASURES.summaries().items()]
    print_rows(rows, as_json=flags.json)
