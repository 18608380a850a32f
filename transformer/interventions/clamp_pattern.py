"""Induction heads by decree."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from transformer.config.interventions import INTERVENTIONS
from transformer.config.plain import ADDED
from transformer.interventions.query_row import OfQueryRow, on_labels, with_query_row
from transformer.model.intervened import Scene


@INTERVENTIONS.register("ClampPattern")
@dataclass(frozen=True, kw_only=True)
class ClampPattern(OfQueryRow):
    """The query attends to labels alone: by `strength` to the target's.

    Others have the rest.  Labels of one kind share alike; where there are none of a kind, the other
    has all of it.  With two pairs the induction strength is then 2 `strength` - 1.
    """

    strength: float = field(default=1.0, metadata=ADDED)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_number("strength", 0, 1)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """The query's row."""
        right = scene.labels == scene.target.unsqueeze(1)
        n_right, n_wrong = right.sum(1, keepdim=True), (~right).sum(1, keepdim=True)
        all_of_it, rest = torch.ones_like(value[:, 0, :1, 0]), 1 - self.strength
        to_right = torch.where(n_wrong == 0, all_of_it, self.strength * all_of_it)
        to_wrong = torch.where(n_right == 0, all_of_it, rest * all_of_it)
        shares = torch.where(right, to_right / n_right, to_wrong / n_wrong)
        return self.on_heads(site, value, with_query_row(value, on_labels(shares)), scene.config)
