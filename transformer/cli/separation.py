"""Measure how well exemplars, such as features or pixels, separate their classes.

Use it to choose an encoder, its image size and a reduction.
"""

from dataclasses import asdict, dataclass

from coopetition.tools.flags import parse_known_flags
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig


@dataclass(frozen=True, kw_only=True)
class Start:
    """Options that decide which others exist."""

    exemplars: str = "features"
    """Kind of exemplars; the command `data` lists them."""


@dataclass(frozen=True, kw_only=True)
class Flags(Start):
    data: ExemplarConfig
    json: bool = False
    """Print one JSON object."""


def defaults(arguments: list[str]) -> Flags:
    start, _ = parse_known_flags(Start, arguments, prog="python -m transformer separation")
    return Flags(data=EXEMPLAR_KINDS[start.exemplars](), exemplars=start.exemplars)


def run(flags: Flags) -> None:
    from coopetition.tools.console import print_table
    from transformer.data.exemplar_sets import load_exemplars
    from transformer.data.features.separation import separation

    print_table(asdict(separation(load_exemplars(flags.data))), as_json=flags.json)
