"""Sequences on which in-context and in-weights strategies answer differently."""

import numpy as np

from transformer.config.data import DataConfig
from transformer.config.modes import mode
from transformer.data.modes.bursty import draw_bursts, pair, relabelled
from transformer.data.sequences import Arrays, Pool


@mode("flip", needs=pair)
def flip(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`bursty` with the labels of the two classes swapped: ICL."""
    drawn = draw_bursts(rng, pool, config, n)
    return relabelled(drawn, drawn.distractor, drawn.query)
