"""An output that is one head's attention."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention, heads_by_layer, places
from transformer.interventions.of_heads import HIDDEN
from transformer.model.intervened import Scene
from transformer.model.sites import site_names


@INTERVENTIONS.register("CopyFromPattern")
@dataclass(frozen=True, kw_only=True)
class CopyFromPattern(Intervention):
    """The logits of the labels in context are the query's scores for them in one head.

    Others have none.  A label that stands there more than once has the log of the sum of the
    exponentials, so that the softmax over labels is the head's attention.  Scores are those of this
    pass, so that it shows what other interventions do to them.
    """

    turn: ClassVar[int] = 1
    head: str
    """As "layer:head"."""

    def _place(self, model: ModelConfig) -> tuple[str, int]:
        """Its scores' site, and the head's number."""
        ((layer, (head, *_)),) = heads_by_layer("CopyFromPattern", (self.head,), model).items()
        return f"blocks.{layer}.attn_scores", head

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` for a head that is not there, or is more than one."""
        if self.head.endswith(":*"):
            raise UsageError(f"CopyFromPattern: head={self.head!r} is all of a layer; name one")
        self._place(model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """Its scores, and the logits."""
        return self._place(model)[0], "logits"

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """The logits."""
        return frozenset({"the logits"})

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """All that comes after the scores, and what other heads of their layer are made of."""
        layer, _, head = self.head.partition(":")
        after = [f"blocks.{later}." for later in range(int(layer) + 1, model.n_layers)]
        own = f"blocks.{layer}."
        beyond = ("pattern", "v", "z", "attn_out", "mlp", "resid_post")
        return frozenset(
            place
            for place in places(site_names(model), model)
            if place.startswith((*after, "ln_final", *(own + name for name in beyond)))
            or (place.startswith(own) and " of " in place and not place.endswith(f":{int(head)}"))
        )

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Keep the scores; make logits of them."""
        if site != "logits":
            scene.seen[f"{site} of {self.head}"] = value
            return value
        site, head = self._place(scene.config)
        scores = scene.seen[f"{site} of {self.head}"][:, head, -1, 1::2]  # (R, C, B)
        same = scene.labels.unsqueeze(2) == scene.labels.unsqueeze(1)
        by_label = scores.unsqueeze(1).masked_fill(~same, -torch.inf).logsumexp(2)
        return torch.full_like(value, HIDDEN).scatter(2, scene.labels.mT, by_label.mT)
