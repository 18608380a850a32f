"""Scores are proper, conformal intervals cover, bands hold uniform ranks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom, norm

from coopetition.fitting.result import LEVEL
from coopetition.fitting.scores import (
    BAND_LEVEL,
    crps,
    ecdf,
    ecdf_band,
    interval_score,
    is_calibrated,
    log_clipped,
    log_time_crps,
    recalibrate,
)

NUMBERS = st.floats(-100, 100, allow_subnormal=False)
SAMPLES = st.lists(NUMBERS, min_size=1, max_size=20)


@given(SAMPLES, NUMBERS)
def test_the_crps_is_the_integral_of_squared_differences_of_distributions(sample, value):
    """CRPS = the integral of (F(z) - 1{value <= z})^2; F is constant between sorted points."""
    ends = np.sort([*sample, value])
    middles = (ends[:-1] + ends[1:]) / 2
    share = np.searchsorted(np.sort(sample), middles, side="right") / len(sample)
    integral = np.diff(ends) @ (share - (middles >= value)) ** 2
    assert crps(sample, value) == pytest.approx(integral, abs=1e-9 * (1 + np.ptp(ends)))


def test_the_crps_of_a_large_normal_sample_is_that_of_the_normal_distribution():
    sample = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    for value in (-2.0, 0.0, 1.3):
        below, _ = quad(lambda z: norm.cdf(z) ** 2, -12, value)
        above, _ = quad(lambda z: norm.sf(z) ** 2, value, 12)
        assert crps(sample, value) == pytest.approx(below + above, abs=1e-3)


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.01, 1)), min_size=1, max_size=6),
    st.lists(st.floats(0.1, 100), min_size=1, max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_the_censored_crps_is_proper(truth, other, seed):
    """No other forecast has a lower expected score than the distribution of the truth."""
    times = np.array([time for time, _ in truth])
    counts = np.array([max(1, round(10 * weight)) for _, weight in truth])
    honest = np.repeat(times, counts)
    first, last = np.sort(np.random.default_rng(seed).uniform(0.1, 100, 2))

    def expected(forecast):
        return np.mean([log_time_crps(forecast, time, first, last) for time in honest])

    assert expected(honest) <= expected(other) + 1e-9


@given(st.lists(NUMBERS, min_size=20, max_size=20), NUMBERS, NUMBERS)
def test_the_interval_score_is_proper(values, low, high):
    """Quantiles of the truth have the lowest expected score of all intervals."""
    ends = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), method="inverted_cdf")
    honest, other = (interval_score(*each, values).mean() for each in (ends, (low, high)))
    assert low > high or honest <= other + 1e-9


def test_an_interval_is_scored_by_its_width_and_what_it_misses():
    assert interval_score(1, 3, [0.5, 2, 4]) == pytest.approx([12, 2, 22])


def test_what_is_outside_the_forecast_part_counts_as_its_end():
    assert log_clipped([1, 5, math.inf], 2, 10) == pytest.approx(np.log([2, 5, 10]))
    never = [math.inf] * 5
    assert log_time_crps(never, math.inf, 2, 10) == 0 == log_time_crps(never, 11, 2, 10)
    assert log_time_crps(never, 5, 2, 10) == pytest.approx(math.log(2))


def test_conformal_intervals_cover_exchangeable_groups():
    """Coverage of intervals that are ten times too narrow; false alarm of the test below 1e-4."""
    n_sets, n_groups, size = 200, 10, 2
    groups = np.repeat([*map(str, range(n_groups))], size).tolist()
    held, raw = [], []
    for seed in range(n_sets):
        rng = np.random.default_rng(seed)
        value = np.exp(0.3 * rng.standard_normal(len(groups)))
        low, high = (np.full(len(groups), end) for end in (0.95, 1.05))
        ends = recalibrate(low, high, value, groups)
        held.append(((ends[0] <= value) & (value <= ends[1]))[0])
        raw.append(np.mean((low <= value) & (value <= high)))
    assert np.mean(raw) < 0.3
    # 18 others: the 18th smallest of 19 covers with 18 / 19
    assert binom.ppf(5e-5, n_sets, LEVEL) <= sum(held) <= binom.ppf(1 - 5e-5, n_sets, 18 / 19)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=2, max_size=30), st.data())
def test_a_group_is_recalibrated_without_its_own_values(rows, data):
    low, high, value = np.array([(min(a, b), max(a, b), c) for a, b, c in rows]).T
    groups = data.draw(st.lists(st.sampled_from("abc"), min_size=len(rows), max_size=len(rows)))
    ends = recalibrate(low, high, value, groups)
    own = np.array(groups) == groups[0]
    changed = recalibrate(low, high, np.where(own, value + 7, value), groups)
    for before, after in zip(ends, changed, strict=True):
        np.testing.assert_array_equal(before[own], after[own])
    assert (ends[0] <= ends[1] + 1e-9).all()


def test_too_few_other_forecasts_give_no_interval():
    low, high = recalibrate([0.0] * 9, [1.0] * 9, [0.5] * 9, ["a", *"bbbbbbbb"])
    assert np.isinf([low[0], high[0]]).all(), "8 others do not suffice for nine in ten"


@pytest.mark.parametrize("n", [20, 200])
def test_a_band_holds_uniform_ranks_as_often_as_it_says(n):
    """2,000 new sets of uniform ranks are tried; the false-alarm rate is below 1e-4."""
    rng = np.random.default_rng(1)
    points, low, high = ecdf_band(n)
    share = np.array([ecdf(rng.random(n), points) for _ in range(2000)])
    inside = ((share >= low) & (share <= high)).all(1).mean()
    # four standard deviations of 2,000 sets; a discrete band may hold somewhat more
    assert BAND_LEVEL - 0.02 < inside < BAND_LEVEL + 0.035


def test_a_band_of_one_point_is_the_binomial_interval():
    for n in (1, 2):
        points, low, high = ecdf_band(n)
        assert points == [0.5] and (low, high) == ([0], [1])
    _, low, high = ecdf_band(100)
    assert low[49] < binom.ppf(0.025, 100, 0.5) / 100, "simultaneous is wider than pointwise"
    assert high[49] == pytest.approx(1 - low[49], abs=0.011)


def test_bands_see_tails_that_are_too_heavy():
    """27 of 100 ranks outside nine in ten, which a Kolmogorov-Smirnov test passes."""
    inner = 0.05 + 0.9 * (np.arange(73) + 0.5) / 73
    outer = np.linspace(0.001, 0.049, 13), np.linspace(0.951, 0.999, 14)
    assert not is_calibrated(np.concatenate([inner, *outer]))
    assert is_calibrated((np.arange(100) + 0.5) / 100)
