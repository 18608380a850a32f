"""ResNet-18 (He et al. 2016) as a fixed function of images, from a torchvision state dict.

The forward pass is written out here, because torchvision can only be imported with the one build of
torch that it was compiled for; only the tests use it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from coopetition.tools.errors import UsageError
from transformer.config.encoders import ENCODERS, EncoderConfig
from transformer.config.plain import MACHINE_PATH
from transformer.data.encoders.base import Encoder, hash_of, weights_file

if TYPE_CHECKING:
    from torch import Tensor, device

D_FEATURES = 512
CHANNELS = (64, 128, 256, 512)  # of the four layers of two blocks each
BLOCKS = [(layer, block) for layer in range(4) for block in range(2)]
EXPECTED = "expected the state dict of torchvision's resnet18"


@ENCODERS.register("resnet18")
@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet18Config(EncoderConfig):
    """ResNet-18 with your weights file: 512 features, as in the coopetition paper."""

    side: int = 224  # trained on this, with ImageNet's mean and deviation
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    weights: str = field(default="", metadata=MACHINE_PATH)
    """State dict of torchvision's resnet18, such as resnet18-f37072fd.pth (the paper's)."""

    def load(self, device: "device") -> Encoder:
        """Return the network; a file that holds something else raises `UsageError`."""
        path = weights_file(self.weights, EXPECTED)
        weights = {name: value.to(device) for name, value in read_resnet18(path).items()}

        def features(images: "Tensor") -> "Tensor":
            return resnet18_features(weights, images)

        return Encoder(features, D_FEATURES, hash_of(path), device)


def resnet18_features(weights: "dict[str, Tensor]", images: "Tensor") -> "Tensor":
    """Return the classifier's inputs (n, 512) for normalised images (n, 3, height, width)."""
    import torch.nn.functional as F

    x = F.conv2d(images, weights["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(_norm(weights, "bn1", x)), 3, stride=2, padding=1)
    for layer, block in BLOCKS:
        name = f"layer{layer + 1}.{block}."
        stride = 2 if layer > 0 and block == 0 else 1
        y = F.conv2d(x, weights[name + "conv1.weight"], stride=stride, padding=1)
        y = F.relu(_norm(weights, name + "bn1", y))
        y = _norm(weights, name + "bn2", F.conv2d(y, weights[name + "conv2.weight"], padding=1))
        if stride == 2:
            x = F.conv2d(x, weights[name + "downsample.0.weight"], stride=2)
            x = _norm(weights, name + "downsample.1", x)
        x = F.relu(x + y)
    return x.mean((2, 3))


def _norm(weights: "dict[str, Tensor]", name: str, x: "Tensor") -> "Tensor":
    import torch.nn.functional as F

    mean, var = weights[name + ".running_mean"], weights[name + ".running_var"]
    return F.batch_norm(x, mean, var, weights[name + ".weight"], weights[name + ".bias"])


def read_resnet18(path: Path) -> "dict[str, Tensor]":
    """Return the weights in a state dict of torchvision's ResNet-18, without the classifier.

    Only tensors are unpickled.  A file that holds something else raises `UsageError`.
    """
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file makes the unpickler raise nearly anything
        kind = type(error).__name__
        raise UsageError(f"{path} cannot be read as weights ({kind}); {EXPECTED}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds a {type(found).__name__}; {EXPECTED}")
    weights = {}
    for name, shape in shapes().items():
        value = found.get(name)
        if not isinstance(value, torch.Tensor) or value.shape != shape:
            what = tuple(value.shape) if isinstance(value, torch.Tensor) else "missing"
            raise UsageError(f"{name} in {path} is {what}, not {shape}; {EXPECTED}")
        weights[name] = value.float()
    return weights


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights but the classifier's."""
    result: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)} | _norm_shapes("bn1", 64)
    inputs = 64
    for layer, block in BLOCKS:
        name, outputs = f"layer{layer + 1}.{block}.", CHANNELS[layer]
        result[name + "conv1.weight"] = (outputs, inputs, 3, 3)
        result[name + "conv2.weight"] = (outputs, outputs, 3, 3)
        result |= _norm_shapes(name + "bn1", outputs) | _norm_shapes(name + "bn2", outputs)
        if inputs != outputs:
            result[name + "downsample.0.weight"] = (outputs, inputs, 1, 1)
            result |= _norm_shapes(name + "downsample.1", outputs)
        inputs = outputs
    return result


def _norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{kind}": (channels,) for kind in kinds}
