"""One-hot exemplars: classes that share nothing, and do not vary."""

from dataclasses import dataclass

import torch

from transformer.config.exemplars import KINDS, ExemplarConfig
from transformer.config.plain import require_at_least
from transformer.data.exemplar_sets import Exemplars


@KINDS.register("one_hot")
@dataclass(frozen=True, slots=True, kw_only=True)
class OneHotConfig(ExemplarConfig):
    """Each class a unit vector of its own, with one exemplar."""

    may_be_images = False
    n_classes: int = 1600

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes")

    @property
    def n_exemplars(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """One."""
        return 1

    def feature_count(self) -> int:
        """As many as classes."""
        return self.n_classes

    def load(self) -> Exemplars:
        """The unit vectors."""
        return Exemplars(torch.eye(self.n_classes, dtype=torch.uint8)[:, None], 1.0)
