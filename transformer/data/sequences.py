"""Training sequences, as indices: which exemplars stand in context and which labels they carry.

The batch of step s is a function of (data_seed, s) alone, so a resumed run sees what it would have
seen, with no generator state to save.  Sequences are drawn in blocks of steps to be cheap.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from transformer.config.data import MODES, DataConfig

BLOCK_STEPS = 256  # steps drawn at once; part of the definition of the data stream

Index = NDArray[np.int64]
Arrays = tuple[Index, Index, Index]  # exemplars, labels, target of `Sequences`


@dataclass(frozen=True, slots=True)
class Pool:
    """What sequences are drawn from: the first classes, and the first exemplars of each."""

    n_classes: int
    n_exemplars: int
    n_stored: int
    """Exemplars that a class has in all: the stride of an exemplar's index."""
    weights: NDArray[np.float64] | None = None
    """How often each class is drawn, relative to the others; None: all alike."""
    repeats: bool = True
    """Whether an exemplar may stand twice in a sequence."""

    def classes(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Index:
        """Classes drawn independently."""
        if self.weights is None:
            return rng.integers(0, self.n_classes, shape)
        return np.searchsorted(self._below()[1:], rng.random(shape), "right")

    def distinct_classes(self, rng: np.random.Generator, count: int, n: int) -> Index:
        """Classes (count, n), all of a column different, each drawn from what is left."""
        if self.weights is None:
            return distinct(rng, self.n_classes, count, n)
        chosen = np.empty((count, n), np.int64)
        for k in range(count):
            left = np.arange(n)
            while len(left):  # a second time only where rounding hits what is taken
                taken = np.sort(chosen[:k, left], axis=0)
                chosen[k, left] = self._beside(rng, taken)
                left = left[(taken == chosen[k, left]).any(0)]
        return chosen

    def _beside(self, rng: np.random.Generator, taken: Index) -> Index:
        """Classes (n,) drawn by weight from those not taken (k, n), which are in rising order."""
        below = self._below()
        share = np.diff(below)[taken]
        point = rng.random(taken.shape[1]) * (1 - share.sum(0))
        for start, length in zip(below[taken], share, strict=True):
            point += np.where(point >= start, length, 0)
        return np.minimum(np.searchsorted(below[1:], point, "right"), self.n_classes - 1)

    def _below(self) -> NDArray[np.float64]:
        """Share of the classes before each class, and 1 at the end."""
        assert self.weights is not None
        total = np.concatenate([[0.0], np.cumsum(self.weights)])
        return total / total[-1]

    def exemplars(self, rng: np.random.Generator, items: Index) -> Index:
        """An exemplar index for each item (count, n), given the items' classes."""
        if self.repeats:
            return items * self.n_stored + rng.integers(0, self.n_exemplars, items.shape)
        chosen = np.empty_like(items)
        for k, own in enumerate(items):
            # what earlier items of the same class have taken; the others are out of the way
            taken = np.where(items[:k] == own, chosen[:k], self.n_exemplars)
            draw = rng.integers(0, self.n_exemplars - (taken < self.n_exemplars).sum(0))
            chosen[k] = _skip(draw, taken)
        return items * self.n_stored + chosen


def distinct(rng: np.random.Generator, n_values: int, count: int, n: int) -> Index:
    """Numbers (count, n) below `n_values`, uniform, all `count` of a column different."""
    chosen = np.empty((count, n), np.int64)
    for k in range(count):
        chosen[k] = _skip(rng.integers(0, n_values - k, n), chosen[:k])
    return chosen


def _skip(draw: Index, taken: Index) -> Index:
    """The draw-th (n,) of the numbers that are not taken (k, n)."""
    for earlier in np.sort(taken, axis=0):
        draw = draw + (draw >= earlier)
    return draw


def class_weights(config: DataConfig) -> NDArray[np.float64] | None:
    """Zipf weights of the classes: rank r has r ** -exponent; None if all are alike."""
    if config.zipf_exponent == 0:
        return None
    ranks = np.arange(1, config.n_trained + 1, dtype=np.float64)
    weights = ranks**-config.zipf_exponent
    return weights[::-1] if config.zipf_rarest_first else weights


@dataclass(frozen=True, slots=True)
class Sequences:
    """A set of sequences; context positions come first, so that a batch is a slice of the rest.

    exemplars : (..., context + 1, n) int64   exemplar indices, the query's last
    labels    : (..., context, n) int64       labels in context
    target    : (..., n) int64                the label that the query should get
    """

    exemplars: torch.Tensor
    labels: torch.Tensor
    target: torch.Tensor

    def to(self, device: torch.device) -> "Sequences":
        """The same sequences on another device."""
        return Sequences(
            self.exemplars.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.target.to(device, non_blocking=True),
        )

    def __getitem__(self, step: int) -> "Sequences":
        return Sequences(self.exemplars[step], self.labels[step], self.target[step])


def draw_sequences(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Sequences:
    """Sequences of a mode, or of a mixture of modes, each sequence's mode drawn by the shares."""
    shares = config.shares()
    if len(shares) == 1:
        return _from_numpy(*MODES[shares[0][0]].draw(rng, pool, config, n))
    which = rng.choice(len(shares), n, p=[share for _, share in shares])
    exemplars = np.empty((config.context + 1, n), np.int64)
    labels, target = np.empty((config.context, n), np.int64), np.empty(n, np.int64)
    for k, (mode, _) in enumerate(shares):
        own = which == k
        parts = MODES[mode].draw(rng, pool, config, int(own.sum()))
        exemplars[:, own], labels[:, own], target[own] = parts
    return _from_numpy(exemplars, labels, target)


def _from_numpy(exemplars: Index, labels: Index, target: Index) -> Sequences:
    return Sequences(
        torch.from_numpy(exemplars), torch.from_numpy(labels), torch.from_numpy(target)
    )


def training_block(config: DataConfig, data_seed: int, block: int) -> Sequences:
    """Batches of the steps `block * BLOCK_STEPS` and on: every array has the step axis first."""
    n_exemplars = config.exemplars.n_exemplars
    pool = Pool(
        config.n_trained,
        n_exemplars,
        n_exemplars,
        class_weights(config),
        config.repeats,
    )
    rng = np.random.default_rng([data_seed, block])
    flat = draw_sequences(rng, pool, config, BLOCK_STEPS * config.batch_size)

    def by_step(array: torch.Tensor) -> torch.Tensor:
        split = array.view(*array.shape[:-1], BLOCK_STEPS, config.batch_size)
        return split.movedim(-2, 0).contiguous()

    return Sequences(by_step(flat.exemplars), by_step(flat.labels), by_step(flat.target))
