"""Networks of the encoders, as torch modules."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_readable

RESNET_CHANNELS = (64, 64, 128, 256, 512)  # of the stem and the four layers of two blocks each
OWN_CHANNELS = (1, 32, 64, 128)  # of the image, and after each 3 x 3 convolution
OWN_STRIDES = (2, 2, 1)
POOLED = 2  # side of the map to which the last feature map is averaged
D_OWN = OWN_CHANNELS[-1] * POOLED**2


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016) without the classifier; parameters have torchvision's names.

    It is written out here, because torchvision can only be imported with the one build of torch
    that it was compiled for; only the tests use it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, RESNET_CHANNELS[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(RESNET_CHANNELS[0])
        for layer, (inputs, outputs) in enumerate(pairwise(RESNET_CHANNELS), 1):
            blocks = Block(inputs, outputs, 1 if layer == 1 else 2), Block(outputs, outputs, 1)
            setattr(self, f"layer{layer}", nn.Sequential(*blocks))

    def forward(self, images: Tensor) -> Tensor:
        """Return the classifier's inputs (n, 512) for normalised images (n, 3, height, width)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, stride=2, padding=1)
        for layer in range(1, len(RESNET_CHANNELS)):
            x = getattr(self, f"layer{layer}")(x)
        return x.mean((2, 3))


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride > 1:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample.extend([shortcut, nn.BatchNorm2d(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class OwnNetwork(nn.Module):
    """The small network that `train-encoder` trains."""

    def __init__(self) -> None:
        super().__init__()
        channels = zip(pairwise(OWN_CHANNELS), OWN_STRIDES, strict=True)
        self.conv = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1)
            for (inputs, outputs), stride in channels
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return features (n, 512) of images (n, 1, side, side)."""
        x = images
        for convolution in self.conv:
            x = F.relu(convolution(x))
        return pooled(x)


def pooled(feature_map: Tensor) -> Tensor:
    """Return the means over the quarters of a feature map (n, channels, height, width)."""
    return F.adaptive_avg_pool2d(feature_map, POOLED).flatten(1)


def load_network(
    network: nn.Module, weights: str, read: Callable[[Path], Any], expected: str
) -> nn.Module:
    """Return a network, frozen, with the weights of a file; unfit ones raise `UsageError`.

    Parameters
    ----------
    weights : path of the file
    read : returns what the file holds; other entries than the network's are ignored
    expected : what it is expected to hold, for messages
    """
    path = Path(weights)
    if not weights:
        raise UsageError(f"no weights are given; give --encoder.weights; {expected}")
    check_readable(path, f"give --encoder.weights; {expected}")
    try:
        found = read(path)
    except Exception as error:  # a foreign file makes the unpickler raise nearly anything
        kind = type(error).__name__
        raise UsageError(f"{path} cannot be read as weights ({kind}); {expected}") from error
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    tensors = found if isinstance(found, dict) else {}
    if missing := [name for name in names if not isinstance(tensors.get(name), Tensor)]:
        raise UsageError(f"{path} has no tensor {missing[0]!r}; {expected}")
    try:
        network.load_state_dict({name: tensors[name] for name in names}, strict=False)
    except RuntimeError as error:
        line = str(error).strip().splitlines()[-1].strip()
        raise UsageError(f"{path} does not fit ({line}); {expected}") from error
    return network.eval().requires_grad_(False)
