"""Interventions on what layers read, and functions of one's own at any site."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention
from transformer.config.plain import OMIT_DEFAULT_FROM_ID
from transformer.config.sites import matching_sites, places
from transformer.model.hooks import Scene, inward, outward
from transformer.model.transformer import layer_norm, queries_keys_values

EMBEDDED = "blocks.0.resid_pre"  # the tokens with their positions


@INTERVENTIONS.register("AblateEmbedding")
@dataclass(frozen=True, kw_only=True)
class AblateEmbedding(Intervention):
    """Tokens are 0, positions are unchanged: only preserved activations carry information."""

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        return ("embed",)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        return torch.zeros_like(value)


@INTERVENTIONS.register("PerfectPreviousTokenInput")
@dataclass(frozen=True, kw_only=True)
class PerfectPreviousTokenInput(Intervention):
    """A layer reads embeddings; its patterns are computed as if each token were the one before it.

    The embeddings include positions; the first token and the query keep their own.  Values and
    residual are those of the unshifted embeddings, whatever earlier layers would make of them.
    """

    layer: int = field(default=1, metadata=OMIT_DEFAULT_FROM_ID)

    def check(self, model: ModelConfig) -> None:
        if not 1 <= self.layer < model.n_layers:
            last = model.n_layers - 1
            raise UsageError(
                f"PerfectPreviousTokenInput: layer={self.layer}; "
                + (f"choose from 1 to {last}" if last else "the model has one layer only")
            )

    def _own_sites(self) -> tuple[str, ...]:
        return tuple(f"blocks.{self.layer}.{name}" for name in ("resid_pre", "q", "k"))

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        return EMBEDDED, *self._own_sites()

    def changes(self, model: ModelConfig) -> frozenset[str]:
        return frozenset(place for site in self._own_sites() for place in places(site, model))

    def overwrites(self, model: ModelConfig) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(self.changes(model), (EMBEDDED,))

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
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

    Values have the batch first, see `transformer.model.hooks`.  What the function returns must have
    the shape of its value: one token in the last layer of a plain pass, all tokens with
    `run_with_cache`.  It acts after those that stand before it.  It has no JSON form: it acts in
    this process only, and is refused in a config.
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
        self.sites(model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        return matching_sites(self.names, model)

    def claims_in(self, model: ModelConfig) -> frozenset[str]:
        """Return its sites by this function, so that the same one is refused a second time."""
        return frozenset(f"{site} by {self.function!r}" for site in self.sites(model))

    def to_text(self) -> str:
        return f"At {', '.join(self.names)}"

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        batch, runs = scene.labels.shape[-1], []
        for of_run in value:
            seen = outward(site, of_run, batch)
            changed = self.function(site, seen, scene)
            if not isinstance(changed, Tensor) or changed.shape != seen.shape:
                is_tensor = isinstance(changed, Tensor)
                given = f"shape {(*changed.shape,)}" if is_tensor else type(changed).__name__
                raise UsageError(
                    f"At {site}: the function returned {given}; expected a tensor of shape "
                    f"{(*seen.shape,)}"
                )
            runs.append(inward(site, changed))
        return torch.stack(runs)
