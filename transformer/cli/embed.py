"""Embed drawings by a frozen encoder: features for `--exemplars features`.

A call that was stopped is gone on with by the same call.  Encoder and drawings have flags of their
own: `--encoder NAME --drawings KIND --help` shows them with their values.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from coopetition.tools.commands import parse_known_flags
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.encoders import ENCODERS, EncoderConfig
from transformer.data.exemplars.omniglot import RAW_SIDE, OmniglotConfig
from transformer.data.features.embed import ReductionConfig


@dataclass(frozen=True, kw_only=True)
class Start:
    """What decides which other flags there are."""

    encoder: str = "efficientnet"
    """The network; `data` lists them (each has its own flags)."""
    drawings: str = "omniglot"
    """What is embedded: a kind of exemplars that are drawings, as omniglot and glyphs."""


@dataclass(frozen=True, kw_only=True)
class Flags(Start):
    network: Annotated[EncoderConfig, tyro.conf.arg(name="encoder")]
    data: ExemplarConfig
    reduction: ReductionConfig = field(default_factory=ReductionConfig)
    out: Path
    """The .safetensors file."""
    raw: Path | None = None
    """Keep what the encoder gives in this file (half precision, all features), so that other
    reductions of it take minutes; without, it is removed at the end."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int | None = None
    """CPU threads (without: as begun, or all cores)."""
    json: bool = False
    """Print the file's provenance as one JSON object."""


def defaults(arguments: list[str]) -> Flags:
    start, _ = parse_known_flags(Start, arguments, prog="python -m transformer embed")
    data = EXEMPLAR_KINDS[start.drawings]()
    if isinstance(data, OmniglotConfig):
        data = data.with_fields(side=RAW_SIDE)  # as drawn: the encoder has its own size
    return Flags(
        network=ENCODERS[start.encoder](),  # pyright: ignore[reportCallIssue]
        data=data,
        out=tyro.MISSING,
        encoder=start.encoder,
        drawings=start.drawings,
    )


def run(flags: Flags) -> None:
    import time

    from coopetition.tools.console import print_json, print_table, print_written
    from transformer.data.features.embed import write_features

    started = time.monotonic()
    provenance = write_features(
        flags.data,
        flags.network,
        flags.out,
        reduction=flags.reduction,
        raw=flags.raw,
        device=flags.device,
        threads=flags.threads,
    )
    print_written(flags.out, as_json=flags.json)
    if flags.json:
        print_json(provenance)
    else:
        seconds = {"seconds": round(time.monotonic() - started, 1)}
        print_table(provenance["result"] | seconds, as_json=False)
