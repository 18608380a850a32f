"""The rules by which runs decide the claims of the transience paper, on made-up curves."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.fitting.curves import Curves
from paper_figures.core.claims import Verdict
from paper_figures.core.figure import figures_of
from paper_figures.transience import rules
from transformer.experiments.presets import PRESETS

PLANNED = PRESETS["transience/default"].at("cpu").config
UNIT = PLANNED.n_steps * PLANNED.data.batch_size / 4  # sequences: the default run lasts 4
PROVENANCE = {"scale": "cpu"}


@dataclass
class MadeUpRun:
    """A run whose ICL accuracy rises at `onset`, and falls from 2 to `final` within a time of 1.

    Times are in `UNIT`.  Other curves change linearly, from 0 to the named values, the loss from 4.
    """

    seed: int = 0
    height: float = 0.9
    final: float = 0.5
    length: float = 4.0
    onset: float = 1.0
    stretch: float = 1.0
    iwl: float = 0.1
    ciwl: float = 0.9
    flip: float = 0.1
    train: float = 0.95
    loss: float = 0.1
    name: str = "made up"
    n_evaluated: int = 1000
    provenance: dict = field(default_factory=lambda: PROVENANCE)

    @property
    def seeds(self):
        return self.seed, 0

    def curves(self, metric="in_context_accuracy"):
        times = np.linspace(0, self.length, 400)
        heights = np.array([0.5, self.height, self.height, self.final])
        if metric == "accuracy":  # its chance is 0
            heights = 2 * heights - 1
        at = np.array([self.onset - 0.1, self.onset + 0.1, 2 * self.stretch, 3 * self.stretch])
        icl = np.interp(times, at, heights)
        share = times / self.length
        others = {name: share * getattr(self, name) for name in ("iwl", "ciwl", "flip", "train")}
        if metric == "loss":
            others["train"] = 4 + share * (self.loss - 4)
        return Curves(times * UNIT, {"icl": icl, **others})


def holds(readings):
    return [reading.holds for reading in readings]


CONTROLS = [MadeUpRun(seed) for seed in range(3)]  # their onset is at 1, their half-decay at 2.5


@pytest.mark.parametrize(
    ("run", "is_transient", "is_kept"),
    [
        (MadeUpRun(), True, False),
        (MadeUpRun(final=0.88, length=8.0), False, True),
        (MadeUpRun(final=0.88, length=7.0), None, None),
        (MadeUpRun(height=0.5, length=3.5), False, False),
        (MadeUpRun(height=0.5, length=2.5), None, None),
    ],
)
def test_a_missing_event_counts_after_three_times_that_of_the_control(run, is_transient, is_kept):
    assert holds(rules.judge_transient([run], CONTROLS)) == [is_transient]
    assert holds(rules.judge_kept([run], CONTROLS)) == [is_kept]


def test_without_a_half_decay_of_the_controls_nothing_counts_as_kept():
    lasting = [MadeUpRun(seed, final=0.88) for seed in range(3)]
    long = [MadeUpRun(final=0.88, length=1000.0)]
    assert holds(rules.judge_kept(long, lasting)) == [None]
    assert holds(rules.judge_transient(long, lasting)) == [None]


def test_without_a_control_the_planned_length_decides():
    for length, expected in ((4.0, False), (3.9, None)):
        runs = [MadeUpRun(final=0.88, length=length), MadeUpRun(height=0.5, length=length)]
        assert holds(rules.judge_transient(runs)) == [expected] * 2


@pytest.mark.parametrize(
    ("finals", "length", "expected"),
    [
        ((0.5, 0.5, 0.88), 4.0, True),
        ((0.5, 0.88, 0.88), 4.0, None),
        ((0.5, 0.88, 0.88), 8.0, False),
    ],
)
def test_a_level_is_judged_by_most_of_its_seeds(finals, length, expected):
    level = [MadeUpRun(seed, final=final, length=length) for seed, final in enumerate(finals)]
    assert holds(rules.judge_transient_at_every([CONTROLS, level], CONTROLS)) == [True, expected]
    assert rules.judge_transient_at_every([CONTROLS, []], CONTROLS) == []


@given(st.floats(0.5, 0.9))
def test_retention_is_the_share_of_the_height_that_is_left(final):
    """After the control's 0.5 from the end of the plateau to its half, which is half-way down."""
    share = rules.retention(CONTROLS)(MadeUpRun(final=final))
    assert share == pytest.approx((0.9 + final - 1) / 0.8, abs=0.03)
    assert rules.retention(CONTROLS)(MadeUpRun(final=final, length=1.5)) is None
    assert rules.retention(CONTROLS)(MadeUpRun(height=0.5)) is None


def test_the_peak_of_a_run_that_still_rises_is_unknown():
    assert rules.peak(MadeUpRun(length=1.05)) is None
    assert rules.peak(MadeUpRun()) == pytest.approx(0.9)


@given(
    slope=st.sampled_from([-1, 1]),
    seeds=st.lists(st.integers(0, 99), min_size=3, max_size=6, unique=True),
    n_levels=st.integers(2, 5),
)
def test_a_clear_trend_is_found_and_its_opposite_contradicted(slope, seeds, n_levels):
    values = {}
    levels = {}
    for level in range(n_levels):
        levels[level] = [MadeUpRun(seed, name=f"{level} {seed}") for seed in seeds]
        values |= {run.name: slope * level + 1e-3 * run.seed for run in levels[level]}
        values[levels[level][0].name] += 1e-6 * level  # differences are not all equal

    def quantity(run):
        return values[run.name]

    assert holds(rules.judge_trend(levels, quantity, rises=slope > 0)) == [True]
    assert holds(rules.judge_trend(levels, quantity, rises=slope < 0)) == [False]
    assert holds(rules.judge_no_trend(levels, quantity, 0.5)) == [False]
    assert holds(rules.judge_no_trend(levels, quantity, n_levels)) == [True]
    assert holds(rules.judge_no_rise(levels, quantity, 0.5)) == [slope < 0]
    assert holds(rules.judge_no_rise(levels, quantity, n_levels)) == [True]


@pytest.mark.parametrize(("n_seeds", "n_levels"), [(3, 2), (3, 3), (3, 4), (2, 4)])
def test_noise_is_seldom_a_trend(n_seeds, n_levels):
    """One in twenty by the level, in each direction, and by half of it in either.

    Above 0.065 of 4,000 once in 100,000 times.
    """
    rng = np.random.default_rng(0)
    tables = rng.standard_normal((4000, n_seeds, n_levels))
    p = np.array(
        [[rules.p_of_trend(table, rises=each) for each in (True, False)] for table in tables]
    )
    assert ((p < rules.LEVEL).mean(0) < 0.065).all()
    assert (p.min(1) < rules.LEVEL / 2).mean() < 0.065


def test_without_runs_at_a_level_a_trend_is_not_tested():
    assert rules.judge_trend({1.0: CONTROLS, 2.0: []}, rules.peak) == []


def test_a_trend_of_too_few_runs_is_too_short_and_one_without_icl_is_undecided():
    quantity = rules.retention(CONTROLS)
    for others, expected in (
        ([MadeUpRun(seed, length=1.5) for seed in range(3)], Verdict.TOO_SHORT),
        ([MadeUpRun(seed, height=0.5) for seed in range(3)], Verdict.UNDECIDED),
        ([MadeUpRun(0)], Verdict.UNDECIDED),
    ):
        levels = {1.0: CONTROLS, 2.0: others}
        (reading,) = rules.judge_trend(levels, quantity)
        assert (reading.holds, reading.if_inconclusive) == (None, expected)


def made_up(index: int, seed: int, world: dict[str, Any]) -> MadeUpRun:
    """Return a run of the index-th need of a figure; what a world names depends on both."""
    own = {name: each(index, seed) if callable(each) else each for name, each in world.items()}
    return MadeUpRun(seed, name=f"{index} {seed}", **own)


def rising(low: float, step: float):
    return lambda index, seed: low + step * index + 1e-3 * seed * (1 + index % 2)


LATER = {"length": lambda index, seed: 8.0 if index else 4.0}  # than the control
WORLDS = (
    {},
    {"height": 0.5},
    {"height": lambda index, seed: 0.5 if index else 0.9},
    {"height": lambda index, seed: 0.9 if seed else 0.5},
    {"final": 0.89},
    {"final": lambda index, seed: 0.89 if index else 0.5} | LATER,
    {"height": rising(0.6, 0.04)},
    {"height": rising(0.98, -0.04)},
    {"final": rising(0.5, 0.06)},
    {"onset": rising(0.4, 0.3)},
    {"stretch": lambda index, seed: 1.04**index + 1e-3 * seed},
    {"stretch": lambda index, seed: 0.985**index - 1e-3 * seed},
    {"stretch": lambda index, seed: 1.7**index, "length": 20.0},
    {"iwl": rising(0.1, 0.08)},
    {"iwl": rising(0.9, -0.08)},
    {"iwl": 0.01},
    {"ciwl": 0.3, "flip": 0.9},
    {"loss": 5.0},
)


@pytest.mark.parametrize("figure", figures_of("transience").values(), ids=lambda each: each.slot)
def test_every_claim_can_be_reproduced_and_contradicted(figure):
    """By runs that are made up: a claim that no result contradicts says nothing."""
    verdicts: dict[str, set[str]] = {claim.text: set() for claim in figure.claims}
    for world in WORLDS:
        found = [[made_up(k, seed, world) for seed in range(3)] for k in range(len(figure.needs))]
        for claim in figure.claims:
            verdicts[claim.text].add(claim.judge(*found).verdict)
    for text, own in verdicts.items():
        assert {Verdict.REPRODUCED, Verdict.CONTRADICTED} <= own, text
