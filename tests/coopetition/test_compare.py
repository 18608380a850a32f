"""Reading curves and fitting the model to them."""

import json

import numpy as np
import pytest

from coopetition.compare.curves import Curves, read_curves
from coopetition.compare.estimate import fit
from coopetition.compare.least_squares import minimise
from coopetition.compare.observation import OBSERVED, SEARCH, ToyCurves, start
from coopetition.solve.dynamics import flow
from coopetition.tools.errors import UsageError
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
    fitted = fit(curves, n_screened=1024, n_starts=12)
    for name, quality in fitted.curves.items():
        assert quality.r2 >= 0.98, name
    assert fitted.integration_error < 1e-2 and fitted.converged


def test_batched_toy_curves_are_the_solvers():
    parts = np.array([0.0, 0.3, 0.7, 1.0])  # on the integrator's grid
    toy = ToyCurves(parts)({name: np.array([value]) for name, value in TRUTH.items()})
    reduced, u, w = start(TRUTH)
    for k, part in enumerate(parts[1:], start=1):
        _, states, _ = flow(
            reduced, u, w, t_max=part * TRUTH["duration"], threshold=0.0, rtol=1e-11, atol=1e-13
        )
        exact = reduced.losses(list(states[:4, -1]), list(states[4:, -1]))
        for curve, name in OBSERVED.items():
            assert toy[curve][0, k] == pytest.approx(exact[name], rel=1e-5)


def test_fit_finds_what_made_the_curves():
    """Synthetic curves with 1 % noise: predictions, if not each parameter, are recovered."""
    position = np.linspace(0, 1, 80)
    toy = ToyCurves(position)({name: np.array([value]) for name, value in TRUTH.items()})
    rng = np.random.default_rng(0)
    clean = {name: 0.3 + 7.0 * values[0] for name, values in toy.items()}
    noisy = {n: v + 0.01 * np.ptp(v) * rng.standard_normal(80) for n, v in clean.items()}
    noisy["ciwl"][5:9] = np.nan  # gaps are allowed
    fitted = fit(Curves(1e6 * (1 + position), noisy), n_screened=512, n_starts=6, max_iterations=60)
    for name, values in clean.items():
        assert np.abs(fitted.predicted[name] - values).max() < 0.03 * np.ptp(values)
        assert fitted.curves[name].n == np.isfinite(noisy[name]).sum()
        expected = 0.01 * np.ptp(values)
        assert fitted.curves[name].rmse == pytest.approx(expected, rel=0.35)


def test_fit_is_saved_whole(tmp_path):
    curves = read_curves(REFERENCE / "figure_5b_loss.csv")
    fitted = fit(curves, n_screened=64, n_starts=2, max_iterations=3)
    fitted.save(tmp_path / "fit.json")
    saved = json.loads((tmp_path / "fit.json").read_text())
    assert saved["parameters"] == fitted.parameters
    np.testing.assert_allclose(saved["predicted"]["icl"], fitted.predicted["icl"])
    assert all(name in fitted.summary() for name in SEARCH)


def test_minimise_reaches_known_minima_within_bounds():
    """Rosenbrock's valley, and the same with its minimum cut off by a bound."""

    def residuals(points):
        x, y = points.T
        return np.stack([10 * (y - x**2), 1 - x], axis=1)

    starts = np.random.default_rng(0).uniform(-2, 2, (6, 2))
    lower, upper = np.full(2, -2.0), np.full(2, 2.0)
    free = minimise(residuals, starts, lower, upper, max_iterations=300, tolerance=1e-12)
    np.testing.assert_allclose(free.points, 1, atol=1e-4)
    assert np.all(np.diff(free.costs) >= 0)
    cut = minimise(residuals, starts, lower, np.array([0.5, 2.0]), max_iterations=300)
    np.testing.assert_allclose(cut.points[0], [0.5, 0.25], atol=1e-3)
    assert (cut.points <= [0.5, 2.0]).all()


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "among them `sequences`"),
        ("sequences,icl\n1,x\n", "'x' in column icl is not a number"),
        ("sequences,icl\n1,2\n", "at least two rows"),
        ("sequences\n1\n2\n", "at least two rows"),
        ("sequences,icl\n2,1\n1,1\n", "rise from row to row"),
        ("sequences,icl\n1,1\n,1\n", "rise from row to row"),
        ("sequences,icl\n1,1\n2,inf\n", "infinite"),
        ("sequences,icl,icl\n1,1,1\n2,1,1\n", "expected different ones"),
        ("", "among them `sequences`"),
    ],
)
def test_unusable_csv_files_are_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_curves(write(tmp_path / "c.csv", text))


def test_blank_cells_are_gaps(tmp_path):
    curves = read_curves(write(tmp_path / "c.csv", "sequences,icl,flip/loss\n1,,2\n2,3,4\n"))
    assert list(curves.values) == ["flip"]
    curves = read_curves(write(tmp_path / "c.csv", "sequences,icl,flip\n1,,2\n2,3,4\n"))
    np.testing.assert_array_equal(curves.values["icl"], [np.nan, 3])
    assert list(curves.between(2).sequences) == [2]


def test_unusable_paths_metrics_and_curves_are_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_curves(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="not a run folder"):
        read_curves(tmp_path)
    with pytest.raises(UsageError, match="metric 'los' is unknown"):
        read_curves(tmp_path, "los")
    x = np.linspace(0, 1, 30)
    with pytest.raises(UsageError, match="expected some of"):
        fit(Curves(x, {"other": x}))
    with pytest.raises(UsageError, match="curve icl is constant"):
        fit(Curves(x, {"icl": np.ones(30)}))
    with pytest.raises(UsageError, match="curve icl has 5 samples"):
        fit(Curves(x[:5], {"icl": x[:5]}))
