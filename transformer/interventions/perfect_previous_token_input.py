"""A layer that reads what perfect previous-token heads would give it."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention, places
from transformer.config.plain import ADDED
from transformer.model.forward import layer_norm, queries_keys_values
from transformer.model.intervened import Scene
from transformer.model.sites import site_names

EMBEDDED = "blocks.0.resid_pre"


@INTERVENTIONS.register("PerfectPreviousTokenInput")
@dataclass(frozen=True, kw_only=True)
class PerfectPreviousTokenInput(Intervention):
    """A layer sees embeddings: for its patterns, each token's is that of the one before it.

    The embeddings have their positions; the first token and the query keep their own.  Values and
    residual are those of the embeddings as they are, whatever the layers before would make of them.
    """

    layer: int = field(default=1, metadata=ADDED)

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` unless there is such a layer after the first."""
        if not 1 <= self.layer < model.n_layers:
            last = model.n_layers - 1
            raise UsageError(
                f"PerfectPreviousTokenInput: layer={self.layer}; "
                + (f"choose from 1 to {last}" if last else "the model has one layer only")
            )

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The embeddings, what the layer reads, its queries and keys."""
        block = f"blocks.{self.layer}."
        return EMBEDDED, block + "resid_pre", block + "q", block + "k"

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """What the layer reads."""
        return frozenset({f"what layer {self.layer} reads"})

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """The layers before, but for the embeddings, and its own queries and keys."""
        before = tuple(f"blocks.{layer}." for layer in range(self.layer))
        own = tuple(f"blocks.{self.layer}.{name} " for name in "qk")
        every = places(site_names(model), model) - {EMBEDDED}
        return frozenset(place for place in every if place.startswith((*before, *own)))

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Keep the embeddings; read them; read them shifted."""
        if site == EMBEDDED:
            scene.seen[EMBEDDED] = value
            return value
        embedded = scene.seen[EMBEDDED]
        if site.endswith("resid_pre"):
            return embedded
        batch, block = scene.labels.shape[-1], f"blocks.{self.layer}."
        tokens = embedded.unflatten(1, (-1, batch))
        shifted = torch.cat([tokens[:, :1], tokens[:, :-2], tokens[:, -1:]], 1).flatten(1, 2)
        x = layer_norm(scene.parameters, block + "ln_", shifted)
        each = queries_keys_values(scene.parameters, scene.config, block, x, batch)
        return each["qk".index(site[-1])]
