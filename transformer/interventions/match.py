"""Induction heads that match exemplars as they are."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.config.interventions import INTERVENTIONS
from transformer.config.plain import ADDED
from transformer.interventions.of_heads import COOLEST, HOTTEST
from transformer.interventions.query_row import OfQueryRow, on_labels, with_query_row
from transformer.model.intervened import Scene


@INTERVENTIONS.register("Match")
@dataclass(frozen=True, kw_only=True)
class Match(OfQueryRow):
    """The query attends to the labels of the exemplars most like it.

    By the softmax of their features' cosines with its own, divided by `temperature`; at 0 to the
    most alike alone, which share if they are several.
    """

    temperature: float = field(default=0.0, metadata=ADDED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature != 0:
            self.check_number("temperature", COOLEST, HOTTEST)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """The query's row."""
        normal = F.normalize(scene.features.to(value), dim=-1)
        alike = (normal[:, :-1] * normal[:, -1:]).sum(-1)
        if self.temperature:
            shares = torch.softmax(alike / self.temperature, 1)
        else:
            most = (alike == alike.amax(1, keepdim=True)).to(value)
            shares = most / most.sum(1, keepdim=True)
        return self.on_heads(site, value, with_query_row(value, on_labels(shares)), scene.config)
