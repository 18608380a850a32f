"""What interventions on attention to the previous token have in common."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.plain import ADDED, require_choice
from transformer.interventions.of_heads import OfHeads

Rows = Literal["all", "labels"]


@dataclass(frozen=True, kw_only=True)
class OfRows(OfHeads):
    """Base of the interventions on attention to the previous token."""

    rows: Rows = field(default="all", metadata=ADDED)
    """Which tokens' attention: that of `all`, or of `labels` alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self, Rows, "rows")

    def check(self, model: ModelConfig) -> None:
        """Also refuse label rows of the last layer, of which the query's alone is read."""
        if self.rows == "labels" and model.n_layers - 1 in self.by_layer(model):
            raise UsageError(
                f"{type(self).__name__}: nothing reads the labels' attention in the last layer "
                f"({model.n_layers - 1}); choose heads of another, or rows all"
            )

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """What its rows attend to."""
        of_all = ("the query's attention", "the exemplars' attention")
        rows = ("the labels' attention", *(of_all if self.rows == "all" else ()))
        return frozenset().union(*(self.in_words(each, model) for each in rows))

    def own_rows(self, n_rows: int, value: Tensor) -> Tensor:
        """Which tokens' rows (T,) are its own."""
        own = torch.ones(n_rows, dtype=torch.bool, device=value.device)
        if self.rows == "labels":
            own[::2] = False
        return own
