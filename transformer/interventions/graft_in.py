"""Another model's lower half."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, places
from transformer.interventions.graft import Graft, Other, residual_by_run
from transformer.model.intervened import Scene
from transformer.model.sites import site_names


@INTERVENTIONS.register("GraftIn")
@dataclass(frozen=True, kw_only=True)
class GraftIn(Graft):
    """Embeddings and layers up to `till` are another model's; the later ones read its output."""

    till: int
    at: ClassVar[str] = "till"
    turn: ClassVar[int] = -1

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The output of that layer."""
        return (self.meeting,)

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """The lower half."""
        return frozenset(f"layer {layer}" for layer in range(self.till + 1))

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """All before that output."""
        below = ("embed", *(f"blocks.{layer}." for layer in range(self.till + 1)))
        every = places(site_names(model), model) - {self.meeting}
        return frozenset(place for place in every if place.startswith(below))

    def replaces(self) -> tuple[str, ...]:
        """The lower half."""
        return (f"input.{self.till}",)

    def acting_with(self, other: Other) -> Callable[[str, Tensor, Scene], Tensor]:
        """The other's output, instead of the model's own."""

        def act(site: str, value: Tensor, scene: Scene) -> Tensor:
            found = {}

            def keep(name: str, theirs: Tensor) -> Tensor:
                if name == site:
                    found[name] = theirs
                return theirs

            other.final(scene, then=keep)
            runs, _, batch = scene.labels.shape
            return residual_by_run(found[site], runs, batch).to(value.dtype)

        return act
