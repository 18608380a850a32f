"""Activations as they are without the other interventions."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention, places
from transformer.model.intervened import Scene

What = Literal["queries", "keys", "values", "patterns"]
ACTIVATIONS: dict[str, str] = {"queries": "q", "keys": "k", "values": "v", "patterns": "pattern"}


@INTERVENTIONS.register("Preserve")
@dataclass(frozen=True, kw_only=True)
class Preserve(Intervention):
    """Queries, keys, values or patterns of all layers are those of the model left alone.

    In training their gradient is that of the model left alone, too.
    """

    turn: ClassVar[int] = -1
    what: tuple[What, ...]

    def __post_init__(self) -> None:
        what = (self.what,) if isinstance(self.what, str) else self.what
        if not (isinstance(what, list | tuple) and what and {*map(str, what)} <= {*ACTIVATIONS}):
            raise UsageError(f"Preserve: what={what!r:.80}; choose of {', '.join(ACTIVATIONS)}")
        object.__setattr__(self, "what", tuple(what))

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """Those activations in all layers."""
        return tuple(
            f"blocks.{layer}.{ACTIVATIONS[what]}"
            for layer in range(model.n_layers)
            for what in self.what
        )

    def reads(self, model: ModelConfig) -> tuple[str, ...]:
        """The same."""
        return self.sites(model)

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """What it preserves."""
        return frozenset(f"what {what} are preserved" for what in self.what)

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """What preserved patterns are made of."""
        if "patterns" not in self.what:
            return frozenset()
        made_of = ("q", "k", "attn_scores")
        sites = (f"blocks.{layer}.{name}" for layer in range(model.n_layers) for name in made_of)
        return places(sites, model)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """What is there in the model left alone."""
        return scene.clean[site]
