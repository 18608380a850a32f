"""Observation by signal detection: Jacobians, known parameters, posteriors, forecasts."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition.dynamics.events import crossing_time
from coopetition.fitting.curves import Curves
from coopetition.fitting.estimate import fit
from coopetition.fitting.forecast import forecast
from coopetition.fitting.intervals import profile
from coopetition.fitting.posterior import Posterior, sample_posterior
from coopetition.fitting.readout import Readout
from coopetition.fitting.registry import theories, theory_of
from coopetition.fitting.result import Fit
from coopetition.fitting.selection import compare
from coopetition.fitting.simulation import simulate
from coopetition.tools.errors import UsageError

TIMES = np.linspace(0, 1, 21)
CUES = {"sigma": 0.9, "nu": 0.4, "a": 0.3, "b": 0.3, "d": 0.2, "kappa": 0.1, "pace": 3e-5}
RACE = {"icl_at": 2e5, "icl_width": 5e4, "ciwl_at": 6e5, "ciwl_width": 1e5, "loss": 0.6,
        "icl_strength": 1.5, "ciwl_strength": 2.0}  # fmt: skip
QUICK = {"n_screened": 256, "n_starts": 6}


@pytest.fixture(scope="module")
def race_posterior() -> Posterior:
    curves = simulate("logistic_race_readout", RACE, n=60, noise=0.1)
    return sample_posterior(fit(curves, "logistic_race_readout", **QUICK))


@pytest.mark.parametrize("name", ["toy", "two_cues", "logistic_race", "spline"])
@settings(deadline=None, max_examples=5)
@given(st.data())
def test_jacobians_are_derivatives(name, data):
    theory = theory_of(f"{name}_readout")
    places = [data.draw(st.floats(0.35, 0.65)) for _ in theory.parameters]
    values = np.array([p.from_unit(x) for p, x in zip(theory.parameters, places, strict=True)])
    curves, jacobian = theory.curves_and_jacobian(values, TIMES)
    assert curves.shape == (len(theory.curve_names), len(TIMES))
    np.testing.assert_allclose(curves, theory.curves(values, TIMES), rtol=1e-12, atol=1e-15)
    for k, value in enumerate(values):
        step = np.zeros(len(values))
        step[k] = 1e-5 * max(abs(value), 1e-2)
        ahead, behind = (theory.curves(values + s * step, TIMES) for s in (1, -1))
        scale = np.abs(jacobian[..., k]).max() + 1 / max(abs(value), 1e-2)
        by_hand = (ahead - behind) / (2 * step[k])
        np.testing.assert_allclose(jacobian[..., k], by_hand, atol=1e-5 * scale)


@pytest.mark.parametrize("name", theories())
def test_probits_add(name):
    """z(icl) = (z(train) + z(flip)) / 2 and z(ciwl) = (z(train) - z(flip)) / 2, for any theory."""
    from scipy.special import ndtri

    theory = theory_of(f"{name}_readout")
    values = np.array([each.from_unit(0.5) for each in theory.parameters])
    errors = dict(zip(theory.curve_names, theory.curves(values, TIMES), strict=True))
    train, icl, ciwl, flip = (ndtri(1 - errors[name]) for name in ("train", "icl", "ciwl", "flip"))
    assert icl == pytest.approx((train + flip) / 2, abs=1e-6)
    assert ciwl == pytest.approx((train - flip) / 2, abs=1e-6)
    assert errors["preference"] == pytest.approx(0.5 - errors["flip"])


def test_two_cues_read_out_their_own_strengths():
    values = np.array([*[*CUES.values()][:-1], 30.0])
    own = theory_of("two_cues").curves(values, TIMES)
    read = theory_of("two_cues_readout").curves(values, TIMES)
    assert read[:3] == pytest.approx(own[:3], abs=1e-9)
    assert [*(read[3] > 0)] == [*(own[3] > 0)]


@pytest.mark.parametrize(("name", "values"), [("two_cues", CUES), ("logistic_race", RACE)])
def test_known_curves_are_recovered(name, values):
    found = fit(simulate(f"{name}_readout", values, n=41, noise=1e-3), f"{name}_readout", **QUICK)
    assert min(each.r2 for each in found.curves.values()) > 0.999
    assert {(each.floor, each.gain) for each in found.curves.values()} == {(0.0, 1.0)}
    if name == "logistic_race":
        fitted = {name: each.value for name, each in found.parameters.items()}
        assert fitted == pytest.approx(values, rel=0.01)


def test_the_four_accuracies_are_fitted_at_once():
    """The height of Flip tells the strengths, which the other three do not know as well."""
    curves = simulate("logistic_race_readout", RACE, noise=0.2)
    with_flip, without = (
        fit(each, "logistic_race_readout", **QUICK)
        for each in (curves, curves.select(("train", "icl", "ciwl")))
    )
    assert [*with_flip.curves] == ["train", "icl", "ciwl", "flip"] and len(without.curves) == 3
    widths = [each.parameters["loss"].high - each.parameters["loss"].low
              for each in (with_flip, without)]  # fmt: skip
    assert widths[0] < widths[1]


def test_posterior_holds_what_made_the_curves(race_posterior):
    assert race_posterior.converged
    columns = race_posterior.columns()
    assert not any("floor" in name or "gain" in name for name in columns)
    for name, value in RACE.items():
        low, high = np.quantile(columns[name], (0.001, 0.999))
        assert low < value < high, name
    interval = profile(race_posterior.fit, "loss").estimate
    sampled = race_posterior.estimates()["loss"]
    assert (interval.low, interval.high) == pytest.approx((sampled.low, sampled.high), abs=0.02)


@pytest.fixture(scope="module")
def known_posterior():
    """From curves that end before the fade, at 6e5."""
    curves = simulate("logistic_race_readout", RACE, noise=0.3, seed=1)
    return sample_posterior(fit(curves.between(last=5e5), "logistic_race_readout", **QUICK))


def test_the_fade_is_that_of_the_noisy_flip(known_posterior):
    """Not that of the theory's preference, which has no noise."""
    result = forecast(known_posterior, 1e6)
    assert {*result.curves} == {"train", "icl", "ciwl", "flip"}
    median, low, high = result.curves["flip"]
    is_known = result.sequences <= result.known_until
    np.testing.assert_array_equal(low[is_known], median[is_known])
    assert (high > low)[~is_known].all()
    problem = known_posterior.fit.problem
    times = [problem.time(0, result.sequences)]
    flips = [problem.outputs(each, times)[0][4] for each in known_posterior.thetas]
    without_noise = [
        crossing_time(result.sequences, each, 0.5, rising=True, after=result.known_until) or np.inf
        for each in flips
    ]
    happens = np.isfinite(without_noise)
    assert happens.mean() > 0.5
    assert np.mean(np.isclose(result.times["fade"], without_noise, rtol=1e-6)[happens]) < 0.1


def test_flip_is_used_once(known_posterior):
    """The last sample of Flip is among those that were fitted: it leaves out no draws."""
    result = forecast(known_posterior, 1e6)
    assert result.provenance["n_accepted"] == result.provenance["n_draws"]


def test_readouts_are_compared_and_loaded(tmp_path):
    curves = simulate("logistic_race_readout", RACE, n=40)
    names = ("logistic_race_readout", "spline_readout")
    comparison = compare(curves, names, n_screened=64, n_starts=2)
    comparison.save(tmp_path / "comparison.json")
    loaded = pickle.loads(pickle.dumps(comparison.load(tmp_path / "comparison.json")))
    assert [each.theory for each in loaded.fits] == [each.theory for each in comparison.fits]
    assert loaded.fits[0].theory == "logistic_race_readout"
    own = Readout.of(theory_of("spline"))
    assert fit(curves, own, n_screened=64, n_starts=2).bic == pytest.approx(loaded.fits[1].bic)


@pytest.mark.parametrize("names", [("toy_readout", "toy"), ("spline", "logistic_race_readout")])
def test_a_readout_is_not_compared_with_a_theory_that_does_not_describe_flip(names):
    curves = simulate("logistic_race_readout", RACE, n=40)
    with pytest.raises(UsageError, match="flip"):
        compare(curves, names)
    without = curves.select(("train", "icl", "ciwl"))
    assert len(compare(without, names, n_screened=8, n_starts=1).rows()) == 2
    with pytest.raises(UsageError, match="prior"):
        compare(without, names, evidence=True)


def test_a_readout_of_an_own_theory_is_saved_and_loaded(tmp_path):
    own = replace(theory_of("logistic_race"), name="mine")
    found = fit(simulate(Readout.of(own), RACE, n=40), Readout.of(own), n_screened=64, n_starts=2)
    found.save(tmp_path / "fit.json")
    for each in (own, Readout.of(own)):
        assert Fit.load(tmp_path / "fit.json", each).bic == found.bic
    with pytest.raises(UsageError, match="mine_readout"):
        Fit.load(tmp_path / "fit.json")
    with pytest.raises(UsageError, match="toy_readout"):
        Readout.of("toy")


@pytest.mark.parametrize("metric", ["loss", "accuracy", "in_context_loss"])
def test_other_metrics_are_refused(metric):
    curves = simulate("logistic_race_readout", RACE)
    with pytest.raises(UsageError, match="in_context_accuracy"):
        fit(Curves(curves.sequences, curves.values, metric=metric), "toy_readout")


def test_all_curves_count_alike():
    """A theory that misses one curve has the noise of all: none is given up for the others."""
    curves = simulate("logistic_race_readout", RACE, noise=0.02)
    curves.values["flip"] = np.clip(curves.values["flip"] + 0.2, 0, 1)
    found = fit(curves, "logistic_race_readout", **QUICK)
    assert len({(each.sigma, each.rho) for each in found.curves.values()}) == 1
    errors = [each.rmse for each in found.curves.values()]
    assert max(errors) < 0.15 and min(errors) > 0.01


@pytest.mark.parametrize("name", ["_readout", "toy_readout_readout", "nothing_readout"])
def test_a_readout_is_of_a_theory(name):
    with pytest.raises(UsageError, match="toy"):
        theory_of(name)
