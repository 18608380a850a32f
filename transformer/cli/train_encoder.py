"""Train a small encoder on procedural glyphs, for `embed --encoder own`, without a download."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from coopetition.tools.flags import default_shown_as
from transformer.data.encoders.own import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Flags:
    config: Annotated[TrainingConfig, tyro.conf.arg(name="")] = field(
        default_factory=TrainingConfig
    )
    out: Path
    """Output file (.safetensors)."""
    device: str = "auto"
    """Device: `auto`, `cpu`, `cuda` or `mps`."""
    threads: Annotated[int | None, default_shown_as("all cores")] = None
    """Number of CPU threads."""
    json: bool = False
    """Print one JSON object."""


def run(flags: Flags) -> None:
    from coopetition.tools.console import print_table, print_written
    from transformer.data.features.train_encoder import train_encoder
    from transformer.training.machine import Machine

    device = Machine.choose(flags.device, flags.threads, "eager").device
    result = train_encoder(flags.config, flags.out, device=device, threads=flags.threads)
    print_written(flags.out, as_json=flags.json)
    print_table(result, as_json=flags.json)
