"""Embed drawings by a frozen ResNet-18: features for `--exemplars features`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from coopetition.tools.flags import parse_some
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import RAW_SIDE, OmniglotConfig


@dataclass(frozen=True, kw_only=True)
class Start:
    """What decides which other flags there are."""

    drawings: Literal["omniglot", "glyphs"] = "omniglot"
    """Each has its own flags."""


@dataclass(frozen=True, kw_only=True)
class Flags(Start):
    data: GlyphConfig | OmniglotConfig
    weights: Path
    """The state dict of torchvision's resnet18, such as resnet18-f37072fd.pth."""
    out: Path
    """The .npy file."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def defaults(arguments: list[str]) -> Flags:
    start, _ = parse_some(Start, arguments, prog="python -m transformer embed")
    data = OmniglotConfig(side=RAW_SIDE) if start.drawings == "omniglot" else GlyphConfig()
    return Flags(data=data, weights=tyro.MISSING, out=tyro.MISSING, drawings=start.drawings)


def run(flags: Flags) -> None:
    from transformer.data.embed import write_features

    features = write_features(flags.data, flags.weights, flags.out, flags.device)
    print(f"wrote {flags.out}: {features.shape}, float16")
