"""Curves of a known theory, fitted back: coverage, selection, calibration of forecasts.

Noise is 2 % of a curve's deviation, of which neighbours share one half; 100 samples.  Seeds are
fixed, so that a test that passes once passes always on the same versions.
"""

import numpy as np
import pytest
from scipy.stats import kstest

from coopetition.compare.recovery import random_values, recover
from coopetition.compare.theory import theories
from coopetition.tools.errors import UsageError
from tests.benchmarks.recovery import THEORIES, foreseen_ranks, share_named, told_coverage
from tests.coopetition.conftest import TRUTH


def test_intervals_hold_the_parameters_that_made_the_curves():
    """20 problems of five numbers each: of 100 intervals at least 80 hold (3 deviations)."""
    found = recover("logistic_race", n_problems=20, n_screened=256, n_starts=4)
    held = [each.coverage for each in found.parameters.values()]
    assert 0.8 <= np.mean(held) <= 0.98
    assert all(abs(each.bias) < 0.01 for each in found.parameters.values())
    assert len(found.to_frame()) == 100 and "coverage" in found.summary()
    again = recover("logistic_race", n_problems=20, n_screened=256, n_starts=4)
    assert again.to_dict() == found.to_dict()


def test_values_are_in_sequences():
    found = recover("logistic_race", values=TRUTH, n_problems=2, n_screened=256, n_starts=4)
    for each in found.fits:
        assert each.parameters["ciwl_at"].value == pytest.approx(6e5, rel=0.02)
    assert {*found.truths[0].items()} == {*TRUTH.items()}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"values": {"icl_at": 1.0}}, "icl_width, ciwl_at, ciwl_width, loss are missing"),
        ({"noise": 0.0}, "noise is 0"),
        ({"values": TRUTH | {"icl_at": np.nan}}, "icl_at is nan; choose a number from"),
        ({"values": TRUTH | {"icl_width": -1.0}}, "icl_width is -1; choose a number from 0"),
        ({"correlation": 1.0}, "the correlation of noise is 1.0"),
        ({"n_problems": 0}, "the number of problems is 0"),
    ],
)
def test_curves_that_cannot_be_simulated_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        recover("logistic_race", **settings)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", THEORIES)
def test_intervals_hold_nine_in_ten(name):
    """20 problems; `python -m tests.benchmarks.recovery` makes 100, with numbers in the docs."""
    coverage, n = told_coverage(name, 20)
    assert n >= 20 and coverage >= 0.75, "three deviations of 20 problems of two numbers each"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", THEORIES)
def test_the_theory_that_made_the_curves_is_named(name):
    """By BIC among the toy and its rivals, at least 3 of 5 times: by chance one of 1."""
    assert share_named(name, 5) >= 0.6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ranks_of_foreseen_values_are_uniform():
    """Of what the toy foresees of its own curves; Kolmogorov and Smirnov's test at 1e-3."""
    ranks = foreseen_ranks("toy", 20)
    assert kstest(ranks, "uniform").pvalue > 1e-3


def test_every_theory_makes_curves_that_vary():
    for name, theory in theories().items():
        if name != "spline":
            assert np.isfinite([*random_values(theory, np.random.default_rng(0)).values()]).all()
