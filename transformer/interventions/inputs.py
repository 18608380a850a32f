"""Tokens that say nothing.

A layer that reads what perfect previous-token heads would give it.

A function of one's own, at sites by name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention, places
from transformer.config.plain import OMIT_DEFAULT_FROM_ID
from transformer.model.hooks import Scene, inward, matching_sites, outward, site_names
from transformer.model.transformer import layer_norm, queries_keys_values


@INTERVENTIONS.register("AblateEmbedding")
@dataclass(frozen=True, kw_only=True)
class AblateEmbedding(Intervention):
    """Tokens are 0, positions stay: only what is preserved says anything."""

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The tokens."""
        return ("embed",)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Zero."""
        return torch.zeros_like(value)


EMBEDDED = "blocks.0.resid_pre"


@INTERVENTIONS.register("PerfectPreviousTokenInput")
@dataclass(frozen=True, kw_only=True)
class PerfectPreviousTokenInput(Intervention):
    """A layer sees embeddings: for its patterns, each token's is that of the one before it.

    The embeddings have their positions; the first token and the query keep their own.  Values and
    residual are those of the embeddings as they are, whatever the layers before would make of them.
    """

    layer: int = field(default=1, metadata=OMIT_DEFAULT_FROM_ID)

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


@dataclass(frozen=True, kw_only=True)
class At(Intervention):
    """A function `(name, value, scene) -> value` at sites by name or pattern, as `blocks.*.z`.

    Values have the batch first, see `transformer.model.hooks`; what comes back must have the
    shape of what came: of one token in the last layer of a plain pass, of all with
    `run_with_cache`.  It acts after those that stand before it.  It is no value that can be written
    down: it acts in this process only, and is refused in a config.
    """

    in_process_only: ClassVar[bool] = True
    names: tuple[str, ...]
    function: Callable[[str, Tensor, Scene], Tensor]

    def __post_init__(self) -> None:
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        object.__setattr__(self, "names", names)
        if not names:
            raise UsageError("At names no sites; give some, as in blocks.0.z")

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` for a name that no site has."""
        matching_sites(self.names, model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """Those that its names match."""
        return matching_sites(self.names, model)

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """Its sites by this function, so that it does not stand there twice."""
        return frozenset(f"{site} by {self.function!r}" for site in self.sites(model))

    def to_text(self) -> str:
        """For a message."""
        return f"At {', '.join(self.names)}"

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """What the function gives, for each run."""
        batch, runs = scene.labels.shape[-1], []
        for of_run in value:
            seen = outward(site, of_run, batch)
            changed = self.function(site, seen, scene)
            if not isinstance(changed, Tensor) or changed.shape != seen.shape:
                shape = getattr(changed, "shape", None)
                came = type(changed).__name__ if shape is None else f"{(*shape,)}"
                came += "" if isinstance(changed, Tensor) else " that is no tensor"
                raise UsageError(f"At {site}: the function gave {came}; expected {(*seen.shape,)}")
            runs.append(inward(site, changed))
        return torch.stack(runs)
