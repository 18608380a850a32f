"""Sequences of what chance brings."""

import numpy as np

from transformer.config.data import DataConfig
from transformer.config.modes import Needs, mode
from transformer.data.sequences import Arrays, Pool


def nothing(config: DataConfig) -> Needs:
    """What it needs: one class does, if its exemplars do for all items."""
    return Needs(distinct=1, alike=config.context + 1)


@mode("random", needs=nothing)
def random(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """All items, query included, drawn independently; labels are their own: IWL."""
    items = pool.classes(rng, (config.context + 1, n))
    return pool.exemplars(rng, items), items[:-1], items[-1]
