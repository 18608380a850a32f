"""The five evaluators of the coopetition paper: which strategy solves a sequence?

| name  | context                   | labels                               | target            |
|-------|---------------------------|--------------------------------------|-------------------|
| train | bursty, in every mode     | true                                 | query's label     |
| icl   | query's class and another | 0 and 1 in random order              | query class's     |
| flip  | query's class and another | the two true labels swapped          | the swapped label |
| ciwl  | distinct other classes    | one overwritten by the query's label | query's label     |
| iwl   | distinct other classes    | true; the query's is absent          | query's label     |

`flip` is 1 for in-context learning and 0 for either in-weights strategy; chance is 0.5 for the
in-context accuracy of icl, flip and ciwl (context of 2).
"""

from collections.abc import Callable

import numpy as np

from transformer.config import RunConfig
from transformer.sequences import (
    Index,
    Pool,
    Sequences,
    arrange,
    bursty,
    ciwl_only,
    distinct_classes,
    from_numpy,
    query_absent,
)


def draw_evaluators(config: RunConfig) -> dict[str, Sequences]:
    """Evaluation sequences by name, a function of `eval_seed` and the data settings alone.

    Each evaluator has a stream of its own, so that adding one leaves the others as they were.
    """
    return {
        name: draw(np.random.default_rng([config.eval_seed, number]), config)
        for number, (name, draw) in enumerate(EVALUATORS.items())
    }


def _pool(config: RunConfig) -> Pool:
    settings = config.evaluation
    return Pool(settings.n_classes, settings.n_exemplars, config.data.exemplars.n_exemplars)


def _train(rng: np.random.Generator, config: RunConfig) -> Sequences:
    return bursty(rng, _pool(config), config.data, config.evaluation.n_sequences)


def _query_in_context(
    rng: np.random.Generator, config: RunConfig
) -> tuple[Index, Index, Index, Index]:
    """Two classes that fill the context equally: query, other, shuffled classes, exemplars."""
    pool = _pool(config)
    query, other = distinct_classes(rng, pool, 2, config.evaluation.n_sequences)
    context = np.repeat(np.stack([query, other]), config.data.context // 2, axis=0)
    return query, other, *arrange(rng, pool, context, query)


def _icl(rng: np.random.Generator, config: RunConfig) -> Sequences:
    query, _, classes, exemplars = _query_in_context(rng, config)
    target = rng.integers(0, 2, query.shape)
    return from_numpy(exemplars, np.where(classes == query, target, 1 - target), target)


def _ciwl(rng: np.random.Generator, config: RunConfig) -> Sequences:
    return ciwl_only(rng, _pool(config), config.data, config.evaluation.n_sequences)


def _flip(rng: np.random.Generator, config: RunConfig) -> Sequences:
    query, other, classes, exemplars = _query_in_context(rng, config)
    return from_numpy(exemplars, np.where(classes == query, other, query), other)


def _iwl(rng: np.random.Generator, config: RunConfig) -> Sequences:
    n = config.evaluation.n_sequences
    query, classes, exemplars = query_absent(rng, _pool(config), config.data.context, n)
    return from_numpy(exemplars, classes, query)


EVALUATORS: dict[str, Callable[[np.random.Generator, RunConfig], Sequences]] = {
    "train": _train,
    "icl": _icl,
    "ciwl": _ciwl,
    "flip": _flip,
    "iwl": _iwl,
}
