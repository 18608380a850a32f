"""Forecasts: events, intervals, horizons."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from coopetition.compare.curves import FITTED_CURVES
from coopetition.compare.estimate import fit
from coopetition.compare.forecast import _expect_event, forecast
from coopetition.compare.posterior import sample_posterior
from coopetition.compare.simulation import simulate
from coopetition.compare.theory import OUTPUTS, theory_of
from coopetition.dynamics.events import find_forecast_events
from coopetition.tools.errors import UsageError
from tests.coopetition.conftest import TRUTH

X = np.linspace(0, 1e6, 2001)
BY_LENGTH = np.array([0.2, 0.05, 0.6, 0.1, 0.8])  # TRUTH, with times in units of the run


def test_events_are_where_curves_say():
    icl = np.abs(X - 3e5) / 1e6
    rows = {"icl": icl, "ciwl": 0.5 - X / 2e6, "preference": 1 - X / 4e5}
    found = find_forecast_events(X, rows)
    assert found["peak"] == pytest.approx(3e5)
    assert found["crossing"] == pytest.approx(0.8e6 / 1.5, abs=500)
    assert found["fade"] == pytest.approx(4e5, abs=500)
    assert find_forecast_events(X, {"icl": -X})["peak"] is None, "still falling at the end"
    early = find_forecast_events(X, rows | {"ciwl": 0 * X, "preference": -1 + 0 * X})
    assert early["crossing"] == early["fade"] == early["peak"], "CIWL leads at the peak already"
    assert find_forecast_events(X, {"ciwl": X}) == {}


@pytest.fixture(scope="module")
def early():
    """What is known at 0.6 of a run."""
    curves = simulate("logistic_race", TRUTH, noise=0.01)
    known = curves.between(last=6e5)
    return sample_posterior(fit(known, "logistic_race", n_screened=512, n_starts=8), n=60)


def test_the_theory_that_made_the_curves_forecasts_them(early):
    found = forecast(early, 1e6)
    assert found.known_until < 6.1e5 and [*found.events] == ["peak", "crossing", "fade"]
    rows = theory_of("logistic_race").curves(BY_LENGTH, X / 1e6)
    true_events = find_forecast_events(X, dict(zip(OUTPUTS, rows, strict=True)))
    for name, true in true_events.items():
        each = found.events[name]
        assert each.value == pytest.approx(true, rel=0.1), name
        assert each.low is not None and each.high is not None and true is not None
        assert each.low <= true * 1.02 and true * 0.98 <= each.high
        assert each.high - each.low < 0.3 * true
    clean = simulate("logistic_race", TRUTH, noise=1e-9)
    for name in FITTED_CURVES:
        _, low, high = found.curves[name]
        at_end = clean.values[name][-1]
        assert low[-1] - 0.02 <= at_end <= high[-1] + 0.02


def test_an_event_after_the_horizon_has_no_time(early):
    found = forecast(early, 6e5)
    assert found.events["crossing"].value is None
    assert found.events["crossing"].status in ("not by the horizon", "no upper bound")
    assert "-" in found.summary()


def test_a_best_fit_outside_its_interval_has_its_own_status():
    inside, outside = (_expect_event(v, [1.0, 2.0, 3.0] * 10) for v in (2.0, 4.0))
    assert (inside.status, outside.status) == ("identifiable", "the best fit lies outside")
    never = _expect_event(None, [1.0] * 30)
    assert never.status == "the best fit lies outside" and never.value is None


def test_a_forecast_is_saved_printed_and_drawn(early, tmp_path):
    found = forecast(early, 1e6)
    found.save(tmp_path / "f.json")
    saved = json.loads((tmp_path / "f.json").read_text())
    assert saved["events"]["peak"]["value"] == found.events["peak"].value
    assert len(repr(found)) < 300 and "peak" in found._repr_html_()
    ax = found.plot(ax=Figure().subplots())
    line = ax.get_lines()[0]
    np.testing.assert_array_equal(line.get_ydata(), found.curves["train"][0])
    with pytest.raises(
        UsageError,
        match="horizon 0; choose one from 595960, where the known part ends, to 5.9596e.07",
    ):
        forecast(early, 0.0)


def test_a_forecast_is_of_one_run():
    run, other = (simulate("logistic_race", TRUTH, seed=seed) for seed in (0, 1))
    two = fit([run, other], "logistic_race", n_screened=16, n_starts=1)
    with pytest.raises(UsageError, match="a forecast is of one run"):
        forecast(sample_posterior(two, n=2), 1e6)
