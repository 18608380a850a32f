"""Embed drawings with a frozen encoder, as features for `--exemplars features`.

To continue after an interruption, run the same command again.  Encoder and drawings have options of
their own: `--encoder NAME --drawings KIND --help` shows them with their values.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from coopetition.tools.flags import default_shown_as, parse_known_flags
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.encoders import ENCODERS, EncoderConfig, ReductionConfig
from transformer.data.exemplars.omniglot import RAW_SIDE, OmniglotConfig


@dataclass(frozen=True, kw_only=True)
class Start:
    """Options that decide which others exist."""

    encoder: str = "efficientnet"
    """Encoder to use; `data` lists them."""
    drawings: str = "omniglot"
    """Drawings to embed: a kind of exemplars, such as `omniglot` or `glyphs`."""


@dataclass(frozen=True, kw_only=True)
class Flags(Start):
    network: Annotated[EncoderConfig, tyro.conf.arg(name="encoder")]
    data: ExemplarConfig
    reduction: ReductionConfig = field(default_factory=ReductionConfig)
    out: Path
    """Output file (.safetensors)."""
    device: str = "auto"
    """Device: `auto`, `cpu`, `cuda` or `mps`."""
    threads: Annotated[int | None, default_shown_as("all cores")] = None
    """Number of CPU threads."""
    json: bool = False
    """Print the file's provenance as one JSON object."""


def defaults(arguments: list[str]) -> Flags:
    start, _ = parse_known_flags(Start, arguments, prog="python -m transformer embed")
    data = EXEMPLAR_KINDS[start.drawings]()
    if isinstance(data, OmniglotConfig):
        data = data.with_fields(side=RAW_SIDE)  # as drawn: the encoder resizes them
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
    from transformer.training.machine import Machine

    started = time.monotonic()
    provenance = write_features(
        flags.data,
        flags.network,
        flags.out,
        reduction=flags.reduction,
        device=Machine.choose(flags.device, flags.threads, "eager").device,
        threads=flags.threads,
    )
    print_written(flags.out, as_json=flags.json)
    if flags.json:
        print_json(provenance)
    else:
        seconds = {"seconds": round(time.monotonic() - started, 1)}
        print_table(provenance["result"] | seconds, as_json=False)
