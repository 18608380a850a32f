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


@dataclass(frozen=True, slots=True)
class Pool:
    """What sequences are drawn from: the first classes, and the first exemplars of each."""

    n_classes: int
    n_exemplars: int
    n_stored: int
    """Exemplars that a class has in all: the stride of an exemplar's index."""


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


def from_numpy(exemplars: Index, labels: Index, target: Index) -> Sequences:
    """Sequences of three arrays."""
    return Sequences(
        torch.from_numpy(exemplars), torch.from_numpy(labels), torch.from_numpy(target)
    )


def distinct_classes(rng: np.random.Generator, pool: Pool, count: int, n: int) -> Index:
    """Classes (count, n), uniform, all `count` of a column different."""
    chosen = np.empty((count, n), np.int64)
    for k in range(count):
        draw = rng.integers(0, pool.n_classes - k, n)
        # skip over the classes already chosen, in rising order
        for earlier in np.sort(chosen[:k], axis=0):
            draw += draw >= earlier
        chosen[k] = draw
    return chosen


def arrange(
    rng: np.random.Generator, pool: Pool, classes: Index, query: Index
) -> tuple[Index, Index]:
    """Shuffle each column of context classes and give every item, query included, an exemplar.

    Returns the shuffled classes (context, n) and exemplar indices (context + 1, n).  Exemplars are
    drawn independently, so the query's own drawing may stand in context (as in the paper).
    """
    classes = rng.permuted(classes, axis=0)
    items = np.concatenate([classes, query[None]])
    return classes, items * pool.n_stored + rng.integers(0, pool.n_exemplars, items.shape)


def bursty(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Sequences:
    """Sequences with the query's class and one distractor `burstiness` times each in context.

    The rest of the context, if any, is drawn independently from all classes.  Labels are the
    classes' own, so that in-context and in-weights strategies both solve them.
    """
    query, distractor = distinct_classes(rng, pool, 2, n)
    pair = np.repeat(np.stack([query, distractor]), config.burstiness, axis=0)
    extra = rng.integers(0, pool.n_classes, (config.context - len(pair), n))
    classes, exemplars = arrange(rng, pool, np.concatenate([pair, extra]), query)
    return from_numpy(exemplars, classes, query)


def icl_only(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Sequences:
    """`bursty` with random labels: an unordered pair out of all, in random order, each sequence.

    Only the context tells which label the query's class has.
    """
    plain = bursty(rng, pool, config, n)
    label, other = distinct_classes(rng, pool, 2, n)
    target = plain.target.numpy()
    of_query = plain.labels.numpy() == target
    return from_numpy(plain.exemplars.numpy(), np.where(of_query, label, other), label)


def ciwl_only(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Sequences:
    """Other classes in context, with the query's label in place of one of theirs, at random.

    No drawing in context helps, but the label is there to be copied.
    """
    query, labels, exemplars = query_absent(rng, pool, config.context, n)
    labels[rng.integers(0, len(labels), query.shape), np.arange(n)] = query
    return from_numpy(exemplars, labels, query)


def query_absent(
    rng: np.random.Generator, pool: Pool, context: int, n: int
) -> tuple[Index, Index, Index]:
    """Distinct classes in context, none the query's: query, shuffled classes, exemplars."""
    query, *others = distinct_classes(rng, pool, context + 1, n)
    return query, *arrange(rng, pool, np.stack(others), query)


def matched(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Sequences:
    """`bursty`, but the query's drawing is the one of its class in context.

    If classes stand in context more than once, all items of the query's class are one drawing, and
    so are all items of any other class.
    """
    plain = bursty(rng, pool, config, n)
    labels, target = plain.labels.numpy(), plain.target.numpy()
    classes = np.concatenate([labels, target[None]])
    # each item takes the drawing of the first item of its class
    first = (classes[:, None] == classes[None]).argmax(1)
    exemplars = np.take_along_axis(plain.exemplars.numpy(), first, axis=0)
    return from_numpy(exemplars, labels, target)


SAMPLERS: dict[str, Callable[[np.random.Generator, Pool, DataConfig, int], Sequences]] = {
    "bursty": bursty,
    "icl_only": icl_only,
    "ciwl_only": ciwl_only,
    "matched": matched,
}


def training_block(config: DataConfig, data_seed: int, block: int) -> Sequences:
    """Batches of the steps `block * BLOCK_STEPS` and on: every array has the step axis first."""
    source = config.exemplars
    pool = Pool(source.n_classes, source.n_exemplars, source.n_exemplars)
    rng = np.random.default_rng([data_seed, block])
    flat = SAMPLERS[config.mode](rng, pool, config, BLOCK_STEPS * config.batch_size)

    def by_step(array: torch.Tensor) -> torch.Tensor:
        split = array.view(*array.shape[:-1], BLOCK_STEPS, config.batch_size)
        return split.movedim(-2, 0).contiguous()

    return Sequences(by_step(flat.exemplars), by_step(flat.labels), by_step(flat.target))
