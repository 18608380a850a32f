"""ResNet-18 with weights from a torchvision state dict."""

from dataclasses import dataclass, field
from typing import Any

from coopetition.tools.errors import UsageError
from transformer.config.encoders import ENCODERS, EncoderConfig
from transformer.config.plain import MACHINE_PATH
from transformer.data.encoders.base import Encoder, hash_of, weights_file

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

        from transformer.data.features.networks import ResNet18, with_weights

        path = weights_file(self.weights, EXPECTED)
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a foreign file makes the unpickler raise nearly anything
            kind = type(error).__name__
            raise UsageError(f"{path} cannot be read as weights ({kind}); {EXPECTED}") from error
        network = with_weights(ResNet18(), weights, path, EXPECTED).to(device)
        return Encoder(network, 512, hash_of(path), device)
