"""Onset, peak and half-decay of curves whose answer is known, with binomial noise."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coopetition.fitting.curves import Curves
from transformer.measures import MEASURES
from transformer.measures.transience import (
    LEAST_RISE,
    SIGNIFICANCE,
    WINDOW,
    binomial_error,
    smooth,
    transience,
)

N = 1000  # sequences of an evaluation
TIMES = np.arange(201.0)


def rise_and_fall(onset, fall, height, chance, width=4.0):
    """Smooth steps of the same height up at `onset` and down at `fall`."""
    steps = [0.5 + 0.5 * np.tanh((TIMES - at) / width / 2) for at in (onset, fall)]
    return chance + height * (steps[0] - steps[1])


def noisy(curve, seed):
    return np.random.default_rng(seed).binomial(N, np.clip(curve, 0, 1)) / N


SEEDS = st.integers(0, 2**32 - 1)
CHANCES = st.sampled_from((0.0, 0.5))
CURVES = st.tuples(st.floats(30, 80), st.floats(120, 170), st.floats(0.15, 0.45), CHANCES)


@given(curve=CURVES, seed=SEEDS)
def test_a_curve_that_rises_and_falls_has_all_events_within_their_intervals(curve, seed):
    onset, fall, height, chance = curve
    found = transience(TIMES, noisy(rise_and_fall(*curve), seed), N, chance)
    assert found.fate == "faded"
    assert found.onset == pytest.approx(onset, abs=6)
    assert found.half_decay == pytest.approx(fall, abs=6)
    assert onset < found.peak_at < fall
    assert found.peak == pytest.approx(chance + height, abs=0.06)
    assert found.final == pytest.approx(chance, abs=0.05)
    for name in ("onset", "half_decay"):
        low, at, high = (getattr(found, name + end) for end in ("_from", "", "_to"))
        assert (low is None or low <= at) and (high is None or at <= high)
    assert found.peak_from <= found.peak_at <= found.peak_to


def test_intervals_cover_the_true_time_in_two_of_three_curves_or_more():
    covered = []
    for seed in range(300):
        found = transience(TIMES, noisy(rise_and_fall(60, 140, 0.3, 0.5, 10.0), seed), N, 0.5)
        covered += [found.half_decay_from <= 140 <= (found.half_decay_to or np.inf)]
        covered += [(found.onset_from or -np.inf) <= 60 <= found.onset_to]
    assert np.mean(covered) > 0.68


@given(curve=CURVES, seed=SEEDS, scale=st.floats(0.1, 1e6), shift=st.floats(0, 1e6))
def test_times_shift_and_scale_with_the_axis(curve, seed, scale, shift):
    values = noisy(rise_and_fall(*curve), seed)
    one = transience(TIMES, values, N, curve[3])
    other = transience(scale * TIMES + shift, values, N, curve[3])
    for name in ("onset", "peak_at", "half_decay", "peak_from", "peak_to", "half_decay_from"):
        time = getattr(one, name)
        expected = None if time is None else pytest.approx(scale * time + shift, rel=1e-9)
        assert getattr(other, name) == expected
    assert (one.peak, one.fate, one.final) == (other.peak, other.fate, other.final)


@given(curve=CURVES, seed=SEEDS)
def test_later_values_do_not_move_events(curve, seed):
    values = noisy(rise_and_fall(*curve), seed)
    whole = transience(TIMES, values, N, curve[3])
    assume(whole.half_decay_to is not None)
    until = int(np.ceil(whole.half_decay_to)) + WINDOW
    assume(until <= len(TIMES))
    part = transience(TIMES[:until], values[:until], N, curve[3])
    for name in ("onset", "peak_at", "half_decay"):
        assert getattr(part, name) == getattr(whole, name)
    before = whole.half_decay - WINDOW > TIMES
    short = transience(TIMES[before], values[before], N, curve[3])
    assert short.fate == "stays" and short.half_decay is None
    assert short.onset == whole.onset


def test_a_dip_below_half_is_no_fade():
    dipped = rise_and_fall(60, 120, 0.3, 0.5)
    dipped[-20:] = 0.75
    found = transience(TIMES, dipped, N, 0.5)
    assert found.half_decay == pytest.approx(120, abs=1) and found.fate == "stays"


@given(curve=CURVES, seed=SEEDS)
def test_a_mirrored_curve_swaps_onset_and_half_decay(curve, seed):
    values = noisy(rise_and_fall(*curve), seed)
    one, other = (transience(TIMES, each, N, curve[3]) for each in (values, values[::-1]))
    assume(np.sum(smooth(values) == smooth(values).max()) == 1)
    last = TIMES[-1]
    assert other.onset == pytest.approx(last - one.half_decay)
    assert other.half_decay == pytest.approx(last - one.onset)


@pytest.mark.parametrize("chance", [0.5, 1 / 6400])
@pytest.mark.parametrize("same_sequences", [False, True])
def test_noise_about_chance_has_no_onset(chance, same_sequences):
    """The false-alarm rate is below 1 in 1,000 curves of 201 evaluations."""
    rng = np.random.default_rng(0)
    n_curves = 2000
    shape = (n_curves, 1 if same_sequences else len(TIMES))
    curves = np.broadcast_to(rng.binomial(N, chance, shape) / N, (n_curves, len(TIMES)))
    nominal = round(chance, 1)
    rose = [transience(TIMES, curve, N, nominal).fate != "never rose" for curve in curves]
    assert np.mean(rose) <= 1e-3


def test_a_curve_that_begins_high_or_never_rises_lacks_these_events():
    high = transience(TIMES, rise_and_fall(-100, 100, 0.3, 0.5), N, 0.5)
    assert high.onset == WINDOW // 2 and high.onset_from is None
    assert high.half_decay == pytest.approx(100, abs=0.5)
    low = transience(TIMES, np.full(len(TIMES), 0.52), N, 0.5)
    times = (low.onset, low.peak_at, low.half_decay, low.onset_to, low.half_decay_to)
    assert low.fate == "never rose" and times == (None,) * 5
    assert low.peak == pytest.approx(0.52)


@given(accuracy=st.floats(0, 1), n=st.integers(1, 10**6))
def test_binomial_errors_are_positive_and_shrink_with_more_sequences(accuracy, n):
    largest = 0.5 / np.sqrt(n) * (1 + 1e-12)  # its rounding
    assert 0 < binomial_error(accuracy, 4 * n) < binomial_error(accuracy, n) <= largest


@given(height=st.floats(0.1, 6), chance=CHANCES, n=st.integers(100, 10**7))
def test_a_rise_counts_from_four_errors_and_five_percent_on(height, chance, n):
    peak = chance + height * binomial_error(chance, n)
    assume(abs(height - SIGNIFICANCE) > 1e-6 and abs(peak - chance - LEAST_RISE) > 1e-9)
    values = np.where((TIMES > 80) & (TIMES < 120), peak, chance)
    counts = height > SIGNIFICANCE and peak - chance > LEAST_RISE
    assert (transience(TIMES, values, n, chance).fate != "never rose") == counts


def of_run(**curves):
    config = SimpleNamespace(evaluation=SimpleNamespace(n_sequences=N))
    times = TIMES[: len(next(iter(curves.values())))]
    run = SimpleNamespace(config=config, curves=lambda metric: Curves(times, curves))
    return [*MEASURES["transience"](run)]


def test_a_run_has_a_row_for_each_metric_if_it_is_evaluated_often_enough():
    rows = of_run(icl=rise_and_fall(60, 140, 0.3, 0.5))
    assert [row["metric"] for row in rows] == ["in_context_accuracy", "accuracy"]
    assert rows[0]["onset"] == pytest.approx(60, abs=1) and rows[0]["n_sequences"] == N
    assert of_run(train=np.zeros(20)) == of_run(icl=np.zeros(WINDOW - 1)) == []
