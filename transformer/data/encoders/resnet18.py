"""ResNet-18 with weights from a torchvision state dict."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from transformer.config.encoders import ENCODERS, EncoderConfig
from transformer.config.plain import MACHINE_PATH
from transformer.data.encoders.base import Encoder, hash_of

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

    def load(self, device: Any) -> Encoder:
        """Return the network; only tensors are unpickled, other files raise `UsageError`."""
        import torch

        from transformer.data.features.networks import ResNet18, load_network

        read = partial(torch.load, map_location="cpu", weights_only=True)
        network = load_network(ResNet18(), self.weights, read, EXPECTED).to(device)
        return Encoder(network, 512, hash_of(Path(self.weights)), device)
