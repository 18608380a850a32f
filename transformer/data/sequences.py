"""Training sequences, as indices: which exemplars stand in context and which labels they carry.

The batch of step s is a function of (data_seed, s) alone, so a resumed run sees what it would have
seen, with no generator state to save.  Sequences are drawn in blocks of steps to be cheap.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from transformer.config import DataConfig

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
    ranks = np.arange(1, config.exemplars.n_classes + 1, dtype=np.float64)
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


def bursty(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """The query's class and a distractor `burstiness` times each, then what fills the context.

    Labels are the classes' own, so that in-context and in-weights strategies both solve them.
    """
    n_named = 2 if config.distractor else 1
    n_rest = config.context - n_named * config.burstiness
    n_distinct = n_named + (n_rest if config.unique_rest else 0)
    if config.distractor_may_match:
        chosen = pool.classes(rng, (n_distinct, n))
    else:
        chosen = pool.distinct_classes(rng, n_distinct, n)
    rest = chosen[n_named:] if config.unique_rest else pool.classes(rng, (n_rest, n))
    repeated = np.repeat(chosen[:n_named], config.burstiness, axis=0)
    query = chosen[0]
    context, exemplars = arrange(rng, pool, np.concatenate([repeated, rest]), query)
    return exemplars, context, query


def arrange(
    rng: np.random.Generator, pool: Pool, context: Index, query: Index
) -> tuple[Index, Index]:
    """Shuffle each column of context classes and give every item, query included, an exemplar.

    Returns the shuffled classes (context, n) and exemplar indices (context + 1, n).
    """
    context = rng.permuted(context, axis=0)
    return context, pool.exemplars(rng, np.concatenate([context, query[None]]))


def relabelled(plain: Arrays, of_query: Index, of_others: Index) -> Arrays:
    """The same sequences with these labels (n,) for the query's class and for any other."""
    exemplars, context, query = plain
    return exemplars, np.where(context == query, of_query, of_others), of_query


def icl_only(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`bursty` with a random pair of labels, out of all and in random order, each sequence."""
    plain = bursty(rng, pool, config, n)
    return relabelled(plain, *distinct(rng, pool.n_classes, 2, n))


def flip(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`bursty` with the labels of the two classes swapped."""
    plain = bursty(rng, pool, config, n)
    _, context, query = plain
    other = np.where(context == query, -1, context).max(0)
    return relabelled(plain, other, query)


def zero_one(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`bursty` with the labels 0 and 1 for the two classes, in random order."""
    plain = bursty(rng, pool, config, n)
    target = rng.integers(0, 2, n)
    return relabelled(plain, target, 1 - target)


def matched(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`bursty`, but the query's drawing is the one of its class in context.

    If classes stand in context more than once, all items of the query's class are one drawing, and
    so are all items of any other class.
    """
    exemplars, context, query = bursty(rng, pool, config, n)
    classes = np.concatenate([context, query[None]])
    # each item takes the drawing of the first item of its class
    first = (classes[:, None] == classes[None]).argmax(1)
    return np.take_along_axis(exemplars, first, axis=0), context, query


def no_support(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """Distinct classes in context, none the query's; labels are their own."""
    query, *others = pool.distinct_classes(rng, config.context + 1, n)
    context, exemplars = arrange(rng, pool, np.stack(others), query)
    return exemplars, context, query


def ciwl_only(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`no_support` with the query's label in place of one of those in context, at random.

    No drawing in context helps, but the label is there to be copied.
    """
    exemplars, labels, query = no_support(rng, pool, config, n)
    labels[rng.integers(0, len(labels), n), np.arange(n)] = query
    return exemplars, labels, query


def random(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """All items, query included, drawn independently; labels are their own."""
    items = pool.classes(rng, (config.context + 1, n))
    return pool.exemplars(rng, items), items[:-1], items[-1]


SAMPLERS: dict[str, Callable[[np.random.Generator, Pool, DataConfig, int], Arrays]] = {
    "bursty": bursty,
    "icl_only": icl_only,
    "flip": flip,
    "zero_one": zero_one,
    "matched": matched,
    "ciwl_only": ciwl_only,
    "no_support": no_support,
    "random": random,
}


def draw_sequences(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Sequences:
    """Sequences of a mode, or of a mixture of modes, each sequence's mode drawn by the shares."""
    shares = config.shares()
    if len(shares) == 1:
        return _from_numpy(*SAMPLERS[shares[0][0]](rng, pool, config, n))
    which = rng.choice(len(shares), n, p=[share for _, share in shares])
    exemplars = np.empty((config.context + 1, n), np.int64)
    labels, target = np.empty((config.context, n), np.int64), np.empty(n, np.int64)
    for k, (mode, _) in enumerate(shares):
        own = which == k
        parts = SAMPLERS[mode](rng, pool, config, int(own.sum()))
        exemplars[:, own], labels[:, own], target[own] = parts
    return _from_numpy(exemplars, labels, target)


def _from_numpy(exemplars: Index, labels: Index, target: Index) -> Sequences:
    return Sequences(
        torch.from_numpy(exemplars), torch.from_numpy(labels), torch.from_numpy(target)
    )


def training_block(config: DataConfig, data_seed: int, block: int) -> Sequences:
    """Batches of the steps `block * BLOCK_STEPS` and on: every array has the step axis first."""
    source = config.exemplars
    pool = Pool(
        source.n_classes,
        source.n_exemplars,
        source.n_exemplars,
        class_weights(config),
        config.repeats,
    )
    rng = np.random.default_rng([data_seed, block])
    flat = draw_sequences(rng, pool, config, BLOCK_STEPS * config.batch_size)

    def by_step(array: torch.Tensor) -> torch.Tensor:
        split = array.view(*array.shape[:-1], BLOCK_STEPS, config.batch_size)
        return split.movedim(-2, 0).contiguous()

    return Sequences(by_step(flat.exemplars), by_step(flat.labels), by_step(flat.target))
