"""Train a small encoder on procedural glyphs, for `embed --encoder own`; nothing to download."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from transformer.data.features.train_encoder import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Flags:
    config: Annotated[TrainingConfig, tyro.conf.arg(name="")] = field(
        default_factory=TrainingConfig
    )
    out: Path
    """The .safetensors file."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int | None = None
    """CPU threads (without: all cores)."""
    json: bool = False
    """Print one JSON object."""


def run(flags: Flags) -> None:
    from coopetition.tools.console import print_table, print_written
    from transformer.data.features.train_encoder import train_encoder

    result = train_encoder(flags.config, flags.out, device=flags.device, threads=flags.threads)
    print_written(flags.out, as_json=flags.json)
    print_table(result, as_json=flags.json)
