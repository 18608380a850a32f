"""List the interventions with their settings."""

from dataclasses import dataclass, fields

from coopetition.tools.console import print_rows


@dataclass(frozen=True, kw_only=True)
class Flags:
    json: bool = False
    """Print one JSON object for each row."""


def run(flags: Flags) -> None:
    from transformer.config.interventions import INTERVENTIONS

    described = INTERVENTIONS.summaries()
    rows = [
        {
            "intervention": name,
            "settings": ", ".join(item.name for item in fields(kind)),  # pyright: ignore
            "what": described[name],
        }
        for name, kind in INTERVENTIONS.items()
    ]
    print_rows(rows, as_json=flags.json)
