"""Another model's upper half."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, places
from transformer.interventions.graft import Graft, Other, residual_as_one
from transformer.model.intervened import Scene
from transformer.model.sites import site_names


@INTERVENTIONS.register("GraftOut")
@dataclass(frozen=True, kw_only=True)
class GraftOut(Graft):
    """The layers after `from_` and the unembedding are another model's.

    They read what the own ones before leave.
    """

    from_: int
    at: ClassVar[str] = "from_"

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The output of that layer, and the logits."""
        return self.meeting, "logits"

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """The upper half, and the logits."""
        above = range(self.from_ + 1, model.n_layers)
        return frozenset({"the logits", *(f"layer {layer}" for layer in above)})

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """All after that output, but for the logits."""
        layers = range(self.from_ + 1, model.n_layers)
        above = ("ln_final", *(f"blocks.{layer}." for layer in layers))
        every = places(site_names(model), model)
        return frozenset(place for place in every if place.startswith(above))

    def replaces(self) -> tuple[str, ...]:
        """The upper half."""
        return (f"output.{self.from_}",)

    def acting_with(self, other: Other) -> Callable[[str, Tensor, Scene], Tensor]:
        """Keep the output; make logits of it."""
        key = f"{self.meeting} for {self}"  # not in `act`: torch.compile cannot print dataclasses

        def act(site: str, value: Tensor, scene: Scene) -> Tensor:
            if site != "logits":
                scene.seen[key] = value
                return value
            resid = residual_as_one(scene.seen[key], scene.labels.shape[-1])

            def inject(name: str, theirs: Tensor) -> Tensor:
                return resid.to(theirs.dtype) if name == self.meeting else theirs

            return other.logits(scene, inject).to(value.dtype)

        return act
