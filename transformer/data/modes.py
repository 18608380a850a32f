"""The data modes: how training sequences are drawn.

Bursty sequences, which every strategy solves, are the base of most modes.  Other modes leave out
what a strategy needs, or label sequences so that strategies give different answers.
"""

from dataclasses import dataclass

import numpy as np

from transformer.config.data import DataConfig, Needs, mode
from transformer.config.plain import require
from transformer.data.sequences import Arrays, Index, Pool, distinct

QUERY, DISTRACTOR, FILLER = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Bursts:
    """Bursty sequences without labels; the last axis is over sequences."""

    exemplars: Index
    """(context + 1, n) exemplar indices, the query's last."""
    context: Index
    """(context, n) classes in context."""
    query: Index
    """(n,) class of the query."""
    distractor: Index
    """(n,) class of the distractor; the query's if there is none."""
    role: Index
    """(context, n): `QUERY` or `DISTRACTOR` for the items of a burst, `FILLER` for all others, even
    if they have one of these classes."""


def burst_needs(config: DataConfig) -> Needs:
    """Return what bursts need: a long enough context, and classes to fill it."""
    n_named = 2 if config.distractor else 1
    n_rest = config.context - n_named * config.burstiness
    require(
        n_rest >= 0,
        f"context={config.context} is too short for burstiness={config.burstiness} (the "
        f"query's class{' and a distractor' if config.distractor else ''}, "
        f"{config.burstiness} each); choose context >= {n_named * config.burstiness}",
    )
    distinct = 1 if config.distractor_may_match else n_named
    alike = config.burstiness + 1 + (0 if config.unique_rest else n_rest)
    return Needs(
        distinct=distinct + (n_rest if config.unique_rest else 0),
        alike=config.context + 1 if config.distractor_may_match else alike,
    )


def pair_needs(config: DataConfig) -> Needs:
    """Return what bursts need if their two classes get other labels than their own."""
    needs = burst_needs(config)
    require(
        config.distractor and not config.distractor_may_match,
        "this mode gives two labels to two classes; leave distractor on and distractor_may_match "
        "off",
    )
    return needs


def draw_bursts(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Bursts:
    """Draw `burstiness` items of each named class and others to fill the context, shuffled."""
    n_named = 2 if config.distractor else 1
    n_rest = config.context - n_named * config.burstiness
    n_distinct = n_named + (n_rest if config.unique_rest else 0)
    if config.distractor_may_match:
        chosen = pool.classes(rng, (n_distinct, n))
    else:
        chosen = pool.distinct_classes(rng, n_distinct, n)
    rest = chosen[n_named:] if config.unique_rest else pool.classes(rng, (n_rest, n))
    items = np.concatenate([np.repeat(chosen[:n_named], config.burstiness, axis=0), rest])
    roles = np.repeat((QUERY, DISTRACTOR)[:n_named], config.burstiness)
    roles = np.concatenate([roles, np.full(n_rest, FILLER)])
    order = rng.permuted(np.tile(np.arange(config.context)[:, None], n), axis=0)
    context = np.take_along_axis(items, order, axis=0)
    query = chosen[0]
    exemplars = pool.exemplars(rng, np.concatenate([context, query[None]]))
    return Bursts(exemplars, context, query, chosen[n_named - 1], roles[order])


def relabel(drawn: Bursts, of_query: Index, of_distractor: Index) -> Arrays:
    """Return sequences with these labels (n,) for the bursts; other items keep their own labels."""
    labels = np.where(drawn.role == DISTRACTOR, of_distractor, drawn.context)
    labels = np.where(drawn.role == QUERY, of_query, labels)
    return drawn.exemplars, labels, of_query


@mode("bursty", needs=burst_needs)
def bursty(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """Bursts of the query's class and a distractor, then others.  Solved by ICL, CIWL and IWL.

    Labels are the classes' own, so that in-context and in-weights strategies both work.
    """
    drawn = draw_bursts(rng, pool, config, n)
    return drawn.exemplars, drawn.context, drawn.query


def absent_query_needs(config: DataConfig) -> Needs:
    """Return needs for as many classes as items."""
    return Needs(distinct=config.context + 1, alike=1)


@mode("no_support", needs=absent_query_needs)
def no_support(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """Distinct classes in context without the query's, with their own labels.  Solved by IWL."""
    query, *others = pool.distinct_classes(rng, config.context + 1, n)
    context = rng.permuted(np.stack(others), axis=0)
    return pool.exemplars(rng, np.concatenate([context, query[None]])), context, query


@mode("ciwl_only", needs=absent_query_needs)
def ciwl_only(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """As `no_support`, but the query's label replaces one in context.  Solved by CIWL and IWL."""
    exemplars, labels, query = no_support(rng, pool, config, n)
    labels[rng.integers(0, len(labels), n), np.arange(n)] = query
    return exemplars, labels, query


@mode("flip", needs=pair_needs)
def flip(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """As `bursty`, but the labels of the two classes are swapped.  Solved by ICL."""
    drawn = draw_bursts(rng, pool, config, n)
    return relabel(drawn, drawn.distractor, drawn.query)


@mode("icl_only", needs=pair_needs)
def icl_only(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """As `bursty`, but the two classes get a random pair of all labels.  Solved by ICL."""
    drawn = draw_bursts(rng, pool, config, n)
    return relabel(drawn, *distinct(rng, pool.n_classes, 2, n))


def repeated_burst_needs(config: DataConfig) -> Needs:
    """Return what bursts need that repeat one exemplar."""
    require(config.repeats, "mode matched repeats the query's exemplar; leave repeats on")
    return burst_needs(config)


@mode("matched", needs=repeated_burst_needs)
def matched(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """As `bursty`, with one exemplar per burst.  Solved by ICL (also by identity), CIWL and IWL.

    Items that fill the context have exemplars of their own, whatever their class.
    """
    drawn = draw_bursts(rng, pool, config, n)
    role = np.concatenate([drawn.role, np.full((1, n), QUERY)])
    first = (role[:, None] == role[None]).argmax(1)  # first item of the same role
    source = np.where(role == FILLER, np.arange(len(role))[:, None], first)
    return np.take_along_axis(drawn.exemplars, source, axis=0), drawn.context, drawn.query


def random_needs(config: DataConfig) -> Needs:
    """Return needs for one class that has an exemplar for each item."""
    return Needs(distinct=1, alike=config.context + 1)


@mode("random", needs=random_needs)
def random(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """All items and the query are drawn independently, with their own labels.  Solved by IWL."""
    items = pool.classes(rng, (config.context + 1, n))
    return pool.exemplars(rng, items), items[:-1], items[-1]


@mode("zero_one", needs=pair_needs)
def zero_one(rng: np.random.Generator, pool: Pool, config: DataConfig, n: int) -> Arrays:
    """As `bursty`, but the two classes get the labels 0 and 1 in random order.  Solved by ICL."""
    drawn = draw_bursts(rng, pool, config, n)
    target = rng.integers(0, 2, n)
    return relabel(drawn, target, 1 - target)
