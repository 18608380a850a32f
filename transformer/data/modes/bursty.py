"""The query's class and a distractor in bursts, labelled as they are; the base of other modes."""

from dataclasses import dataclass

import numpy as np

from transformer.config.data import DataConfig
from transformer.config.modes import Needs, mode
from transformer.config.plain import require
from transformer.data.sequences import Arrays, Index, Pool

QUERY, DISTRACTOR, FILLER = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Bursts:
    """Sequences of bursts, before labels are given; the last axis is over sequences."""

    exemplars: Index
    """(context + 1, n), the query's last."""
    context: Index
    """(context, n) classes."""
    query: Index
    """(n,) its class."""
    distractor: Index
    """(n,) its class; the query's where there is no distractor."""
    role: Index
    """(context, n): `QUERY` or `DISTRACTOR` for an item of a burst, `FILLER` for others, whatever
    their class."""


def bursts(config: DataConfig) -> Needs:
    """What bursts need: a context that is long enough, and classes to fill it."""
    n_named = 2 if config.distractor else 1
    rest = config.context - n_named * config.burstiness
    require(
        rest >= 0,
        f"context={config.context} is too short for burstiness={config.burstiness} (the "
        f"query's class{' and a distractor' if config.distractor else ''}, "
        f"{config.burstiness} each); choose context >= {n_named * config.burstiness}",
    )
    distinct = 1 if config.distractor_may_match else n_named
    alike = config.burstiness + 1 + (0 if config.unique_rest else rest)
    return Needs(
        distinct=distinct + (rest if config.unique_rest else 0),
        alike=config.context + 1 if config.distractor_may_match else alike,
    )


def pair(config: DataConfig) -> Needs:
    """What bursts need whose two classes get other labels than their own."""
    needs = bursts(config)
    require(
        config.distractor and not config.distractor_may_match,
        "this mode gives two labels to two classes; leave distractor on and distractor_may_match "
        "off",
    )
    return needs


def draw_bursts(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Bursts:
    """Classes `burstiness` times each, then what fills the context, shuffled; with exemplars."""
    n_named = 2 if config.distractor else 1
    n_rest = config.context - n_named * config.burstiness
    n_distinct = n_named + (n_rest if config.unique_rest else 0)
    if config.distractor_may_match:
        chosen = pool.classes(rng, (n_distinct, n))
    else:
        chosen = pool.distinct_classes(rng, n_distinct, n)
    rest = chosen[n_named:] if config.unique_rest else pool.classes(rng, (n_rest, n))
    items = np.concatenate([np.repeat(chosen[:n_named], config.burstiness, axis=0), rest])
    roles = np.repeat((QUERY, DISTRACTOR), config.burstiness)[: n_named * config.burstiness]
    roles = np.concatenate([roles, np.full(n_rest, FILLER)])
    order = rng.permuted(np.tile(np.arange(config.context)[:, None], n), axis=0)
    context = np.take_along_axis(items, order, axis=0)
    query = chosen[0]
    exemplars = pool.exemplars(rng, np.concatenate([context, query[None]]))
    return Bursts(exemplars, context, query, chosen[n_named - 1], roles[order])


def relabelled(drawn: Bursts, of_query: Index, of_distractor: Index) -> Arrays:
    """Sequences with these labels (n,) for the bursts; what fills the context keeps its own."""
    labels = np.where(drawn.role == DISTRACTOR, of_distractor, drawn.context)
    labels = np.where(drawn.role == QUERY, of_query, labels)
    return drawn.exemplars, labels, of_query


@mode("bursty", needs=bursts)
def bursty(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """The query's class and a distractor, `burstiness` times each, then others: ICL, CIWL, IWL.

    Labels are the classes' own, so that in-context and in-weights strategies both solve them.
    """
    drawn = draw_bursts(rng, pool, config, n)
    return drawn.exemplars, drawn.context, drawn.query
