"""Sequences that only the weights solve: neither the query's class nor its label is in context."""

import numpy as np

from transformer.config.data import DataConfig
from transformer.config.modes import Needs, mode
from transformer.data.sequences import Arrays, Pool


def absent_query(config: DataConfig) -> Needs:
    """What it needs: as many classes as items."""
    return Needs(distinct=config.context + 1, alike=1)


@mode("no_support", needs=absent_query)
def no_support(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """Distinct classes in context, none the query's; labels are their own: IWL."""
    query, *others = pool.distinct_classes(rng, config.context + 1, n)
    context = rng.permuted(np.stack(others), axis=0)
    return pool.exemplars(rng, np.concatenate([context, query[None]])), context, query
