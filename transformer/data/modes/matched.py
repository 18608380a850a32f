"""Sequences in which the query's own drawing stands in context."""

import numpy as np

from transformer.config.data import DataConfig
from transformer.config.modes import Needs, mode
from transformer.config.plain import require
from transformer.data.modes.bursty import FILLER, QUERY, bursts, draw_bursts
from transformer.data.sequences import Arrays, Pool


def repeating_bursts(config: DataConfig) -> Needs:
    """What bursts need that show one drawing again and again."""
    require(config.repeats, "mode matched repeats the query's drawing; leave repeats on")
    return bursts(config)


@mode("matched", needs=repeating_bursts)
def matched(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """`bursty`, but each burst is of one drawing, the query's among them: ICL by identity, too.

    Items that fill the context have drawings of their own, whatever their class.
    """
    drawn = draw_bursts(rng, pool, config, n)
    role = np.concatenate([drawn.role, np.full((1, n), QUERY)])
    first = (role[:, None] == role[None]).argmax(1)  # of the items of the same role
    source = np.where(role == FILLER, np.arange(len(role))[:, None], first)
    return np.take_along_axis(drawn.exemplars, source, axis=0), drawn.context, drawn.query
