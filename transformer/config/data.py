"""What training sequences are made of."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from transformer.config.exemplars import ExemplarConfig, GlyphConfig
from transformer.config.plain import (
    ADDED,
    require,
    require_at_least,
    require_choice,
)

Mode = Literal[
    "bursty", "icl_only", "flip", "zero_one", "matched", "ciwl_only", "no_support", "random"
]
MAX_EXPONENT = 10  # beyond it one class is all there is
LEAST_WEIGHT = 1e-12  # of what is left to draw from: below it, rounding
ABSENT = ("ciwl_only", "no_support")  # modes whose query's class is not in context
PAIRED = ("icl_only", "flip", "zero_one")  # modes that give labels to a pair of classes


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Training sequences: `context` exemplar-label pairs, then a query exemplar."""

    exemplars: ExemplarConfig = field(default_factory=GlyphConfig)
    context: int = 2
    """Number of exemplar-label pairs before the query."""
    burstiness: int = 1
    """How often the query's class stands in context, and the distractor class."""
    batch_size: int = 32
    mode: Mode = field(default="bursty", metadata=ADDED)
    """What a strategy can use: `bursty` all; `icl_only` the context alone (labels are a random
    pair), `flip` likewise (the two labels are swapped), `zero_one` likewise (labels 0 and 1);
    `matched` also the query's own drawing, which stands in context; `ciwl_only` the weights (the
    query's class is not in context, its label is); `no_support` the weights alone (nor is its
    label); `random` what chance brings (all items drawn independently)."""
    mixture: tuple[tuple[Mode, float], ...] = field(default=(), metadata=ADDED)
    """Modes and their shares instead of one mode: `bursty 0.9 random 0.1` is P(bursty) = 0.9."""
    distractor: bool = field(default=True, metadata=ADDED)
    """Whether a second class stands in context as often as the query's."""
    distractor_may_match: bool = field(default=False, metadata=ADDED)
    """Whether the distractor may be the query's class (drawn independently of it)."""
    unique_rest: bool = field(default=False, metadata=ADDED)
    """Whether the items that fill up the context are of distinct classes, none of those there."""
    repeats: bool = field(default=True, metadata=ADDED)
    """Whether an exemplar may stand twice in a sequence (drawn with replacement)."""
    zipf_exponent: float = field(default=0.0, metadata=ADDED)
    """Class k of rank r is drawn in proportion to r ** -zipf_exponent; 0: all alike."""
    zipf_rarest_first: bool = field(default=False, metadata=ADDED)
    """Whether class 0 is the rarest (Chan et al. 2022) and not the most frequent."""
    noise: float = field(default=0.0, metadata=ADDED)
    """Standard deviation of normal noise on every feature, fresh at every showing in training."""

    def __post_init__(self) -> None:
        require_choice(self, Mode, "mode")
        require_at_least(self, 1, "context", "burstiness", "batch_size")
        require_at_least(self, 0, "zipf_exponent", "noise")
        require(
            self.zipf_exponent <= MAX_EXPONENT,
            f"zipf_exponent={self.zipf_exponent} is out of range; choose at most {MAX_EXPONENT}",
        )
        self._check_mixture()
        for mode, _ in self.shares():
            self._check_mode(mode)

    def shares(self) -> tuple[tuple[Mode, float], ...]:
        """Modes and their shares, which sum to 1."""
        return self.mixture or ((self.mode, 1.0),)

    def _check_mixture(self) -> None:
        shares = [share for _, share in self.mixture]
        require(
            not shares or (min(shares) > 0 and math.isclose(sum(shares), 1, abs_tol=1e-9)),
            f"mixture={self.mixture} has shares that sum to {sum(shares):g}; "
            "choose positive shares that sum to 1",
        )
        for mode, _ in self.mixture:
            require(
                mode in get_args(Mode),
                f"mixture has the unknown mode {mode!r}; choose of {', '.join(get_args(Mode))}",
            )
        require(
            not shares or self.mode == "bursty",
            f"mode={self.mode!r} and a mixture contradict each other; name the mode in the mixture",
        )

    def _check_mode(self, mode: Mode) -> None:
        n_classes, paired = self.exemplars.n_classes, mode in PAIRED
        used = self.burstiness * (2 if self.distractor else 1)
        if mode not in (*ABSENT, "random"):
            require(
                used <= self.context,
                f"context={self.context} is too short for burstiness={self.burstiness} (the "
                f"query's class{' and a distractor' if self.distractor else ''}, "
                f"{self.burstiness} each); choose context >= {used}",
            )
        require(
            not paired or (self.distractor and self.context == used),
            f"context={self.context} with burstiness={self.burstiness} leaves items without a "
            f"label in mode {mode}; choose context={2 * self.burstiness} and a distractor",
        )
        require(
            not (paired and self.distractor_may_match),
            f"mode {mode} gives two labels to two classes; leave distractor_may_match off",
        )
        rest = self.context - used  # items that fill the context, if the mode is one of bursts
        named = 2 if self.distractor and not self.distractor_may_match else 1
        if mode in ABSENT:
            distinct, most = self.context + 1, 1
        elif mode == "random":
            distinct, most = 1, self.context + 1
        else:
            distinct = named + (rest if self.unique_rest else 0)
            most = self.burstiness + 1 + (0 if self.unique_rest else rest)
            if self.distractor_may_match:
                most = self.context + 1
        require_distinct_classes(n_classes, distinct, "exemplars.n_classes")
        if self.zipf_exponent and distinct > 1:
            ranks = np.arange(1, n_classes + 1, dtype=np.float64)
            weights = ranks**-self.zipf_exponent
            left = weights[distinct - 1 :].sum() / weights.sum()
            require(
                left > LEAST_WEIGHT,
                f"zipf_exponent={self.zipf_exponent} leaves a share of {left:.1g} for the last of "
                f"{distinct} distinct classes; choose a smaller exponent",
            )
        require(
            self.repeats or self.exemplars.n_exemplars >= most,
            f"exemplars.n_exemplars={self.exemplars.n_exemplars} is too few for a sequence of mode "
            f"{mode} without repeats; choose at least {most}, or repeats",
        )
        require(
            not (self.distractor_may_match and self.unique_rest),
            "unique_rest makes all classes distinct; leave distractor_may_match off",
        )
        require(
            self.repeats or mode != "matched",
            "mode matched repeats the query's drawing; leave repeats on",
        )


def require_distinct_classes(n_classes: int, needed: int, name: str) -> None:
    """Raise `UsageError` if a sequence needs more distinct classes than there are."""
    require(
        n_classes >= needed,
        f"{name}={n_classes} is fewer classes than a sequence needs; choose at least {needed}",
    )
