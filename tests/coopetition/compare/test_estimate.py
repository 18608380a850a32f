"""Fitting the model to curves."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from coopetition.compare.curves import Curves, read_curves
from coopetition.compare.estimate import Fit, fit
from coopetition.compare.observation import SEARCH, ToyCurves
from coopetition.tools.errors import UsageError, UserError
from tests.conftest import REFERENCE

TRUTH = {
    "alpha": 0.5,
    "mu1": 0.2,
    "a": 0.05,
    "b": 1.2,
    "d": 1.5,
    "d_orthogonal": 2.0,
    "duration": 1500.0,
}


def test_the_papers_curves_are_met():
    """Figure 5b from 3e6 sequences on: every curve to R2 of at least 0.98."""
    curves = read_curves(REFERENCE / "figure_5b_loss.csv")
    assert list(curves.values) == ["train", "icl", "ciwl"]
    fitted = fit(curves, n_screened=512, n_starts=6)
    for name, quality in fitted.curves.items():
        assert quality.r2 >= 0.98, name
    assert fitted.integration_error < 1e-2 and fitted.converged


def test_fit_finds_what_made_the_curves():
    """Synthetic curves with 1 % noise: predictions, if not each parameter, are recovered."""
    position = np.linspace(0, 1, 80)
    toy = ToyCurves(position)(TRUTH)
    rng = np.random.default_rng(0)
    clean = {name: 0.3 + 7.0 * values for name, values in toy.items()}
    noisy = {n: v + 0.01 * np.ptp(v) * rng.standard_normal(80) for n, v in clean.items()}
    noisy["ciwl"][5:9] = np.nan  # gaps are allowed
    fitted = fit(Curves(1e6 * (1 + position), noisy), n_screened=512, n_starts=6, max_iterations=60)
    for name, values in clean.items():
        assert np.abs(fitted.predicted[name] - values).max() < 0.03 * np.ptp(values)
        assert fitted.curves[name].n == np.isfinite(noisy[name]).sum()
        expected = 0.01 * np.ptp(values)
        assert fitted.curves[name].rmse == pytest.approx(expected, rel=0.35)


def test_what_cannot_be_fitted_is_refused():
    x = np.linspace(0, 1, 30)
    with pytest.raises(UsageError, match="expected some of"):
        fit(Curves(x, {"other": x}))
    with pytest.raises(UsageError, match="curve icl is constant"):
        fit(Curves(x, {"icl": np.ones(30)}))
    with pytest.raises(UsageError, match="curve icl has 5 samples"):
        fit(Curves(x[:5], {"icl": x[:5]}))


@pytest.fixture(scope="module")
def hasty():
    """A fit to the paper's curves that is cut short."""
    curves = read_curves(REFERENCE / "figure_5b_loss.csv")
    return fit(curves, n_screened=16, n_starts=1, max_iterations=1)


def test_a_fit_is_saved_whole(hasty, tmp_path):
    path = str(tmp_path / "fit.json")  # a text as well as a path
    gaps = {name: np.where(np.arange(len(v)) == 3, np.nan, v) for name, v in hasty.observed.items()}
    fitted = replace(hasty, observed=gaps)
    fitted.save(path)
    loaded = Fit.load(path)
    assert loaded.to_dict() == fitted.to_dict()
    for kind in ("observed", "predicted"):
        for name, values in getattr(fitted, kind).items():
            np.testing.assert_array_equal(getattr(loaded, kind)[name], values)
    assert loaded.summary() == fitted.summary()
    assert all(name in fitted.summary() for name in SEARCH)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"parameters": 3}'])
def test_what_is_no_fit_is_refused(text, tmp_path):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(UserError, match="is not a saved fit"):
        Fit.load(tmp_path / "f.json")


def test_a_report_says_first_what_is_amiss(hasty):
    first = replace(hasty, at_bound=("alpha",), integration_error=np.nan).summary().splitlines()[0]
    assert first.startswith("CAUTION: stopped after 1 iterations, unfinished; at a bound")
    assert "alpha" in first and "off by nan%" in first
    sound = replace(hasty, converged=True, at_bound=(), integration_error=1e-3)
    assert sound.cautions == [] and sound.summary().startswith("curve")


def test_a_fit_is_short_to_print_and_a_table_to_work_with(hasty):
    assert len(repr(hasty)) < 500 and "train R2" in repr(hasty)
    assert "unfinished" in hasty._repr_html_() and "alpha" in hasty._repr_html_()
    frame = hasty.to_frame()
    np.testing.assert_array_equal(frame["icl fitted"], hasty.predicted["icl"])
    assert len(frame) == len(hasty.sequences)
    assert hasty == hasty and hasty != replace(hasty) and hash(hasty)
    assert hasty.plot(ax=Figure().subplots()).get_lines()
