"""What interventions on chosen heads have in common."""

from dataclasses import dataclass

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import Intervention, heads_by_layer


@dataclass(frozen=True, kw_only=True)
class OfHeads(Intervention):
    """Base of the interventions that change one activation of some heads."""

    heads: tuple[str, ...]
    """As "layer:head", counted from 0; "layer:*" for all of a layer."""

    activation = ""
    """Which one, as `pattern`."""

    def __post_init__(self) -> None:
        heads = (self.heads,) if isinstance(self.heads, str) else tuple(self.heads)
        object.__setattr__(self, "heads", heads)
        if not heads:
            raise UsageError(f"{type(self).__name__} names no heads; give some, as in 1:0")

    def by_layer(self, model: ModelConfig) -> dict[int, list[int]]:
        """Its heads, by layer."""
        return heads_by_layer(type(self).__name__, self.heads, model)

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` for a head that is not there."""
        self.by_layer(model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The activation, in the layers of its heads."""
        return tuple(f"blocks.{layer}.{self.activation}" for layer in self.by_layer(model))

    def on_heads(self, site: str, value: Tensor, changed: Tensor, model: ModelConfig) -> Tensor:
        """The activation (R, H, ...), changed where the heads are its own."""
        own = torch.zeros(model.n_heads, dtype=torch.bool, device=value.device)
        own[self.by_layer(model)[int(site.split(".")[1])]] = True
        return torch.where(own.view(-1, *[1] * (value.dim() - 2)), changed, value)

    def _patterns(self, model: ModelConfig) -> frozenset[str]:
        """In words, for those that decide what its heads attend to."""
        return frozenset(
            f"the pattern of {layer}:{head}"
            for layer, heads in self.by_layer(model).items()
            for head in heads
        )


def strength_error(name: str, strength: float) -> None:
    """Raise `UsageError` unless an attention's strength is one."""
    if not 0 <= strength <= 1:
        raise UsageError(f"{name}: strength={strength:g} is no share; choose from 0 to 1")
