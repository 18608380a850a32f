"""Sequences with the labels 0 and 1, as few-shot evaluators have them."""

import numpy as np

from transformer.config.data import DataConfig
from transformer.config.modes import mode
from transformer.data.modes.bursty import draw_bursts, pair, relabelled
from transformer.data.sequences import Arrays, Pool


@mode("zero_one", needs=pair)
def zero_one(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`bursty` with the labels 0 and 1 for the two classes, in random order: ICL."""
    drawn = draw_bursts(rng, pool, config, n)
    target = rng.integers(0, 2, n)
    return relabelled(drawn, target, 1 - target)
