"""Fits of simulated curves: coverage and selection.

The noise is 2 % of a curve's deviation, with a correlation of one half; 100 samples.  Seeds are
fixed: a test that passes once always passes with the same versions.
"""

import numpy as np
import pytest

from coopetition.fitting.intervals import profiled
from coopetition.fitting.simulation import simulate
from coopetition.tools.errors import UsageError
from tests.benchmarks.recovery import (
    COMPARED,
    THEORIES,
    extend,
    measure_coverage,
    recover,
    share_chosen,
    summarise,
)
from tests.coopetition.conftest import TRUTH


def test_intervals_cover_the_true_parameters():
    """20 problems of five numbers: at least 80 of 100 intervals (three deviations); no bias."""
    covered, errors = [], []
    for truth, found in recover("logistic_race", 20, n_screened=256, n_starts=4):
        for free, x in zip(found.problem.free, found.theta, strict=True):
            estimate, true = found.parameters[free.name], truth[free.name]
            covered.append(estimate.low <= true <= estimate.high)
            unit = found.problem.in_sequences(free.parameter)
            errors.append(x - free.parameter.to_unit(true / unit))
    assert 0.8 <= np.mean(covered) <= 0.98
    assert np.abs(np.median(np.reshape(errors, (20, -1)), axis=0)).max() < 0.01


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"values": {"icl_at": 1.0}}, "loss"),
        ({"values": TRUTH | {"magic": 1.0}}, "magic"),
        ({"values": TRUTH | {"icl_at": np.nan}}, "icl_at is nan"),
        ({"values": TRUTH | {"icl_width": -1.0}}, "icl_width is -1"),
        ({"noise": 0.0}, "noise is 0"),
        ({"correlation": 1.0}, "correlation of noise is 1.0"),
        ({"n": 3}, "samples is 3"),
    ],
)
def test_curves_that_cannot_be_simulated_are_refused(settings, name):
    with pytest.raises(UsageError, match=name):
        simulate("logistic_race", **({"values": TRUTH} | settings))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", THEORIES)
def test_profile_intervals_cover_nine_in_ten(name):
    """20 problems."""
    fits = recover(name, 20, n_screened=1024, n_starts=16)
    coverage, n = measure_coverage((truth, profiled(found)[0]) for truth, found in fits)
    assert n >= 20 and coverage >= 0.75, "three deviations of 20 problems of two numbers each"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", COMPARED)
def test_bic_chooses_the_theory_that_made_the_curves(name):
    """Among the toy and its rivals, at least 3 of 5 times: by chance one of 1."""
    assert share_chosen(name, 5) >= 0.6


def test_a_benchmark_goes_on_where_it_stopped(tmp_path):
    """Problems without a row are measured; those with one, and their rows, stay."""
    measured = []

    def measure(k: int) -> dict[str, object] | None:
        measured.append(k)
        return None if k == 2 else {"converged": k > 0, "rank_x": k / 10, "rank_y": 0.5}

    path = tmp_path / "made" / "ranks.csv"
    assert len(extend(path, range(3), measure)) == 2
    rows = extend(path, range(4), measure)
    assert measured == [0, 1, 2, 2, 3] and [row["problem"] for row in rows] == ["0", "1", "3"]
    assert "all: 3 problems, coverage 0.833" in summarise(rows)
    assert "converged: 2 problems, coverage 1.000" in summarise(rows)
