"""Forecasts: simulated paths, events, intervals, horizons."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import norm

from coopetition.dynamics.events import FORECAST_EVENTS, find_forecast_events
from coopetition.fitting.curves import FITTED_CURVES, Curves
from coopetition.fitting.estimate import fit
from coopetition.fitting.forecast import N_FUTURE, N_PATHS, Forecast, forecast
from coopetition.fitting.noise import correlated_noise
from coopetition.fitting.posterior import Posterior, sample_posterior
from coopetition.fitting.problem import FitProblem
from coopetition.fitting.registry import theory_of
from coopetition.fitting.scores import is_calibrated
from coopetition.fitting.theory import OUTPUTS
from coopetition.tools.errors import UsageError, UserError
from tests.coopetition.conftest import TRUTH

X = np.linspace(0, 1e6, 2001)
LENGTH, KNOWN = 1e6, 4e5
BY_LENGTH = np.array([0.2, 0.05, 0.6, 0.1, 0.8])  # TRUTH, with times in units of the run
FLOOR, GAIN, SIGMA, RHO = 0.1, 0.8, 0.02, 0.5
RACE = theory_of("logistic_race")


def test_events_are_where_curves_say():
    icl = np.abs(X - 3e5) / 1e6
    rows = {"icl": icl, "ciwl": 0.5 - X / 2e6, "preference": 1 - X / 4e5}
    found = find_forecast_events(X, rows)
    assert found["peak"] == pytest.approx(3e5)
    assert found["crossing"] == pytest.approx(0.8e6 / 1.5, abs=500)
    assert found["fade"] == pytest.approx(4e5, abs=500)
    assert find_forecast_events(X, {"icl": -X}) == {"peak": None}, "still falling at the end"
    early = find_forecast_events(X, rows | {"ciwl": 0 * X, "preference": -1 + 0 * X})
    assert early["crossing"] == early["fade"] == early["peak"], "CIWL leads at the peak already"
    assert find_forecast_events(X, {"ciwl": X}) == {}


@pytest.mark.parametrize(
    ("ciwl", "crossing"),
    [
        ([1, 0.6, np.nan, 0.1, 0.05], 3.0),  # it leads where it is known again
        ([1, 0.6, np.nan, 0.4, 0.3], 3.5),  # it does not lead there yet
        ([1, 0.6, np.nan, np.nan, np.nan], None),
    ],
)
def test_a_crossing_is_found_if_ciwl_is_unknown_at_the_peak(ciwl, crossing):
    times, icl = np.arange(5.0), np.array([1, 0.5, 0.2, 0.3, 0.4])
    found = find_forecast_events(times, {"icl": icl, "ciwl": np.array(ciwl)})
    assert found == {"peak": 2.0, "crossing": pytest.approx(crossing)}


def test_only_events_whose_curves_are_given_are_returned():
    falling = {"icl": -X, "preference": 1 + 0 * X}
    assert find_forecast_events(X, falling) == {"peak": None, "fade": None}


def noisy_run(seed: int, n: int = 101) -> Curves:
    """A whole run of accuracies that the race makes, with AR(1) noise of known size."""
    rng = np.random.default_rng(seed)
    sequences = np.linspace(0, LENGTH, n)
    errors = dict(zip(OUTPUTS, RACE.curves(BY_LENGTH, sequences / LENGTH), strict=True))
    values = {
        name: 1 - (FLOOR + GAIN * errors[name] + SIGMA * correlated_noise(rng, n, RHO))
        for name in FITTED_CURVES
    }
    return Curves(sequences, values, metric="in_context_accuracy")


def true_posterior(run: Curves, *, n: int = 1, **changes: float) -> Posterior:
    """A posterior that knows the truth, or changed parameters; its fit is only what is used."""
    problem = FitProblem([run.between(last=KNOWN).select(FITTED_CURVES)], RACE)
    values = TRUTH | changes
    theta = [
        free.parameter.to_unit(values[free.name] / problem.in_sequences(free.parameter))
        for free in problem.free
    ]
    own = SimpleNamespace(
        problem=problem, theory="logistic_race", cautions=[], provenance={},
        curves=dict.fromkeys(FITTED_CURVES),
    )  # fmt: skip
    return Posterior(
        fit=cast(Any, own),
        thetas=np.tile(theta, (n, 1)),
        levels={name: np.tile([FLOOR, GAIN], (n, 1)) for name in FITTED_CURVES},
        noise={name: np.tile([SIGMA, RHO], (n, 1)) for name in FITTED_CURVES},
        log_evidence=0.0,
        log_evidence_error=0.1,
        r_hat=1.0,
        effective_sample_size=1000.0,
    )


def errors_of(run: Curves) -> dict[str, np.ndarray]:
    return {name: 1 - values for name, values in run.values.items()}


def test_paths_are_distributed_as_the_future_is():
    """Ranks of the measured peak, crossing and last value among the paths of the true theory.

    Bands of level 0.999 each: false alarm below 1 % for all four.
    """
    ranks: dict[str, list[float]] = {name: [] for name in ("peak", "crossing", "icl", "ciwl")}
    for seed in range(60):
        run = noisy_run(seed)
        found = forecast(true_posterior(run), LENGTH, future=run.sequences, seed=seed)
        measured = find_forecast_events(run.sequences, errors_of(run) | {"preference": 0 * X[:101]})
        rng = np.random.default_rng(seed)
        for name in ("peak", "crossing"):
            times, time = found.times[name], measured[name]
            below, equal = np.mean(times < time), np.mean(times == time)
            ranks[name].append(below + rng.random() * equal)
        for name in ("icl", "ciwl"):  # normal: the median and 90 % of the paths tell the rank
            each = found.final[name]
            deviation = (each.high - each.low) / (2 * 1.645)
            ranks[name].append((run.values[name][-1] - each.value) / deviation)

    for name in ("icl", "ciwl"):
        ranks[name] = norm.cdf(ranks[name]).tolist()
    assert {
        name: is_calibrated(each, level=0.999) for name, each in ranks.items()
    } == dict.fromkeys(ranks, True)


def test_a_path_starts_from_the_last_residual_and_forgets_it():
    run = noisy_run(3)
    known = run.between(last=KNOWN)
    last = known.values["ciwl"]
    last[-1] += 0.5  # far from the theory
    raised = forecast(true_posterior(known), LENGTH).curves["ciwl"][0, len(last) :]
    usual = forecast(true_posterior(run), LENGTH).curves["ciwl"][0, len(last) :]
    np.testing.assert_allclose((raised - usual)[:3], 0.5 * RHO ** np.arange(1, 4), atol=0.005)
    np.testing.assert_allclose((raised - usual)[10:], 0, atol=0.005)


def test_a_peak_of_mere_noise_has_a_caution():
    """Without CIWL's effect, ICL is flat once it is learnt; else it still rises."""
    for ciwl_loss, icl_at, n_cautions in ((0.0, 0.1, 1), (0.8, 0.4, 0)):
        changes = {"loss": ciwl_loss, "icl_at": icl_at * LENGTH}
        assert len(forecast(true_posterior(noisy_run(0), **changes), LENGTH).cautions) == n_cautions


def test_the_known_part_is_as_measured_and_has_no_new_events():
    run = noisy_run(0)
    known = run.between(last=KNOWN)
    found = forecast(true_posterior(run), LENGTH)
    n = len(known.sequences)
    for name in FITTED_CURVES:
        for row in found.curves[name]:
            np.testing.assert_array_equal(row[:n], known.values[name])
    before = known.sequences[int(np.argmax(known.values["icl"]))]
    for times in found.times.values():
        assert ((times == before) | (times > known.sequences[-1])).all()


def test_a_time_is_known_only_as_far_as_the_horizon():
    found = forecast(true_posterior(noisy_run(0)), 4.5e5)
    crossing = found.events["crossing"]
    assert crossing.value is None and crossing.high is None and crossing.probability < 0.05
    assert "-" in found.summary()
    whole = forecast(true_posterior(noisy_run(0)), LENGTH).events["crossing"]
    assert (whole.probability == 1 and whole.low < 5.5e5 < whole.high) or whole.low < whole.value


def with_flip(run: Curves, flip: float) -> Curves:
    return replace(run, values=run.values | {"flip": np.full(len(run.sequences), flip)})


def test_draws_that_contradict_flip_are_left_out():
    run = noisy_run(0)
    agreeing, other = true_posterior(run), true_posterior(run, ciwl_at=1e5)
    thetas = np.concatenate([agreeing.thetas, other.thetas])
    both = replace(true_posterior(run, n=2), thetas=thetas)
    measured = with_flip(run.between(last=KNOWN), 0.9)
    found = forecast(both, LENGTH, measured=measured)
    assert (found.provenance["n_accepted"], found.provenance["n_draws"]) == (1, 2)
    assert found.times["fade"].min() > KNOWN and not found.cautions
    for unclear in (None, with_flip(run.between(last=KNOWN), 0.52)):
        assert forecast(both, LENGTH, measured=unclear).provenance["n_accepted"] == 2
    contradicted = forecast(agreeing, LENGTH, measured=with_flip(run.between(last=KNOWN), 0.1))
    assert "CIWL" in contradicted.summary().splitlines()[0]
    loss = replace(measured, metric="loss")
    assert forecast(both, LENGTH, measured=loss).provenance["n_accepted"] == 2


def test_noise_keeps_its_correlation_in_time():
    """At samples four times as far apart, rho becomes rho^4."""
    run, own = noisy_run(0), true_posterior(noisy_run(0))
    far = KNOWN + 4e4 * np.arange(1, 16)
    found = forecast(own, LENGTH, future=far)
    assert found.sequences[-15:] == pytest.approx(far)
    noise = {name: np.array([[SIGMA, 0.999]]) for name in FITTED_CURVES}
    slow = forecast(replace(own, noise=noise), LENGTH, future=far)
    last = len(run.between(last=KNOWN).sequences) - 1
    for each, share in ((found, RHO**4), (slow, 0.999**4)):
        low, high = each.curves["icl"][1:, last + 1]
        expected = 2 * 1.645 * SIGMA * np.sqrt(1 - share**2)
        assert high - low == pytest.approx(expected, rel=0.15)


def test_a_far_horizon_has_a_bounded_number_of_samples():
    found = forecast(true_posterior(noisy_run(0)), 3e7)
    assert len(found.sequences) <= 41 + N_FUTURE and found.sequences[-1] == 3e7
    assert (np.diff(found.sequences) > 0).all()


def test_a_posterior_that_has_not_converged_says_so_first():
    own = replace(true_posterior(noisy_run(0)), r_hat=1.234)
    first = forecast(own, LENGTH).summary().splitlines()[0]
    assert first.startswith("CAUTION") and "1.234" in first


@pytest.mark.parametrize("horizon", [0.0, KNOWN, 4.1e7, np.nan])
def test_a_horizon_is_after_the_known_part(horizon):
    with pytest.raises(UsageError, match=r"horizon .* 400000 .*4e\+07"):
        forecast(true_posterior(noisy_run(0)), horizon)


@pytest.fixture(scope="module")
def early():
    """The posterior of a run that is known until 0.6 of its length."""
    known = noisy_run(5, n=51).between(last=6e5)
    return sample_posterior(fit(known, "logistic_race", n_screened=256, n_starts=4))


def test_the_theory_that_made_the_curves_forecasts_them(early):
    found = forecast(early, LENGTH)
    assert found.known_until < 6.1e5 and [*found.events] == [*FORECAST_EVENTS]
    assert all(len(times) >= N_PATHS for times in found.times.values())
    rows = RACE.curves(BY_LENGTH, X / LENGTH)
    true_events = find_forecast_events(X, dict(zip(OUTPUTS, rows, strict=True)))
    for name in ("crossing", "fade"):
        each, true = found.events[name], true_events[name]
        assert each.value == pytest.approx(true, rel=0.1), name
        assert each.low * 0.98 <= true <= each.high * 1.02, name
        assert each.high - each.low < 0.3 * true, name


def test_a_forecast_is_saved_loaded_printed_and_drawn(early, tmp_path):
    found = forecast(early, LENGTH)
    found.save(tmp_path / "f.json")
    again = Forecast.load(tmp_path / "f.json")
    again.save(tmp_path / "g.json")
    assert (tmp_path / "f.json").read_bytes() == (tmp_path / "g.json").read_bytes()
    assert again.events == found.events and again.summary() == found.summary()
    assert len(repr(found)) < 300 and "peak" in found._repr_html_()
    ax = found.plot(ax=Figure().subplots())
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), found.curves["train"][0])
    (tmp_path / "other.json").write_text('{"theory": 1}')
    with pytest.raises(UserError, match=r"other.json is not a saved forecast"):
        Forecast.load(tmp_path / "other.json")


def test_a_forecast_is_of_one_run():
    run = noisy_run(0)
    own = true_posterior(run)
    cast(Any, own.fit).problem = SimpleNamespace(runs=[run, run])
    with pytest.raises(UsageError, match="a forecast is of one run"):
        forecast(own, LENGTH)


def test_a_forecast_is_made_from_a_posterior(race_fit):
    for mistake in (race_fit, "posterior.json", None):
        with pytest.raises(UsageError):
            forecast(mistake, LENGTH)
