"""Training sequences and evaluators against their definitions."""

import hashlib
import itertools
import os
import re
from collections import Counter, defaultdict
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, chi2_contingency, chisquare, norm

from coopetition.tools.errors import UsageError, UserError
from tests.transformer.conftest import tiny_config
from transformer.config import DataConfig, EvaluationConfig, RunConfig
from transformer.config.data import MODES
from transformer.data.evaluators import draw_evaluators, evaluators_of, load_evaluators
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.sequences import (
    BLOCK_STEPS,
    Pool,
    Sequences,
    class_weights,
    distinct,
    training_block,
)

EVALUATORS = ("train", "icl", "ciwl", "flip", "iwl")  # those that every run has, in this order
FALSE_ALARM = 1e-4  # of each statistical test, at its fixed seed
PAIRED = ("icl_only", "flip", "zero_one")
ABSENT = ("ciwl_only", "no_support")


def data(n_classes=12, n_exemplars=5, **settings):
    return DataConfig(
        exemplars=GlyphConfig(n_classes=n_classes, n_exemplars=n_exemplars), **settings
    )


class Drawn(NamedTuple):
    """Sequences as numpy arrays, the last axis over sequences."""

    exemplars: np.ndarray  # within their class
    classes: np.ndarray
    labels: np.ndarray
    target: np.ndarray

    @property
    def query(self):
        return self.classes[-1]

    @property
    def of_query(self):
        """Where in context the query's class stands."""
        return self.classes[:-1] == self.classes[-1]


def as_drawn(sequences, n_exemplars):
    exemplars, labels, target = (
        part.numpy() for part in (sequences.exemplars, sequences.labels, sequences.target)
    )
    return Drawn(exemplars % n_exemplars, exemplars // n_exemplars, labels, target)


def draw(config, n=20480, seed=1):
    """Training sequences of one block."""
    block = training_block(replace(config, batch_size=n // BLOCK_STEPS), seed, 0)
    parts = (block.exemplars, block.labels, block.target)
    flat = Sequences(*(part.movedim(0, -2).flatten(-2) for part in parts))
    return as_drawn(flat, config.exemplars.n_exemplars)


def plausible(*pvalues):
    """Whether no p-value is too small, with `FALSE_ALARM` for all of them together."""
    return min(pvalues) > FALSE_ALARM / len(pvalues)


def fit(values, probabilities):
    """The p-value of integers under a law, cells of less than 5 expected taken together."""
    counts = np.bincount(np.ravel(values), minlength=len(probabilities)).astype(float)
    assert len(counts) == len(probabilities)
    expected = np.asarray(probabilities) / np.sum(probabilities) * counts.sum()
    assert not counts[expected == 0].any(), "what cannot be does not come"
    rare = expected < 5
    cells = [
        np.append(each[~rare], each[rare].sum()) if expected[rare].sum() >= 5 else each[~rare]
        for each in (counts, expected)
    ]
    if expected[rare].sum() < 5:
        cells[1] = cells[1] * cells[0].sum() / cells[1].sum()
    return chisquare(*cells).pvalue


def uniform(n):
    return np.full(n, 1 / n)


def zipf(n_classes, exponent, rarest_first=False):
    """The definition: rank r in proportion to r ** -exponent."""
    ranks = range(n_classes, 0, -1) if rarest_first else range(1, n_classes + 1)
    weights = np.array([float(rank) ** -exponent for rank in ranks])
    return weights / weights.sum()


# --- the law of classes, labels and targets, by enumeration of the definitions


def sequentially(p, count, taken=()):
    """Ordered draws without replacement, each in proportion to p among what is left."""
    if count == 0:
        yield 1.0, ()
        return
    left = sum(p[k] for k in range(len(p)) if k not in taken)
    for k in range(len(p)):
        if k not in taken:
            for chance, others in sequentially(p, count - 1, (*taken, k)):
                yield p[k] / left * chance, (k, *others)


def independently(p, count):
    for classes in itertools.product(range(len(p)), repeat=count):
        yield np.prod([p[k] for k in classes]), classes


def class_law(mode, config, p):
    """Chances of (classes in context before it is shuffled, their roles, query)."""
    context, burst = config.context, config.burstiness
    if mode in ("random", *ABSENT):
        drawn = independently if mode == "random" else sequentially
        for chance, (query, *rest) in drawn(p, context + 1):
            yield chance, rest, [2] * context, query
        return
    n_named = 1 + config.distractor
    n_rest = context - n_named * burst
    roles = [role for role in range(n_named) for _ in range(burst)] + [2] * n_rest
    named = independently if config.distractor_may_match else sequentially
    for chance, chosen in named(p, n_named):
        pairs = [each for each in chosen for _ in range(burst)]
        rests = sequentially(p, n_rest, chosen) if config.unique_rest else independently(p, n_rest)
        for of_rest, rest in rests:
            yield chance * of_rest, [*pairs, *rest], roles, chosen[0]


def label_law(mode, context, roles, query, n_classes):
    """Chances of (labels, target), given the classes in context and their roles."""
    if mode == "ciwl_only":
        for k in range(len(context)):
            yield 1 / len(context), (*context[:k], query, *context[k + 1 :]), query
        return
    if mode not in PAIRED:
        yield 1.0, tuple(context), query
        return
    pairs = {
        "icl_only": list(itertools.permutations(range(n_classes), 2)),
        "flip": [(context[roles.index(1)], query)],
        "zero_one": [(0, 1), (1, 0)],
    }[mode]
    for pair in pairs:  # what fills the context keeps its label, also if it is of these classes
        labels = (*pair, None)
        yield (
            1 / len(pairs),
            tuple(
                own if labels[role] is None else labels[role]
                for own, role in zip(context, roles, strict=True)
            ),
            pair[0],
        )


def law(config):
    """Chances of (classes in context, query, labels, target)."""
    p = zipf(config.exemplars.n_classes, config.zipf_exponent, config.zipf_rarest_first)
    chances = defaultdict(float)
    for mode, share in config.shares():
        for chance, items, roles, query in class_law(mode, config, p):
            orders = Counter(itertools.permutations(zip(items, roles, strict=True)))
            for order, count in orders.items():
                context, placed_roles = zip(*order, strict=True)
                placed = share * chance * count / orders.total()
                for of_labels, labels, target in label_law(
                    mode, context, placed_roles, query, len(p)
                ):
                    chances[*context, query, *labels, target] += placed * of_labels
    return chances


LAWS = [
    *(dict(mode=mode) for mode in MODES),
    *(dict(mode=mode, zipf_exponent=1.0) for mode in MODES),
    dict(zipf_exponent=0.5),
    dict(zipf_exponent=2.0),
    dict(zipf_exponent=2.0, zipf_rarest_first=True),
    dict(n_classes=3, context=4, burstiness=2),
    dict(n_classes=3, context=4, burstiness=2, mode="icl_only"),
    dict(n_classes=3, context=4, burstiness=2, mode="flip", zipf_exponent=1.0),
    dict(n_classes=3, context=4, burstiness=2, mode="zero_one"),
    dict(n_classes=3, context=3, mode="matched"),
    dict(n_classes=3, context=3, mode="icl_only"),
    dict(n_classes=3, context=3, mode="flip", zipf_exponent=1.0),
    dict(n_classes=3, context=3, mode="zero_one", unique_rest=True),
    dict(n_classes=3, context=3, zipf_exponent=0.5),
    dict(n_classes=3, context=3, distractor=False, zipf_exponent=1.0),
    dict(context=1, distractor=False),
    dict(context=3, unique_rest=True, zipf_exponent=1.0),
    dict(context=3, unique_rest=True, distractor=False),
    dict(context=2, distractor_may_match=True),
    dict(n_classes=3, context=3, distractor_may_match=True, zipf_exponent=1.0),
    dict(context=3, mode="ciwl_only"),
    dict(context=3, mode="no_support", zipf_exponent=2.0),
    dict(context=3, mode="no_support", zipf_exponent=4.0),
    dict(context=1, mode="ciwl_only"),
    dict(context=1, mode="random"),
    dict(mixture=(("bursty", 0.9), ("random", 0.1)), zipf_exponent=1.0),
    dict(mixture=(("icl_only", 0.3), ("ciwl_only", 0.5), ("flip", 0.2))),
    dict(mixture=(("zero_one", 0.25), ("no_support", 0.25), ("matched", 0.5))),
]


@pytest.mark.parametrize("case", LAWS, ids=str)
def test_classes_labels_and_targets_have_the_law_of_their_definition(case):
    """All of them jointly, order in context included."""
    config = data(**{"n_classes": 4} | case)
    drawn, chances = draw(config), law(config)
    assert sum(chances.values()) == pytest.approx(1)
    number = {outcome: k for k, outcome in enumerate(chances)}
    rows = np.concatenate([drawn.classes, drawn.labels, drawn.target[None]]).T.tolist()
    assert plausible(fit([number[tuple(row)] for row in rows], list(chances.values())))


@pytest.mark.parametrize("p", [uniform(4), zipf(4, 1.0), zipf(4, 2.0, True)], ids=str)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_distinct_classes_are_drawn_one_after_the_other_from_what_is_left(p, count):
    """A pair has the chance p_i p_j / (1 - p_i), and so on."""
    weights = None if len(set(p)) == 1 else p * 7  # only relative to each other
    pool = Pool(4, 1, 1, weights)
    chosen = pool.distinct_classes(np.random.default_rng(0), count, 24000)
    chances = {classes: chance for chance, classes in sequentially(p, count)}
    number = {classes: k for k, classes in enumerate(chances)}
    values = [number[tuple(column)] for column in chosen.T.tolist()]
    assert plausible(fit(values, list(chances.values())))


@given(st.integers(1, 8), st.integers(0, 7), st.integers(0, 10**6))
def test_distinct_numbers_are_distinct_and_in_range(n_values, spare, seed):
    count = max(1, n_values - spare)
    chosen = distinct(np.random.default_rng(seed), n_values, count, 50)
    assert chosen.min() >= 0 and chosen.max() < n_values
    assert all(len(set(column)) == count for column in chosen.T)


# --- single statistics, at larger numbers of classes


@pytest.mark.parametrize("rarest_first", [False, True])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_classes_follow_their_weights(exponent, rarest_first):
    """The query's in every mode, and all that are drawn independently."""
    p = zipf(40, exponent, rarest_first)
    settings = dict(n_classes=40, zipf_exponent=exponent, zipf_rarest_first=rarest_first)
    of_query = [draw(data(mode=mode, **settings)).query for mode in MODES]
    of_query.append(draw(data(distractor=False, **settings)).query)
    of_query.append(draw(data(distractor_may_match=True, **settings)).query)
    every = draw(data(mode="random", **settings)).classes
    assert plausible(fit(every, p), *(fit(classes, p) for classes in of_query))


@pytest.mark.parametrize("rarest_first", [False, True])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_exponent_can_be_read_off_the_classes(exponent, rarest_first):
    """Maximum likelihood, within the interval that covers it but for the false-alarm rate."""
    settings = dict(zipf_exponent=exponent, zipf_rarest_first=rarest_first)
    items = draw(data(n_classes=200, mode="random", **settings)).classes
    ranks = 200 - items if rarest_first else items + 1
    log_ranks = np.log(np.arange(1, 201))

    def loss(guess):
        return guess * np.log(ranks).mean() + np.log(np.exp(-guess * log_ranks).sum())

    found = minimize_scalar(loss, bounds=(0, 5), method="bounded", options={"xatol": 1e-7}).x
    p = zipf(200, exponent)
    variance = p @ log_ranks**2 - (p @ log_ranks) ** 2
    error = 1 / np.sqrt(items.size * variance)
    assert abs(found - exponent) < norm.isf(FALSE_ALARM / 2) * error < 0.03


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_a_distractor_that_may_match_does_so_by_chance(exponent):
    """1 / N, or the sum of squared weights."""
    drawn = draw(data(context=8, burstiness=4, distractor_may_match=True, zipf_exponent=exponent))
    matches = drawn.of_query.all(0)
    assert (drawn.of_query.sum(0)[~matches] == 4).all()
    chance = (zipf(12, exponent) ** 2).sum()
    assert exponent or chance == pytest.approx(1 / 12)
    assert binomtest(int(matches.sum()), matches.size, chance).pvalue > FALSE_ALARM


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_items_that_fill_the_context_are_drawn_independently(exponent):
    """The published 3 + 3 + 2: either of the 2 may be the query's class."""
    drawn = draw(data(context=8, burstiness=3, zipf_exponent=exponent))
    p = zipf(12, exponent)
    expected = [(p * (1 - p) ** 2).sum(), (2 * p**2 * (1 - p)).sum(), (p**3).sum()]
    assert plausible(fit(drawn.of_query.sum(0) - 3, expected))


def test_random_items_hold_the_querys_class_by_chance():
    present = draw(data(context=8, mode="random")).of_query.any(0)
    chance = 1 - (1 - 1 / 12) ** 8
    assert binomtest(int(present.sum()), present.size, chance).pvalue > FALSE_ALARM


@pytest.mark.parametrize("exponent", [0.0, 1.0])
@pytest.mark.parametrize(("context", "burstiness"), [(2, 1), (8, 4)])
def test_icl_only_labels_are_all_pairs_and_say_nothing_of_the_class(context, burstiness, exponent):
    config = data(12, 5, context=context, burstiness=burstiness, zipf_exponent=exponent)
    drawn = draw(replace(config, mode="icl_only"))
    other = np.where(drawn.of_query, -1, drawn.labels).max(0)
    pairs = (1 - np.eye(12)).ravel()  # ordered, of two different labels: 132 alike
    table = np.zeros((12, 12))
    np.add.at(table, (drawn.query, drawn.target), 1)
    assert plausible(fit(drawn.target * 12 + other, pairs), chi2_contingency(table).pvalue)


@pytest.mark.parametrize("mode", MODES)
def test_every_place_in_context_is_alike(mode):
    """For the query's class, and for the label that is the target."""
    drawn = draw(data(30, context=8, burstiness=4 if mode in PAIRED else 3, mode=mode))
    order = np.random.default_rng(0).random(drawn.labels.shape)
    pvalues = [1.0]
    for items in (drawn.of_query, drawn.labels == drawn.target):
        # one of them of each sequence, as those of one sequence depend on one another
        place = (items * (1 + order)).argmax(0)[items.any(0)]
        if place.size:
            pvalues.append(fit(place, uniform(8)))
    assert len(pvalues) == {"no_support": 1, "ciwl_only": 2}.get(mode, 3)
    assert plausible(*pvalues)


# --- exemplars


@pytest.mark.parametrize(
    "case",
    [
        dict(mode="matched"),
        dict(mode="matched", context=4, burstiness=2),
        *(
            settings | dict(repeats=repeats)
            for repeats in (True, False)
            for settings in (
                *(dict(mode=mode) for mode in MODES if mode != "matched"),
                dict(burstiness=2, distractor=False),
                dict(distractor_may_match=True),
                dict(mixture=(("bursty", 0.5), ("random", 0.5))),
            )
        ),
    ],
    ids=str,
)
def test_exemplars_are_uniform_given_the_classes(case):
    """All that are allowed are alike, so those of different classes are independent."""
    config = data(4 if case.get("mode") in ABSENT else 2, 3, **case)
    drawn = draw(config)
    patterns, which = np.unique(drawn.classes, axis=1, return_inverse=True)
    pvalues = []
    for k, classes in enumerate(patterns.T):
        items = range(len(classes))
        same = [(i, j) for i, j in itertools.combinations(items, 2) if classes[i] == classes[j]]
        matched = config.mode == "matched"
        allowed = [
            chosen
            for chosen in itertools.product(range(3), repeat=len(classes))
            if (config.repeats and not matched)
            or all((chosen[i] == chosen[j]) == matched for i, j in same)
        ]
        number = {chosen: n for n, chosen in enumerate(allowed)}
        found = drawn.exemplars[:, which.ravel() == k].T.tolist()
        pvalues.append(fit([number[tuple(each)] for each in found], uniform(len(allowed))))
    assert plausible(*pvalues)


@pytest.mark.parametrize(("context", "burstiness"), [(2, 1), (6, 3)])
def test_the_querys_drawing_stands_in_context_by_chance(context, burstiness):
    """With 20 drawings and one item of its class: 1 in 20."""
    drawn = draw(data(12, 20, context=context, burstiness=burstiness))
    present = (drawn.of_query & (drawn.exemplars[:-1] == drawn.exemplars[-1])).any(0)
    chance = 1 - (1 - 1 / 20) ** burstiness
    assert binomtest(int(present.sum()), present.size, chance).pvalue > FALSE_ALARM


@pytest.mark.parametrize("mode", ["bursty", "matched"])
@pytest.mark.parametrize(("context", "burstiness"), [(2, 1), (6, 3)])
def test_drawings_of_query_and_distractor_are_independent(mode, context, burstiness):
    """The published code draws both from one key."""
    drawn = draw(data(12, 20, context=context, burstiness=burstiness, mode=mode))
    of_distractor = np.take_along_axis(drawn.exemplars[:-1], drawn.of_query.argmin(0)[None], 0)[0]
    of_query = np.take_along_axis(drawn.exemplars[:-1], drawn.of_query.argmax(0)[None], 0)[0]
    table = np.zeros((20, 20))
    np.add.at(table, (of_query, of_distractor), 1)
    assert chi2_contingency(table).pvalue > FALSE_ALARM


# --- mixtures


def test_shares_of_a_mixture_are_those_given():
    """Modes that can be told apart: the query's class is there for sure, or for sure not."""
    shares = (0.9, 0.06, 0.04)
    config = data(mixture=tuple(zip(("bursty", "no_support", "ciwl_only"), shares, strict=True)))
    drawn = draw(config)
    present, label = drawn.of_query.any(0), (drawn.labels == drawn.target).any(0)
    assert plausible(fit(np.where(present, 0, np.where(label, 2, 1)), shares))


def test_p_bursty():
    """P(bursty) = 0.9: nine in ten sequences are bursty, the others by chance."""
    config = data(context=8, burstiness=4, mixture=(("bursty", 0.9), ("random", 0.1)))
    count = draw(config).of_query.sum(0)
    places = np.arange(9)
    assert plausible(fit(count, 0.1 * binom.pmf(places, 8, 1 / 12) + 0.9 * (places == 4)))


def test_a_share_that_comes_to_nothing_leaves_the_others():
    rest = [mode for mode in MODES if mode != "bursty"]
    tiny = tuple((mode, 1e-12) for mode in rest)
    drawn = draw(data(mixture=(*tiny, ("bursty", 1 - 1e-12 * len(rest)))), n=2048)
    assert follows("bursty", data(), drawn).all()


# --- what holds for every sequence


def follows(mode, config, drawn):
    """Which sequences (n,) are ones that the mode could have made."""
    _, classes, labels, target = drawn
    of_query, context, query = drawn.of_query, classes[:-1], drawn.query
    n_distinct = np.array([len(set(column)) for column in context.T])
    count = of_query.sum(0)
    own = (labels == context).all(0) & (target == query)
    if mode == "random":
        return own
    if mode == "no_support":
        return own & (count == 0) & (n_distinct == config.context)
    if mode == "ciwl_only":
        pasted = labels == target
        kept = (pasted | (labels == context)).all(0)
        return (
            (count == 0)
            & (n_distinct == config.context)
            & (target == query)
            & (pasted.sum(0) == 1)
            & kept
        )
    burst = config.burstiness
    n_rest = config.context - burst * (1 + config.distractor)
    if mode in PAIRED:
        columns = zip(context.T.tolist(), query.tolist(), labels.T.tolist(), target, strict=True)
        return np.array([burst_labels_fit(mode, *column, burst) for column in columns])
    most = np.array([max(Counter(column).values()) for column in context.T])
    others = np.array(
        [
            max((n for each, n in Counter(column).items() if each != k), default=0)
            for column, k in zip(context.T.tolist(), query.tolist(), strict=True)
        ]
    )
    right = own & (count >= burst) & (most <= 2 * burst + n_rest)
    if config.distractor and config.distractor_may_match:
        right &= (others >= burst) | (count >= 2 * burst)
    elif config.distractor:
        right &= others >= burst
    if config.unique_rest:
        right &= (count == burst) & (n_distinct == 1 + config.distractor + n_rest)
    if mode == "matched":  # what fills the context has drawings of its own
        is_querys = of_query & (drawn.exemplars[:-1] == drawn.exemplars[-1])
        right &= is_querys.sum(0) >= burst
    return right


def burst_labels_fit(mode, context, query, labels, target, burst):
    """Whether some choice of bursts and of what fills the context gives these labels."""
    if mode == "zero_one" and target not in (0, 1):
        return False
    relabelled = [k for k in range(len(context)) if context[k] == query and labels[k] == target]
    for of_query in itertools.combinations(relabelled, burst):
        for other in {*context} - {query}:
            given = {"zero_one": {1 - target}, "flip": {query}}.get(mode, {*labels} - {target})
            if mode == "flip" and target != other:
                continue
            for label in given:
                rest = [k for k in range(len(context)) if k not in of_query]
                fits = [k for k in rest if context[k] == other and labels[k] == label]
                for of_other in itertools.combinations(fits, burst):
                    if all(labels[k] == context[k] for k in rest if k not in of_other):
                        return True
    return False


def follows_one(config, drawn):
    """Which sequences are of one of the config's modes."""
    return np.any([follows(mode, config, drawn) for mode, _ in config.shares()], axis=0)


@st.composite
def settings_of_data(draw_from):
    """Mostly such that the context is long enough."""
    burstiness, distractor = draw_from(st.integers(1, 3)), draw_from(st.booleans())
    context = burstiness * (1 + distractor) + draw_from(st.sampled_from([0, 0, 0, 1, 2, -1]))
    switches = dict(
        distractor_may_match=st.booleans(),
        unique_rest=st.booleans(),
        repeats=st.booleans(),
        zipf_exponent=st.sampled_from([0.5, 1.0, 2.0]),
        zipf_rarest_first=st.booleans(),
    )
    return dict(
        burstiness=burstiness,
        distractor=distractor,
        context=context,
        n_classes=draw_from(st.integers(1, 9)),
        n_exemplars=draw_from(st.integers(1, 8)),
        **draw_from(st.fixed_dictionaries({}, optional=switches)),
    )


mixtures = st.lists(
    st.tuples(st.sampled_from(list(MODES)), st.integers(1, 10**6)), min_size=1, max_size=3
).map(lambda parts: tuple((mode, share / sum(n for _, n in parts)) for mode, share in parts))
FIELDS = {item.name for cls in (DataConfig, GlyphConfig) for item in fields(cls)}


def is_named(message):
    """Whether the message begins with a field, or says what a mode needs of one."""
    named = rf"^({'|'.join(FIELDS)}|exemplars\.({'|'.join(FIELDS)}))\b"
    leave = rf"(leave|choose) ({'|'.join(FIELDS)})\b"
    return "\n" not in message and bool(re.search(named, message) or re.search(leave, message))


@pytest.mark.parametrize("mode", [*MODES, "mixture"])
@given(settings_of_data(), mixtures, st.integers(0, 2**63 - 1))
def test_sequences_are_as_their_mode_says_or_the_settings_are_refused(
    mode, settings, mixture, seed
):
    way = {"mixture": mixture} if mode == "mixture" else {"mode": mode}
    try:
        config = data(**settings, **way)
    except UsageError as error:
        assert is_named(str(error))
        return
    drawn = draw(config, n=BLOCK_STEPS, seed=seed)
    n_classes, n_exemplars = config.exemplars.n_classes, config.exemplars.n_exemplars
    assert drawn.classes.shape == (config.context + 1, BLOCK_STEPS)
    assert drawn.labels.shape == (config.context, BLOCK_STEPS)
    assert drawn.target.shape == (BLOCK_STEPS,)
    for part in (drawn.classes, drawn.labels, drawn.target):
        assert part.dtype == np.int64 and part.min() >= 0 and part.max() < n_classes
    assert follows_one(config, drawn).all()
    if not config.repeats:
        drawings = np.sort(drawn.classes * n_exemplars + drawn.exemplars, axis=0)
        assert (np.diff(drawings, axis=0) > 0).all(), "no drawing twice"


@pytest.mark.parametrize(
    ("settings", "field", "least"),
    [
        (dict(), "n_classes", 2),
        (dict(context=8, burstiness=3, unique_rest=True), "n_classes", 4),
        (dict(mode="ciwl_only", context=6), "n_classes", 7),
        (dict(mode="no_support", context=1), "n_classes", 2),
        (dict(repeats=False), "n_exemplars", 2),
        (dict(repeats=False, context=8, burstiness=3), "n_exemplars", 6),
        (dict(repeats=False, context=4, burstiness=2, mode="flip"), "n_exemplars", 3),
        (dict(repeats=False, distractor_may_match=True), "n_exemplars", 3),
        (dict(repeats=False, context=5, mode="random"), "n_exemplars", 6),
        (dict(repeats=False, mode="ciwl_only"), "n_exemplars", 1),
        (dict(mixture=(("bursty", 0.5), ("no_support", 0.5)), context=4), "n_classes", 5),
        (dict(context=6, burstiness=2, distractor=False), "context", 2),
        (dict(context=6, burstiness=2), "context", 4),
    ],
    ids=str,
)
def test_the_least_that_is_enough_is_accepted_and_one_less_refused(settings, field, least):
    enough = data(**settings | {field: least})
    if field == "n_classes":  # and with the chances of classes far apart
        enough = replace(enough, zipf_exponent=2.0)
    drawn = draw(enough, n=2048)
    assert follows_one(enough, drawn).all()
    with pytest.raises(UsageError, match=f"{field}={least - 1} ") as caught:
        data(**settings | {field: least - 1})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        dict(mode="icl_only", distractor=False),
        dict(mode="flip", distractor=False, context=1),
        dict(mode="zero_one", distractor_may_match=True),
        dict(mode="matched", repeats=False),
        dict(unique_rest=True, distractor_may_match=True),
        dict(zipf_exponent=-1.0),
        dict(zipf_exponent=float("inf")),
        dict(noise=float("nan")),
        dict(mixture=(("bursty", 0.5),)),
        dict(mixture=(("bursty", 1.5), ("random", -0.5))),
        dict(mixture=(("bursty", float("nan")), ("random", 1.0))),
        dict(mixture=(("random", 1.0),), mode="flip"),
        dict(mixture=(("random", 0.5), ("icl_only", 0.5)), distractor_may_match=True),
        dict(mixture=(("random", 0.5), ("random", 0.5))),
        dict(held_out=12),
        dict(held_out=-1),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(settings):
    with pytest.raises(UsageError) as caught:
        data(**settings)
    assert is_named(str(caught.value))


@pytest.mark.parametrize("exponent", [4.0, 10.0, 20.0, 1e300])
def test_rare_classes_are_found_or_such_exponents_refused(exponent):
    try:
        config = data(9, mode="no_support", context=8, zipf_exponent=exponent)
    except UsageError as error:
        assert is_named(str(error))
        return
    assert follows("no_support", config, draw(config, n=2048)).all()


def test_an_unknown_mode_in_a_mixture_is_refused():
    with pytest.raises(UsageError, match="unknown data mode 'all'"):
        data(mixture=(("all", 1.0),))


@pytest.mark.parametrize(
    "settings",
    [
        dict(n_classes=1, context=1, distractor=False),
        dict(n_classes=1, mode="random"),
        dict(n_classes=3, context=3, distractor=False, unique_rest=True),
        dict(n_exemplars=4, context=8, burstiness=3, unique_rest=True, repeats=False),
        dict(n_exemplars=3, mode="random", burstiness=5, repeats=False),
        dict(n_exemplars=1, mode="no_support", distractor_may_match=True, repeats=False),
    ],
    ids=str,
)
def test_what_is_enough_is_accepted(settings):
    config = data(**settings)
    assert follows(config.mode, config, draw(config, n=256)).all()


# --- the stream


@pytest.mark.parametrize("mixture", [(), (("bursty", 0.9), ("random", 0.1))])
def test_batches_depend_on_seed_and_step_alone(mixture):
    config = data(mixture=mixture)

    def exemplars(seed, block):
        return training_block(config, seed, block).exemplars

    block = exemplars(3, 1)
    assert block.shape == (BLOCK_STEPS, 3, 32)
    np.random.default_rng(0).random()
    torch.manual_seed(7)
    exemplars(9, 9)
    assert torch.equal(block, exemplars(3, 1))
    blocks = [block, exemplars(4, 1), exemplars(3, 2), exemplars(1, 3)]
    steps = {each.numpy().tobytes() for block in blocks for each in block}
    assert len(steps) == 4 * BLOCK_STEPS, "no two steps are alike"


def test_a_step_of_a_block_is_its_batch():
    block = training_block(data(batch_size=5), 0, 0)
    step = block[17]
    for part, shape in (("exemplars", (3, 5)), ("labels", (2, 5)), ("target", (5,))):
        assert getattr(step, part).shape == shape
        assert torch.equal(getattr(step, part), getattr(block, part)[17])


@pytest.mark.parametrize("rarest_first", [False, True])
def test_weights_are_powers_of_the_rank(rarest_first):
    assert class_weights(data()) is None
    weights = class_weights(data(3, zipf_exponent=2.0, zipf_rarest_first=rarest_first))
    assert weights is not None
    assert (weights[::-1] if rarest_first else weights) == pytest.approx([1, 1 / 4, 1 / 9])


# --- evaluators


def run_config(context=2, burstiness=1, n_sequences=2000, evaluated=0, also=(), **settings):
    return RunConfig(
        data=data(30, 6, context=context, burstiness=burstiness, **settings),
        evaluation=EvaluationConfig(
            n_sequences=n_sequences, n_classes=evaluated, n_exemplars=3, also=also
        ),
    )


def same(first, second):
    parts = ("exemplars", "labels", "target")
    return all(torch.equal(getattr(first, part), getattr(second, part)) for part in parts)


MODE_OF = {
    "train": "bursty",
    "icl": "zero_one",
    "ciwl": "ciwl_only",
    "flip": "flip",
    "iwl": "no_support",
}


@pytest.mark.parametrize(("context", "burstiness"), [(2, 1), (8, 3), (4, 2)])
def test_evaluators_follow_their_definitions(context, burstiness):
    config = run_config(context, burstiness, evaluated=12)
    sets = draw_evaluators(config)
    assert tuple(sets) == EVALUATORS
    for name, mode in MODE_OF.items():
        drawn = as_drawn(sets[name], 6)
        assert drawn.classes.shape == (context + 1, 2000)
        assert drawn.exemplars.max() == 2, "only the first exemplars"
        assert drawn.classes.max() == 11, "only the first classes"
        burst = burstiness if name == "train" else context // 2
        settings = replace(config.data, burstiness=burst)
        assert follows(mode, settings, drawn).all()
        assert plausible(fit(drawn.query, uniform(12)), fit(drawn.exemplars[-1], uniform(3)))


@pytest.mark.parametrize("context", [2, 8])
def test_what_each_strategy_scores(context):
    """In-context copying by class, by the own label, by the weights, and guessing."""
    config = run_config(context, context // 2, n_sequences=5000)
    chances = {  # icl, ciwl, in weights over all labels, guessing among those in context
        "train": (1, 1, 1, 1 / 2),
        "icl": (1, None, 1 / 30, 1 / 2),
        "flip": (1, 0, 0, 1 / 2),
        "ciwl": (None, 1, 1, 1 / context),
        "iwl": (None, None, 1, 0),
    }
    for name, sequences in draw_evaluators(config).items():
        drawn = as_drawn(sequences, 6)
        icl, ciwl, iwl, guess = chances[name]
        beside = np.take_along_axis(drawn.labels, drawn.of_query.argmax(0)[None], 0)[0]
        assert icl is None or (beside == drawn.target).all()
        assert drawn.of_query.any() == (icl is not None)
        own = (drawn.labels == drawn.query).any(0)
        assert ciwl is None or (own.all() and ((drawn.query == drawn.target) == ciwl).all())
        right = (drawn.query == drawn.target).sum()
        assert binomtest(int(right), 5000, iwl).pvalue > FALSE_ALARM
        in_context = [
            (target in labels) / len(set(labels))
            for target, *labels in np.vstack([drawn.target, drawn.labels]).T.tolist()
        ]
        assert np.array(in_context) == pytest.approx(guess)


@pytest.mark.parametrize("context", [2, 8])
def test_labels_of_the_icl_evaluator_say_nothing_of_class_or_place(context):
    drawn = as_drawn(draw_evaluators(run_config(context, context // 2))["icl"], 6)
    table = np.zeros((30, 2))
    np.add.at(table, (drawn.query, drawn.target), 1)
    ones = (drawn.labels == 1).argmax(0) if context == 2 else drawn.labels[0]
    assert plausible(
        fit(drawn.target, uniform(2)), fit(ones, uniform(2)), chi2_contingency(table).pvalue
    )


@pytest.mark.parametrize(
    "switches",
    [
        dict(mode="icl_only", context=4, burstiness=2),
        dict(mode="no_support"),
        dict(mixture=(("bursty", 0.9), ("random", 0.1))),
        dict(zipf_exponent=1.5),
        dict(zipf_exponent=1.5, zipf_rarest_first=True),
        dict(noise=0.3),
        dict(batch_size=7),
        dict(repeats=False),
    ],
    ids=str,
)
def test_how_training_draws_does_not_change_the_evaluators(switches):
    shape = {name: switches[name] for name in ("context", "burstiness") if name in switches}
    plain = draw_evaluators(run_config(**shape))
    for name, sequences in draw_evaluators(run_config(**switches)).items():
        assert same(sequences, plain[name])


@pytest.mark.parametrize(
    "settings",
    [
        dict(burstiness=2),
        dict(distractor=False),
        dict(unique_rest=True),
        dict(distractor_may_match=True),
    ],
    ids=str,
)
def test_only_the_train_evaluator_has_the_training_context(settings):
    plain = draw_evaluators(run_config(context=4))
    config = run_config(**{"context": 4} | settings)
    changed = draw_evaluators(config)
    assert follows("bursty", config.data, as_drawn(changed["train"], 6)).all()
    assert [name for name in EVALUATORS if not same(changed[name], plain[name])] == ["train"]


def test_evaluators_depend_on_their_seed_alone():
    config = run_config()
    first, again = draw_evaluators(config), draw_evaluators(replace(config, data_seed=99))
    other = draw_evaluators(replace(config, eval_seed=7))
    for name in EVALUATORS:
        assert same(first[name], again[name]) and not same(first[name], other[name])


@pytest.mark.parametrize(
    "settings",
    [
        dict(mode="no_support", repeats=False, n_exemplars=1),
        dict(mode="random", context=4, burstiness=2),
        dict(mode="ciwl_only", context=8, burstiness=3),
        dict(mixture=(("no_support", 0.5), ("random", 0.5)), unique_rest=True, context=4),
    ],
    ids=str,
)
def test_every_run_that_is_accepted_has_its_evaluators(settings):
    config = RunConfig(
        data=data(**settings),
        evaluation=EvaluationConfig(n_sequences=20, n_classes=12, n_exemplars=1),
    )
    assert tuple(draw_evaluators(config)) == EVALUATORS


@pytest.mark.parametrize(
    "settings",
    [
        dict(mode="ciwl_only", burstiness=2),
        dict(mode="random", burstiness=9),
        dict(mixture=(("no_support", 0.5), ("random", 0.5)), burstiness=2),
    ],
    ids=str,
)
def test_a_run_whose_train_evaluator_is_impossible_is_refused(settings):
    """The settings alone do, as their modes have no bursts."""
    with pytest.raises(UsageError, match="evaluator train cannot be drawn: context=2 is too short"):
        RunConfig(data=data(**settings), evaluation=EvaluationConfig(n_classes=12))


@pytest.mark.parametrize("context", [1, 3])
def test_an_odd_context_leaves_out_what_two_classes_fill(context, tmp_path, capsys):
    config = run_config(context, n_sequences=300, distractor=context > 1)
    left = evaluators_of(config).left_out
    assert set(left) == {"icl", "flip"} and f"context={context} is odd" in left["icl"]
    sets = load_evaluators(tmp_path, config)
    assert tuple(sets) == ("train", "ciwl", "iwl") == tuple(load_evaluators(tmp_path, config))
    assert capsys.readouterr().err.count("evaluator icl is left out") == 1, "said when drawn"
    for name in ("ciwl", "iwl"):
        assert follows(MODE_OF[name], config.data, as_drawn(sets[name], 6)).all()


def test_evaluators_that_are_asked_for():
    plain = draw_evaluators(run_config(8, 3))
    config = run_config(8, 3, evaluated=12, held_out=10)
    also = replace(config.evaluation, also=("icl_held_out", "train_burst_2"))
    sets = draw_evaluators(replace(config, evaluation=also))
    assert tuple(sets) == (*EVALUATORS, "icl_held_out", "train_burst_2")
    unseen = as_drawn(sets["icl_held_out"], 6)
    assert set(np.unique(unseen.classes)) == set(range(20, 30)), "those held out"
    assert follows("zero_one", replace(config.data, burstiness=4), unseen).all()
    twice = as_drawn(sets["train_burst_2"], 6)
    assert follows("bursty", replace(config.data, burstiness=2), twice).all()
    assert plausible(fit((twice.of_query.sum(0) > 2), [(11 / 12) ** 4, 1 - (11 / 12) ** 4]))
    for name, each in draw_evaluators(run_config(8, 3, also=("train_burst_2",))).items():
        assert name == "train_burst_2" or same(each, plain[name]), "streams of others stay"


def test_classes_that_are_held_out_are_not_trained_on():
    drawn = draw(data(mode="random", held_out=4))
    assert plausible(fit(drawn.classes, uniform(8)))


@pytest.mark.parametrize(
    ("also", "message"),
    [
        (("icl",), "also='icl' is there already"),
        (("nobodys",), "unknown evaluator 'nobodys'"),
        (("train_burst_2",) * 2, "is there already"),
        (("icl_held_out",), "icl_held_out cannot be drawn: held_out=0"),
        (("train_burst_2",), "train_burst_2 cannot be drawn: context=2 is too short"),
    ],
)
def test_evaluators_that_cannot_be_had_are_refused(also, message):
    with pytest.raises(UsageError, match=message):
        run_config(also=also)


def test_items_that_fill_a_matched_context_have_drawings_of_their_own():
    """As in the published code, of whatever class they are; bursts are of one drawing."""
    drawn = draw(data(2, 7, context=8, burstiness=3, mode="matched"))
    is_querys = drawn.of_query & (drawn.exemplars[:-1] == drawn.exemplars[-1])
    fillers = drawn.of_query.sum(0) - 3  # of the query's class: 0, 1 or 2
    assert (is_querys.sum(0) >= 3).all()
    # each filler has the query's drawing by chance, 1 in 7
    for n in (1, 2):
        extra = is_querys.sum(0)[fillers == n] - 3
        assert plausible(fit(extra, binom.pmf(range(n + 1), n, 1 / 7)))


# --- evaluation sets on disk


@pytest.fixture
def kept(tmp_path):
    """A folder, a config, and the file of its sets."""
    config = run_config(n_sequences=20, evaluated=30)
    load_evaluators(tmp_path, config)
    (path,) = tmp_path.iterdir()
    return tmp_path, config, path


def test_sets_are_drawn_once_and_kept(kept, monkeypatch):
    folder, config, path = kept
    before = path.read_bytes(), path.stat().st_mtime_ns
    monkeypatch.setattr("transformer.data.evaluators.draw_evaluators", None)
    sets = load_evaluators(folder, replace(config, n_steps=7, init_seed=9, data_seed=8))
    assert tuple(sets) == EVALUATORS
    drawn = draw_evaluators(config)
    assert all(same(sets[name], drawn[name]) for name in EVALUATORS)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_what_is_kept_is_used_and_not_what_would_be_drawn(kept):
    folder, config, path = kept
    other = draw_evaluators(replace(config, eval_seed=77))
    tensors = load_file(path)
    save_file(tensors | {"iwl.exemplars": other["iwl"].exemplars}, path)
    assert torch.equal(load_evaluators(folder, config)["iwl"].exemplars, other["iwl"].exemplars)


@pytest.mark.parametrize(
    "changes",
    [
        dict(eval_seed=7),
        dict(evaluation=EvaluationConfig(n_sequences=20, n_classes=29, n_exemplars=3)),
        dict(evaluation=EvaluationConfig(n_sequences=20, n_classes=30, n_exemplars=4)),
        dict(evaluation=EvaluationConfig(n_sequences=21, n_classes=30, n_exemplars=3)),
        dict(data=data(30, 7)),
        dict(data=data(30, 6, context=4)),
        dict(data=data(30, 6, distractor_may_match=True)),
    ],
)
def test_other_sets_have_a_file_of_their_own(kept, changes):
    folder, config, path = kept
    before = path.read_bytes()
    other = replace(config, **changes)
    sets = load_evaluators(folder, other)
    assert len(list(folder.iterdir())) == 2 and path.read_bytes() == before
    again = load_evaluators(folder, other)
    assert all(same(sets[name], again[name]) for name in EVALUATORS)


@pytest.mark.parametrize(
    "changes",
    [
        dict(evaluation=EvaluationConfig(every=1, n_sequences=20, n_classes=30, n_exemplars=3)),
        dict(data=data(30, 6, batch_size=7, mode="icl_only")),
        dict(data=data(30, 6, mixture=(("bursty", 0.9), ("random", 0.1)))),
        dict(data=data(31, 6)),
        *(
            dict(data=data(30, 6, **switch))
            for switch in (dict(zipf_exponent=1.0), dict(noise=0.3), dict(repeats=False))
        ),
    ],
)
def test_runs_with_the_same_sets_share_a_file(kept, changes):
    folder, config, path = kept
    load_evaluators(folder, replace(config, **changes))
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content, tensors: b"",
        lambda content, tensors: b"no such thing\n\n",
        lambda content, tensors: content[: len(content) // 2],
        lambda content, tensors: save({"a\nb": torch.zeros(2)}),
        lambda content, tensors: save({k: v for k, v in tensors.items() if k != "flip.labels"}),
        lambda content, tensors: save(tensors | {"icl.target": tensors["icl.target"][1:].clone()}),
        lambda content, tensors: save(tensors | {"icl.target": tensors["icl.target"].int()}),
        lambda content, tensors: save(tensors | {"icl.target": tensors["icl.target"] - 1}),
        lambda content, tensors: save(
            tensors | {"iwl.labels": torch.full_like(tensors["iwl.labels"], 30)}
        ),
        lambda content, tensors: save(
            tensors | {"train.exemplars": torch.full_like(tensors["iwl.exemplars"], 180)}
        ),
    ],
)
def test_a_damaged_file_is_reported_in_one_line_and_left_alone(kept, spoil):
    folder, config, path = kept
    path.write_bytes(spoil(path.read_bytes(), load_file(path)))
    before = path.read_bytes()
    with pytest.raises(UserError, match="is damaged .*; remove it") as caught:
        load_evaluators(folder, config)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert path.read_bytes() == before and os.listdir(folder) == [path.name]


# --- kept runs go on only if all of this stays as it is, bit by bit


def digest(sequences):
    parts = (sequences.exemplars, sequences.labels, sequences.target)
    content = b"".join(part.numpy().astype("<i8").tobytes() for part in parts)
    return hashlib.sha256(content).hexdigest()[:16]


GOLDEN_BLOCKS = {
    "bursty": "4e9108de97196bf0",
    "icl_only": "019aef536ab1f444",
    "ciwl_only": "cd7e40360010a544",
    "matched": "dda58dcdcdb80346",
}
GOLDEN_SETS = {
    "train": "cc43ff91cd0616e1",
    "icl": "d98c331c66b1a800",
    "ciwl": "40bdb0024ea87a60",
    "flip": "5e0c6609404cddcc",
    "iwl": "60298071b56685f1",
}


@pytest.mark.parametrize("mode", GOLDEN_BLOCKS)
def test_the_data_stream_is_that_of_the_kept_runs(mode):
    config = RunConfig(data=DataConfig(mode=mode))
    assert digest(training_block(config.data, config.data_seed, 3)) == GOLDEN_BLOCKS[mode]


def test_the_evaluators_are_those_of_the_kept_runs():
    sets = draw_evaluators(RunConfig())
    assert {name: digest(each) for name, each in sets.items()} == GOLDEN_SETS


def test_evaluators_with_another_number_of_labels_than_training_are_told(tmp_path, capsys):
    usual = tiny_config()
    load_evaluators(tmp_path / "usual", usual)
    assert "labels in context" not in capsys.readouterr().err
    many = replace(usual.data, context=8, unique_rest=True)
    load_evaluators(tmp_path / "many", replace(usual, data=many))
    told = capsys.readouterr().err
    assert "training has 8 labels" in told and "icl has 2" in told and "flip has 2" in told
    assert "ciwl" not in told
    load_evaluators(tmp_path / "many", replace(usual, data=many))
    assert not capsys.readouterr().err, "once, when they are drawn"
