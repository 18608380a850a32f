"""Drawings as a frozen ResNet-18 sees them: features for `FeatureConfig`."""

import argparse
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from numpy.typing import NDArray

from coopetition.tools.command_line import parse
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_file, write_bytes
from coopetition.tools.progress import ProgressReport
from transformer.config import GlyphConfig, OmniglotConfig
from transformer.data.exemplars import Exemplars, load_exemplars
from transformer.data.exemplars.arrays import convert
from transformer.data.exemplars.images import SIDE
from transformer.data.exemplars.omniglot import RAW_SIDE
from transformer.data.exemplars.resnet18 import D_FEATURES, read_resnet18, resnet18_features
from transformer.runs.machine import choose_device

INPUT_SIDE = 224  # what the network was trained on
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, per channel
BATCH = 64  # drawings at once


def embed_drawings(
    drawings: Exemplars, weights: Path, device: torch.device | None = None
) -> NDArray[np.float16]:
    """ResNet-18 features (n_classes, n_exemplars, 512) of square drawings.

    `weights` is a file of torchvision's resnet18 state dict (the paper's: IMAGENET1K_V1).  A bad
    one, or exemplars that are no drawings, raise `UsageError`.  Features depend in their last
    digits on the device and its number of threads.
    """
    side = math.isqrt(drawings.d_features)
    if side not in (SIDE, RAW_SIDE):
        raise UsageError(
            f"exemplars of {drawings.d_features} features are no drawings; "
            f"expected {SIDE} x {SIDE} or {RAW_SIDE} x {RAW_SIDE} pixels"
        )
    network = {name: value.to(device) for name, value in read_resnet18(weights).items()}
    n_drawings = drawings.n_classes * drawings.n_exemplars
    features = torch.empty(n_drawings, D_FEATURES, dtype=torch.float16)
    with (
        torch.inference_mode(),
        ProgressReport("embed drawings", n_drawings, "drawings") as progress,
    ):
        for index in torch.arange(n_drawings).split(BATCH):
            images = network_images(drawings.features(index).view(-1, 1, side, side).to(device))
            batch = resnet18_features(network, images)
            features[index] = convert(batch, features.dtype, f"the network of {weights}").cpu()
            progress.advance(len(index))
    return features.view(drawings.n_classes, drawings.n_exemplars, D_FEATURES).numpy()


def network_images(ink: torch.Tensor) -> torch.Tensor:
    """Images (n, 3, 224, 224) for the network, of drawings (n, 1, side, side) with ink 0 to 1.

    Dark ink on white paper, as in Omniglot's own files; bilinear; ImageNet's mean and deviation.
    """
    grey = F.interpolate(1 - ink, (INPUT_SIDE, INPUT_SIDE), mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(v, device=ink.device).view(3, 1, 1) for v in (MEAN, STD))
    return (grey - mean) / std


@dataclass(frozen=True, kw_only=True)
class EmbedFlags:
    """Write ResNet-18 features of drawings to a file that `FeatureConfig` reads."""

    data: GlyphConfig | OmniglotConfig
    weights: Path
    """The state dict of torchvision's resnet18, such as resnet18-f37072fd.pth."""
    out: Path
    """The .npy file."""
    drawings: str = "omniglot"
    """omniglot or glyphs (each has its own flags)."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def embed_command(arguments: list[str]) -> None:
    """Write what a frozen ResNet-18 sees in drawings to a feature file."""
    kinds = {"omniglot": OmniglotConfig(side=RAW_SIDE), "glyphs": GlyphConfig()}
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--drawings", nargs="?", default="omniglot")
    drawings = first.parse_known_args(arguments)[0].drawings
    if drawings not in kinds:
        raise UsageError(f"drawings {drawings!r} is unknown; choose one of {', '.join(kinds)}")
    flags = parse(
        EmbedFlags,
        arguments,
        prog="python -m transformer embed",
        default=EmbedFlags(
            data=kinds[drawings], weights=tyro.MISSING, out=tyro.MISSING, drawings=drawings
        ),
    )
    check_file(flags.out)
    if flags.out.suffix != ".npy":
        raise UsageError(f"out={str(flags.out)!r} is no .npy file; choose a name that ends so")
    device = choose_device(flags.device)
    read_resnet18(flags.weights)  # first: reading the drawings takes longer
    features = embed_drawings(load_exemplars(flags.data), flags.weights, device)
    buffer = io.BytesIO()
    np.save(buffer, features, allow_pickle=False)
    write_bytes(flags.out, buffer.getvalue())
    print(f"wrote {flags.out}: {features.shape}, float16")
