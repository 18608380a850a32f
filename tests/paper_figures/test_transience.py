"""The rules by which runs decide the claims of the transience paper, on made-up curves."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.fitting.curves import Curves
from paper_figures.transience import rules

N_SEQUENCES = 1000
PROVENANCE = {"config": {"evaluation": {"n_sequences": N_SEQUENCES}}}


@dataclass
class MadeUpRun:
    """A run whose ICL accuracy rises at 1, and falls from 2 to `final` within a time of 1."""

    seed: int = 0
    height: float = 0.9
    final: float = 0.5
    length: float = 4.0
    name: str = "made up"
    provenance: dict = field(default_factory=lambda: PROVENANCE)

    @property
    def seeds(self):
        return self.seed, 0

    def curves(self, metric="in_context_accuracy"):
        times = np.linspace(0, self.length, 400)
        icl = np.interp(times, [0.9, 1.1, 2, 3], [0.5, self.height, self.height, self.final])
        return Curves(times, {"icl": icl})


def holds(readings):
    return [reading.holds for reading in readings]


CONTROLS = [MadeUpRun(seed) for seed in range(3)]  # their half-decay is at 2.5


@pytest.mark.parametrize(
    ("run", "is_transient", "is_kept"),
    [
        (MadeUpRun(), True, False),
        (MadeUpRun(final=0.88, length=8.0), False, True),
        (MadeUpRun(final=0.88, length=7.0), None, None),
        (MadeUpRun(height=0.5, length=8.0), False, False),
        (MadeUpRun(height=0.5, length=7.0), None, None),
    ],
)
def test_kept_needs_three_half_decays_of_the_control(run, is_transient, is_kept):
    assert holds(rules.transient([run], CONTROLS)) == [is_transient]
    assert holds(rules.kept([run], CONTROLS)) == [is_kept]


def test_without_a_half_decay_of_the_controls_nothing_counts_as_kept():
    lasting = [MadeUpRun(seed, final=0.88) for seed in range(3)]
    long = [MadeUpRun(final=0.88, length=1000.0)]
    assert holds(rules.kept(long, lasting)) == holds(rules.transient(long, lasting)) == [None]


@given(st.floats(0.5, 0.9))
def test_retention_is_the_share_of_the_height_that_is_left(final):
    """After the control's 0.5 from the end of the plateau to its half, which is half-way down."""
    share = rules.retention(CONTROLS)(MadeUpRun(final=final))
    assert share == pytest.approx((0.9 + final - 1) / 0.8, abs=0.03)
    assert rules.retention(CONTROLS)(MadeUpRun(final=final, length=1.5)) is None
    assert rules.retention(CONTROLS)(MadeUpRun(height=0.5)) is None


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

    assert holds(rules.trend(levels, quantity, rises=slope > 0)) == [True]
    assert holds(rules.trend(levels, quantity, rises=slope < 0)) == [False]
    assert holds(rules.no_trend(levels, quantity, 0.5)) == [False]
    assert holds(rules.no_trend(levels, quantity, n_levels)) == [True]


@pytest.mark.parametrize(("n_seeds", "n_levels"), [(3, 2), (3, 3), (3, 4), (2, 4)])
def test_noise_is_seldom_a_trend(n_seeds, n_levels):
    """One in twenty by the level; above 0.065 of 4,000 once in 100,000 times."""
    rng = np.random.default_rng(0)
    tables = rng.standard_normal((4000, n_seeds, n_levels))
    found = [rules.p_of_trend(table, rises=True) < rules.LEVEL for table in tables]
    assert np.mean(found) < 0.065


def test_without_runs_at_a_level_a_trend_is_not_tested():
    assert rules.trend({1.0: CONTROLS, 2.0: []}, rules.peak) == []
