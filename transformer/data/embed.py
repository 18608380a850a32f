"""Drawings as a frozen ResNet-18 sees them: features for `FeatureConfig`."""

import io
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_file, write_bytes
from coopetition.tools.progress import ProgressReport
from transformer.data.arrays import convert
from transformer.data.exemplar_sets import Exemplars, load_exemplars
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import RAW_SIDE, OmniglotConfig
from transformer.data.images import SIDE
from transformer.data.resnet18 import D_FEATURES, read_resnet18, resnet18_features
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


def write_features(
    data: GlyphConfig | OmniglotConfig, weights: Path, out: Path, device: str = "auto"
) -> NDArray[np.float16]:
    """Write the features of the drawings of `data` to the `.npy` file `out`, and return them."""
    check_file(out)
    if out.suffix != ".npy":
        raise UsageError(f"out={str(out)!r} is no .npy file; choose a name that ends so")
    place = choose_device(device)
    read_resnet18(weights)  # first: reading the drawings takes longer
    features = embed_drawings(load_exemplars(data), weights, place)
    buffer = io.BytesIO()
    np.save(buffer, features, allow_pickle=False)
    write_bytes(out, buffer.getvalue())
    return features
