"""Sequences that only in-context learning solves: labels are a random pair."""

import numpy as np

from transformer.config.data import DataConfig
from transformer.config.modes import mode
from transformer.data.modes.bursty import draw_bursts, pair, relabelled
from transformer.data.sequences import Arrays, Pool, distinct


@mode("icl_only", needs=pair)
def icl_only(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`bursty` with a random pair of labels, out of all, for the two classes: ICL."""
    drawn = draw_bursts(rng, pool, config, n)
    return relabelled(drawn, *distinct(rng, pool.n_classes, 2, n))
