"""Training sequences and evaluators against their definitions."""

import itertools
import os
from collections import Counter, defaultdict
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy.stats import binom, binomtest, chisquare

from coopetition.tools.errors import UsageError, UserError
from tests.transformer.conftest import tiny_config
from transformer.config import DataConfig, EvaluationConfig, RunConfig
from transformer.config.data import MODES
from transformer.config.evaluators import EVALUATORS, evaluator
from transformer.data.evaluators import (
    as_trained,
    draw_evaluation_sets,
    evaluators_of,
    iwl,
    load_evaluation_sets,
)
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.sequences import BLOCK_STEPS, Sequences, training_block

MODE_OF = {  # the default evaluators, in their order
    "train": "bursty",
    "icl": "zero_one",
    "ciwl": "ciwl_only",
    "flip": "flip",
    "iwl": "no_support",
}
PARTS = ("exemplars", "labels", "target")
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
        """Whether each item in context is of the query's class."""
        return self.classes[:-1] == self.classes[-1]


def as_drawn(sequences, n_exemplars):
    exemplars, labels, target = (
        part.numpy() for part in (sequences.exemplars, sequences.labels, sequences.target)
    )
    return Drawn(exemplars % n_exemplars, exemplars // n_exemplars, labels, target)


def draw(config, n=20480, seed=1):
    """Training sequences of one block."""
    block = training_block(replace(config, batch_size=n // BLOCK_STEPS), seed, 0)
    flat = Sequences(*(getattr(block, part).movedim(0, -2).flatten(-2) for part in PARTS))
    return as_drawn(flat, config.exemplars.n_exemplars)


def plausible(*pvalues):
    """Return whether no p-value is too small, with `FALSE_ALARM` for all of them together."""
    return min(pvalues) > FALSE_ALARM / len(pvalues)


def fit(values, probabilities):
    """Return the p-value of integers under a law; cells with fewer than 5 expected are merged."""
    counts = np.bincount(np.ravel(values), minlength=len(probabilities)).astype(float)
    assert len(counts) == len(probabilities)
    expected = np.asarray(probabilities) / np.sum(probabilities) * counts.sum()
    assert not counts[expected == 0].any(), "impossible outcomes do not occur"
    rare = expected < 5
    if expected[rare].sum() < 5:
        counts, expected = counts[~rare], expected[~rare]
        return chisquare(counts, expected * counts.sum() / expected.sum()).pvalue
    merged = [np.append(each[~rare], each[rare].sum()) for each in (counts, expected)]
    return chisquare(*merged).pvalue


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
        labels = [(*pair, own)[role] for own, role in zip(context, roles, strict=True)]
        yield 1 / len(pairs), labels, pair[0]


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
                labelled = label_law(mode, context, placed_roles, query, len(p))
                for of_labels, labels, target in labelled:
                    chances[*context, query, *labels, target] += placed * of_labels
    return chances


def outcomes_of(drawn):
    rows = np.concatenate([drawn.classes, drawn.labels, drawn.target[None]]).T.tolist()
    return [tuple(row) for row in rows]


LAWS = [
    *(dict(mode=mode) for mode in MODES),
    *(dict(mode=mode, zipf_exponent=1.0) for mode in MODES),
    dict(zipf_exponent=2.0, zipf_rarest_first=True),
    dict(n_classes=40, zipf_exponent=0.5),
    dict(n_classes=3, context=4, burstiness=2),
    dict(n_classes=3, context=4, burstiness=2, mode="flip", zipf_exponent=1.0),
    dict(n_classes=3, context=3, mode="matched"),
    dict(n_classes=3, context=3, mode="icl_only"),
    dict(n_classes=3, context=3, mode="zero_one", unique_rest=True),
    dict(n_classes=3, context=3, distractor=False, zipf_exponent=1.0),
    dict(context=1, distractor=False),
    dict(context=3, unique_rest=True, zipf_exponent=1.0),
    dict(n_classes=3, context=3, distractor_may_match=True, zipf_exponent=1.0),
    dict(context=3, mode="ciwl_only"),
    dict(context=3, mode="no_support", zipf_exponent=4.0),
    dict(context=1, mode="random"),
    dict(mixture=(("bursty", 0.9), ("random", 0.1)), zipf_exponent=1.0),
    dict(mixture=(("icl_only", 0.3), ("ciwl_only", 0.5), ("flip", 0.2))),
]


@pytest.mark.parametrize("case", LAWS, ids=str)
def test_classes_labels_and_targets_have_the_law_of_their_definition(case):
    """All of them jointly, order in context included."""
    config = data(**{"n_classes": 4} | case)
    chances = law(config)
    assert sum(chances.values()) == pytest.approx(1)
    number = {outcome: k for k, outcome in enumerate(chances)}
    outcomes = [number[outcome] for outcome in outcomes_of(draw(config))]
    assert plausible(fit(outcomes, list(chances.values())))


@pytest.mark.parametrize("exponent", [4.0, 10.0, 20.0, 1e300])
def test_exponents_that_leave_too_little_for_rare_classes_are_refused(exponent):
    try:
        config = data(9, mode="no_support", context=8, zipf_exponent=exponent)
    except UsageError as error:
        assert "zipf_exponent" in str(error)
        return
    assert (np.sort(draw(config, n=2048).classes, axis=0) == np.arange(9)[:, None]).all()


def test_classes_that_are_held_out_are_not_trained_on():
    assert plausible(fit(draw(data(mode="random", held_out=4)).classes, uniform(8)))


def test_a_mode_of_a_vanishing_share_is_never_drawn():
    rest = [mode for mode in MODES if mode != "bursty"]
    tiny = tuple((mode, 1e-12) for mode in rest)
    drawn = draw(data(mixture=(*tiny, ("bursty", 1 - 1e-12 * len(rest)))), n=2048)
    assert drawn.of_query.any(0).all() and (drawn.labels == drawn.classes[:-1]).all()


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
    """All allowed combinations are equally likely, so exemplars of two classes are independent."""
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


def test_items_that_fill_a_matched_context_have_exemplars_of_their_own():
    """As in the published code, whatever their class; a burst has one exemplar."""
    drawn = draw(data(2, 7, context=8, burstiness=3, mode="matched"))
    is_querys = drawn.of_query & (drawn.exemplars[:-1] == drawn.exemplars[-1])
    fillers = drawn.of_query.sum(0) - 3  # of the query's class: 0, 1 or 2
    assert (is_querys.sum(0) >= 3).all()
    for n in (1, 2):  # each filler has the query's exemplar by chance, 1 in 7
        extra = is_querys.sum(0)[fillers == n] - 3
        assert plausible(fit(extra, binom.pmf(range(n + 1), n, 1 / 7)))


# --- what is accepted


@st.composite
def data_settings(draw_from):
    """Mostly such that the context is long enough."""
    burstiness, distractor = draw_from(st.integers(1, 2)), draw_from(st.booleans())
    context = burstiness * (1 + distractor) + draw_from(st.sampled_from([0, 0, 1, -1]))
    switches = dict(
        distractor_may_match=st.booleans(),
        unique_rest=st.booleans(),
        repeats=st.booleans(),
        zipf_exponent=st.sampled_from([0.5, 2.0]),
        zipf_rarest_first=st.booleans(),
    )
    return dict(
        burstiness=burstiness,
        distractor=distractor,
        context=min(context, 3),
        n_classes=draw_from(st.integers(1, 4)),
        n_exemplars=draw_from(st.integers(1, 5)),
        **draw_from(st.fixed_dictionaries({}, optional=switches)),
    )


mixtures = st.lists(
    st.tuples(st.sampled_from(list(MODES)), st.integers(1, 10**6)), min_size=1, max_size=3
).map(lambda parts: tuple((mode, share / sum(n for _, n in parts)) for mode, share in parts))


@pytest.mark.parametrize("mode", [*MODES, "mixture"])
@settings(max_examples=40)
@given(data_settings(), mixtures, st.integers(0, 2**63 - 1))
def test_settings_are_refused_in_one_line_or_give_possible_sequences(mode, given, mixture, seed):
    try:
        config = data(**given, **({"mixture": mixture} if mode == "mixture" else {"mode": mode}))
    except UsageError as error:
        assert "\n" not in str(error)
        return
    drawn = draw(config, n=BLOCK_STEPS, seed=seed)
    assert set(outcomes_of(drawn)) <= law(config).keys()
    assert drawn.exemplars.min() >= 0 and drawn.exemplars.max() < config.exemplars.n_exemplars
    if not config.repeats:
        drawings = np.sort(drawn.classes * config.exemplars.n_exemplars + drawn.exemplars, axis=0)
        assert (np.diff(drawings, axis=0) > 0).all(), "no exemplar twice"


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
        (dict(mixture=(("bursty", 0.5), ("no_support", 0.5)), context=4), "n_classes", 5),
        (dict(context=6, burstiness=2, distractor=False), "context", 2),
        (dict(context=6, burstiness=2), "context", 4),
    ],
    ids=str,
)
def test_the_least_that_is_enough_is_accepted_and_one_less_refused(settings, field, least):
    draw(data(**settings | {field: least}), n=2048)
    with pytest.raises(UsageError, match=f"{field}={least - 1} "):
        data(**settings | {field: least - 1})


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (dict(mode="icl_only", distractor=False), "distractor"),
        (dict(mode="zero_one", distractor_may_match=True), "distractor_may_match"),
        (dict(mode="matched", repeats=False), "repeats"),
        (dict(unique_rest=True, distractor_may_match=True), "unique_rest"),
        (dict(zipf_exponent=-1.0), "zipf_exponent=-1.0"),
        (dict(zipf_exponent=float("inf")), "zipf_exponent=inf"),
        (dict(noise=float("nan")), "noise=nan"),
        (dict(mixture=(("bursty", 0.5),)), "0.5"),
        (dict(mixture=(("bursty", 1.5), ("random", -0.5))), "mixture"),
        (dict(mixture=(("bursty", float("nan")), ("random", 1.0))), "mixture"),
        (dict(mixture=(("random", 1.0),), mode="flip"), "mode='flip'"),
        (dict(mixture=(("random", 0.5), ("random", 0.5))), "twice"),
        (dict(mixture=(("all", 1.0),)), "'all'"),
        (dict(held_out=12), "held_out=12"),
        (dict(held_out=-1), "held_out=-1"),
    ],
    ids=str,
)
def test_contradictory_settings_are_refused(settings, name):
    with pytest.raises(UsageError, match=name):
        data(**settings)


# --- the stream


@pytest.mark.parametrize("mixture", [(), (("bursty", 0.9), ("random", 0.1))])
def test_batches_depend_on_seed_and_step_alone(mixture):
    config = data(mixture=mixture, batch_size=5)
    block = training_block(config, 3, 1)
    shapes = [getattr(block[17], part).shape for part in PARTS]
    assert shapes == [(3, 5), (2, 5), (5,)]
    np.random.default_rng(0).random()
    torch.manual_seed(7)
    others = [training_block(config, *key).exemplars for key in ((4, 1), (3, 2), (1, 3))]
    assert same(block, training_block(config, 3, 1))
    steps = {each.numpy().tobytes() for block in (block.exemplars, *others) for each in block}
    assert len(steps) == 4 * BLOCK_STEPS, "no two steps are alike"


# --- evaluators


def run_config(context=2, burstiness=1, n_sequences=2000, evaluated=0, also=(), **settings):
    return RunConfig(
        data=data(30, 6, context=context, burstiness=burstiness, **settings),
        evaluation=EvaluationConfig(
            n_sequences=n_sequences, n_classes=evaluated, n_exemplars=3, also=also
        ),
    )


def same(first, second):
    return all(torch.equal(getattr(first, part), getattr(second, part)) for part in PARTS)


@pytest.mark.parametrize(("context", "burstiness"), [(2, 1), (8, 3), (4, 2)])
def test_evaluators_follow_their_definitions(context, burstiness):
    config = run_config(context, burstiness, evaluated=12)
    definitions = evaluators_of(config).data
    for name, sequences in draw_evaluation_sets(config).items():
        drawn = as_drawn(sequences, 6)
        assert definitions[name].mode == MODE_OF[name]
        assert definitions[name].burstiness == (burstiness if name == "train" else context // 2)
        assert drawn.classes.shape == (context + 1, 2000)
        assert (drawn.exemplars.max(), drawn.classes.max()) == (2, 11), "the first ones alone"
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
    sets = draw_evaluation_sets(config)
    assert tuple(sets) == tuple(MODE_OF)
    for name, sequences in sets.items():
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


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        (dict(mode="icl_only"), []),
        (dict(mode="no_support", burstiness=1), ["train"]),
        (dict(mixture=(("bursty", 0.9), ("random", 0.1))), []),
        (dict(zipf_exponent=1.5, zipf_rarest_first=True), []),
        (dict(noise=0.3, batch_size=7, repeats=False), []),
        (dict(burstiness=1), ["train"]),
        (dict(distractor=False), ["train"]),
        (dict(burstiness=1, unique_rest=True), ["train"]),
        (dict(distractor_may_match=True), ["train"]),
        (dict(mode="ciwl_only", burstiness=1), ["train"]),
        (dict(mixture=(("no_support", 0.5), ("random", 0.5)), unique_rest=True), []),
    ],
    ids=str,
)
def test_only_the_train_evaluator_depends_on_the_training_context(settings, changed):
    shape = dict(context=4, burstiness=2)
    plain = draw_evaluation_sets(run_config(**shape))
    others = draw_evaluation_sets(run_config(**shape | settings))
    assert [name for name in MODE_OF if not same(others[name], plain[name])] == changed


def test_evaluators_depend_on_their_seed_alone():
    first, again, other = (
        draw_evaluation_sets(replace(run_config(), **seed))
        for seed in ({}, {"data_seed": 99}, {"eval_seed": 7})
    )
    for name in MODE_OF:
        assert same(first[name], again[name]) and not same(first[name], other[name])


@pytest.mark.parametrize("context", [1, 3])
def test_an_odd_context_leaves_out_evaluators_of_two_classes(context, tmp_path, capsys):
    config = run_config(context, n_sequences=300, distractor=context > 1)
    assert set(evaluators_of(config).left_out) == {"icl", "flip"}
    for _ in range(2):
        assert tuple(load_evaluation_sets(tmp_path, config)) == ("train", "ciwl", "iwl")
    assert capsys.readouterr().err.count("evaluator icl") == 1, "said once, when drawn"


def test_further_evaluators_leave_the_default_ones_unchanged():
    config = run_config(8, 3, evaluated=12, held_out=10)
    plain = draw_evaluation_sets(run_config(8, 3, evaluated=12))
    also = replace(config.evaluation, also=("icl_held_out", "train_burst_2"))
    sets = draw_evaluation_sets(replace(config, evaluation=also))
    assert tuple(sets) == (*MODE_OF, "icl_held_out", "train_burst_2")
    assert all(same(sets[name], plain[name]) for name in MODE_OF)
    unseen, twice = (as_drawn(sets[name], 6) for name in ("icl_held_out", "train_burst_2"))
    assert set(np.unique(unseen.classes)) == set(range(20, 30)), "the classes held out"
    assert (unseen.of_query.sum(0) == 4).all() and unseen.labels.max() == 1
    assert plausible(fit((twice.of_query.sum(0) > 2), [(11 / 12) ** 4, 1 - (11 / 12) ** 4]))


def test_classes_that_are_held_out_have_their_own_labels():
    before = dict(EVALUATORS)
    try:
        evaluator("bursty_held_out", held_out=True)(as_trained)
        evaluator("iwl_held_out", held_out=True)(iwl)
        config = run_config(4, 2, evaluated=12, held_out=10)
        also = replace(config.evaluation, also=("bursty_held_out", "iwl_held_out"))
        sets = draw_evaluation_sets(replace(config, evaluation=also))
    finally:
        EVALUATORS.reset(before)
    for name in also.also:
        drawn = as_drawn(sets[name], 6)
        assert set(np.unique(drawn.classes)) == set(range(20, 30))
        assert (drawn.labels == drawn.classes[:-1]).all()
        assert (drawn.target == drawn.query).all()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (dict(also=("icl",)), "'icl'"),
        (dict(also=("nobodys",)), "'nobodys'"),
        (dict(also=("train_burst_2",) * 2), "'train_burst_2'"),
        (dict(also=("icl_held_out",)), "held_out=0"),
        (dict(also=("train_burst_2",)), "train_burst_2.*context=2"),
        (dict(mode="ciwl_only", burstiness=2), "train.*context=2"),  # the modes have no bursts
        (dict(mixture=(("no_support", 0.5), ("random", 0.5)), burstiness=9), "train.*context=2"),
    ],
)
def test_evaluators_that_cannot_be_drawn_are_refused(settings, problem):
    with pytest.raises(UsageError, match=problem):
        run_config(**settings)


# --- evaluation sets on disk


@pytest.fixture
def kept(tmp_path):
    """A folder, a config, and the file of its sets."""
    config = run_config(n_sequences=20, evaluated=30)
    load_evaluation_sets(tmp_path, config)
    (path,) = tmp_path.iterdir()
    return tmp_path, config, path


def test_sets_are_drawn_once_and_kept(kept, monkeypatch):
    """Also if this version would draw others."""
    folder, config, path = kept
    other = draw_evaluation_sets(replace(config, eval_seed=77))["iwl"].exemplars
    save_file(load_file(path) | {"iwl.exemplars": other}, path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    drawn = draw_evaluation_sets(config)
    monkeypatch.setattr("transformer.data.evaluators.draw_evaluation_sets", None)
    sets = load_evaluation_sets(folder, replace(config, n_steps=7, init_seed=9, data_seed=8))
    assert torch.equal(sets.pop("iwl").exemplars, other)
    assert all(same(each, drawn[name]) for name, each in sets.items())
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        (dict(eval_seed=7), False),
        (dict(evaluation=dict(n_classes=29)), False),
        (dict(evaluation=dict(n_exemplars=4)), False),
        (dict(evaluation=dict(n_sequences=21)), False),
        (dict(data=data(30, 7)), False),
        (dict(data=data(30, 6, context=4)), False),
        (dict(data=data(30, 6, distractor_may_match=True)), False),
        (dict(evaluation=dict(every=1)), True),
        (dict(data=data(31, 6)), True),
        (dict(data=data(30, 6, batch_size=7, mode="icl_only")), True),
        (dict(data=data(30, 6, mixture=(("bursty", 0.9), ("random", 0.1)))), True),
        (dict(data=data(30, 6, zipf_exponent=1.0, noise=0.3, repeats=False)), True),
    ],
    ids=str,
)
def test_runs_share_a_file_exactly_if_they_have_the_same_sets(kept, changes, shared):
    folder, config, path = kept
    if "evaluation" in changes:
        changes = {"evaluation": replace(config.evaluation, **changes["evaluation"])}
    before, other = path.read_bytes(), replace(config, **changes)
    sets = load_evaluation_sets(folder, other)
    assert (len(os.listdir(folder)) == 1) == shared and path.read_bytes() == before
    again = load_evaluation_sets(folder, other)
    assert all(same(sets[name], again[name]) for name in MODE_OF)


@pytest.mark.parametrize(
    "changes",
    [
        None,
        {"a\nb": torch.zeros(2)},
        {"icl.target": torch.zeros(19, dtype=torch.int64)},
        {"icl.target": torch.zeros(20, dtype=torch.int32)},
        {"icl.target": torch.full((20,), -1)},
        {"iwl.labels": torch.full((2, 20), 30)},
        {"train.exemplars": torch.full((3, 20), 180)},
    ],
    ids=lambda changes: changes and next(iter(changes)),
)
def test_a_damaged_file_is_named_in_one_line_and_left_alone(kept, changes):
    folder, config, path = kept
    if changes is None:
        path.write_bytes(path.read_bytes()[:100])
    else:
        tensors = load_file(path)
        if not changes.keys() <= tensors.keys():
            del tensors["flip.labels"]
        save_file(tensors | changes, path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="damaged") as caught:
        load_evaluation_sets(folder, config)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert path.read_bytes() == before and os.listdir(folder) == [path.name]


def test_evaluators_with_another_number_of_labels_than_training_are_noted(tmp_path, capsys):
    usual = tiny_config()
    load_evaluation_sets(tmp_path / "usual", usual)
    assert not capsys.readouterr().err
    many = replace(usual, data=replace(usual.data, context=8, unique_rest=True))
    load_evaluation_sets(tmp_path / "many", many)
    noted = capsys.readouterr().err
    assert all(words in noted for words in ("8 labels", "icl has 2", "flip has 2"))
    assert "ciwl" not in noted
    load_evaluation_sets(tmp_path / "many", many)
    assert not capsys.readouterr().err, "once, when they are drawn"
