"""Training sequences as indices: the exemplars in context, their labels, and the target.

The batch of step s depends on (data_seed, s) alone, so that a resumed run continues the same stream
without a saved generator state.  For speed, sequences are drawn in blocks of steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transformer.config.data import MODES, DataConfig

if TYPE_CHECKING:
    from torch import Tensor, device

BLOCK_STEPS = 256  # steps drawn at once; part of the definition of the data stream

Index = NDArray[np.int64]
Arrays = tuple[Index, Index, Index]  # exemplars, labels, target of `Sequences`


@dataclass(frozen=True, slots=True)
class Pool:
    """Classes from `first` on, and their first exemplars, that sequences are drawn from."""

    n_classes: int
    n_exemplars: int
    n_stored: int
    """Number of exemplars per class, drawn from or not: the stride of an exemplar's index."""
    weights: NDArray[np.float64] | None = None
    """Relative frequency of each class; None: uniform."""
    repeats: bool = True
    """Whether an exemplar may appear twice in a sequence."""
    first: int = 0
    """The first class."""

    def classes(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Index:
        """Draw classes independently."""
        if self.weights is None:
            return self.first + rng.integers(0, self.n_classes, shape)
        return self.first + np.searchsorted(self._cumulative()[1:], rng.random(shape), "right")

    def distinct_classes(self, rng: np.random.Generator, count: int, n: int) -> Index:
        """Draw classes (count, n) without replacement within a column."""
        if self.weights is None:
            return self.first + distinct(rng, self.n_classes, count, n)
        chosen = np.empty((count, n), np.int64)
        for k in range(count):
            left = np.arange(n)
            while len(left):  # again only where rounding hits a class that is taken
                taken = np.sort(chosen[:k, left], axis=0)
                chosen[k, left] = self._draw_others(rng, taken)
                left = left[(taken == chosen[k, left]).any(0)]
        return self.first + chosen

    def _draw_others(self, rng: np.random.Generator, taken: Index) -> Index:
        """Draw classes (n,) by weight, except those taken (k, n), which are sorted."""
        below = self._cumulative()
        share = np.diff(below)[taken]
        point = rng.random(taken.shape[1]) * (1 - share.sum(0))
        for start, length in zip(below[taken], share, strict=True):
            point += np.where(point >= start, length, 0)
        return np.minimum(np.searchsorted(below[1:], point, "right"), self.n_classes - 1)

    def _cumulative(self) -> NDArray[np.float64]:
        """Return the share of the classes before each class, and 1 at the end."""
        assert self.weights is not None
        total = np.concatenate([[0.0], np.cumsum(self.weights)])
        return total / total[-1]

    def exemplars(self, rng: np.random.Generator, items: Index) -> Index:
        """Draw an exemplar index for each item (count, n) of given class."""
        if self.repeats:
            return items * self.n_stored + rng.integers(0, self.n_exemplars, items.shape)
        chosen = np.empty_like(items)
        for k, own in enumerate(items):
            # exemplars of earlier items of the same class; others get a number out of range
            taken = np.where(items[:k] == own, chosen[:k], self.n_exemplars)
            draw = rng.integers(0, self.n_exemplars - (taken < self.n_exemplars).sum(0))
            chosen[k] = _skip(draw, taken)
        return items * self.n_stored + chosen


def distinct(rng: np.random.Generator, n_values: int, count: int, n: int) -> Index:
    """Draw uniform numbers (count, n) below `n_values`, all different within a column."""
    chosen = np.empty((count, n), np.int64)
    for k in range(count):
        chosen[k] = _skip(rng.integers(0, n_values - k, n), chosen[:k])
    return chosen


def _skip(draw: Index, taken: Index) -> Index:
    """Return the draw-th (n,) of the numbers that are not taken (k, n)."""
    for earlier in np.sort(taken, axis=0):
        draw = draw + (draw >= earlier)
    return draw


@dataclass(frozen=True, slots=True)
class Sequences:
    """A set of sequences; the position in context comes before the axis of sequences.

    exemplars : (..., context + 1, n) int64   exemplar indices, the query's last
    labels    : (..., context, n) int64       labels in context
    target    : (..., n) int64                correct label of the query
    """

    exemplars: "Tensor"
    labels: "Tensor"
    target: "Tensor"

    @classmethod
    def stack(cls, each: "Sequence[Sequences]", axis: int = 0) -> "Sequences":
        """Return the sequences of several runs with a run axis."""
        import torch

        fields = zip(*(own.tensors for own in each), strict=True)
        return cls(*(torch.stack(values, axis) for values in fields))

    @property
    def tensors(self) -> "tuple[Tensor, Tensor, Tensor]":
        """Return exemplars, labels and target."""
        return self.exemplars, self.labels, self.target

    def to(self, device: "device") -> "Sequences":
        """Return the sequences on a device."""
        return Sequences(*(each.to(device, non_blocking=True) for each in self.tensors))

    def pin_memory(self) -> "Sequences":
        """Return a copy in main memory that a GPU can copy by itself."""
        return Sequences(*(each.pin_memory() for each in self.tensors))

    def __getitem__(self, step: int) -> "Sequences":
        return Sequences(self.exemplars[step], self.labels[step], self.target[step])


def draw_sequences(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Sequences:
    """Draw sequences of a mode, or of a mixture: then the shares give each sequence's mode."""
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
    import torch

    return Sequences(*map(torch.from_numpy, (exemplars, labels, target)))


def training_block(config: DataConfig, data_seed: int, block: int) -> Sequences:
    """Draw the batches of the steps from `block * BLOCK_STEPS` on, with the step axis first."""
    n_exemplars = config.exemplars.n_exemplars
    weights = config.class_weights()
    pool = Pool(config.n_trained, n_exemplars, n_exemplars, weights, config.repeats)
    rng = np.random.default_rng([data_seed, block])
    flat = draw_sequences(rng, pool, config, BLOCK_STEPS * config.batch_size)

    def by_step(array: "Tensor") -> "Tensor":
        split = array.view(*array.shape[:-1], BLOCK_STEPS, config.batch_size)
        return split.movedim(-2, 0).contiguous()

    return Sequences(by_step(flat.exemplars), by_step(flat.labels), by_step(flat.target))
