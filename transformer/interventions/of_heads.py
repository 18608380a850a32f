"""What interventions on chosen heads have in common."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import Intervention, heads_by_layer

HIDDEN = -1e9  # a score that the softmax makes 0, and that is finite, as its gradient then is
COOLEST, HOTTEST = 1e-3, 1e6  # temperatures: what is hidden stays so, and float32 holds the scores


@dataclass(frozen=True, kw_only=True)
class OfHeads(Intervention):
    """Base of the interventions that change one activation of some heads."""

    heads: tuple[str, ...]
    """As "layer:head", counted from 0; "layer:*" for all of a layer."""

    activation = ""
    """Which one, as `pattern`."""

    def __post_init__(self) -> None:
        heads = (self.heads,) if isinstance(self.heads, str) else self.heads
        name = type(self).__name__
        if not (isinstance(heads, Iterable) and all(isinstance(each, str) for each in heads)):
            raise UsageError(f"{name}: heads={heads!r:.80}; give texts, as in ('1:0', '1:1')")
        object.__setattr__(self, "heads", tuple(heads))
        if not self.heads:
            raise UsageError(f"{name} names no heads; give some, as in 1:0")

    def by_layer(self, model: ModelConfig) -> dict[int, list[int]]:
        """Its heads, by layer."""
        return heads_by_layer(type(self).__name__, self.heads, model)

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` for a head that is not there."""
        self.by_layer(model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The activation, in the layers of its heads."""
        return tuple(f"blocks.{layer}.{self.activation}" for layer in self.by_layer(model))

    def touches(self, model: ModelConfig) -> frozenset[str]:
        """The activation of its heads."""
        return self.of_own(self.activation, model=model)

    def of_own(self, *activations: str, model: ModelConfig) -> frozenset[str]:
        """The places of activations of its heads, see `places`."""
        return frozenset(
            f"blocks.{layer}.{activation} of {layer}:{head}"
            for layer, heads in self.by_layer(model).items()
            for head in heads
            for activation in activations
        )

    def on_heads(self, site: str, value: Tensor, changed: Tensor, model: ModelConfig) -> Tensor:
        """The activation (R, H, ...), changed where the heads are its own."""
        own = torch.zeros(model.n_heads, dtype=torch.bool, device=value.device)
        own[self.by_layer(model)[int(site.split(".")[1])]] = True
        return torch.where(own.view(-1, *[1] * (value.dim() - 2)), changed, value)

    def in_words(self, what: str, model: ModelConfig) -> frozenset[str]:
        """`what of 0:3` for each of its heads, for those that decide it."""
        return frozenset(
            f"{what} of {layer}:{head}"
            for layer, heads in self.by_layer(model).items()
            for head in heads
        )

    def check_number(self, name: str, lower: float, upper: float) -> None:
        """Raise `UsageError` unless a field is a number between two."""
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and lower <= value <= upper):
            shown = f"{value:g}" if isinstance(value, float) else f"{value!r:.40}"
            raise UsageError(
                f"{type(self).__name__}: {name}={shown} is out of range; choose from {lower:g} to "
                f"{upper:g}"
            )
