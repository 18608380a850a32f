"""Fits of one run: they find what made the curves, refuse what cannot be fitted, and say doubts."""

from dataclasses import fields, replace

import numpy as np
import pytest

from coopetition.fitting.curves import FITTED_CURVES, Curves
from coopetition.fitting.estimate import fit
from coopetition.fitting.observation import to_errors
from coopetition.fitting.optimum import minimize_in_search, refine_with_gains
from coopetition.fitting.problem import FitProblem
from coopetition.fitting.reading import read_curves
from coopetition.fitting.registry import theory_of
from coopetition.fitting.selection import compare
from coopetition.fitting.simulation import simulate
from coopetition.tools.errors import UsageError
from paper_figures.core.kept_data import DATA

TOY = dict(alpha=2.0, mu1=0.2, a=0.02, b=0.5, c=0.3, d=0.12, d_orthogonal=0.16, pace=75.0)
QUICK = {"n_screened": 64, "n_starts": 2}
X = np.linspace(0, 1, 60)


def test_the_papers_curves_are_fitted_closely():
    """Figure 5b from 3e6 sequences on: every curve to R2 of at least 0.98."""
    curves = read_curves(DATA / "published" / "figure_5b_loss.csv", first=0)
    assert list(curves.values) == ["train", "icl", "ciwl"]
    fitted = fit(curves, n_screened=1024, n_starts=12)
    assert all(each.r2 >= 0.98 for each in fitted.curves.values())
    assert fitted.integration_error < 1e-2 and fitted.converged


@pytest.mark.parametrize("metric", ["loss", "in_context_accuracy"])
def test_a_fit_finds_what_made_the_curves(metric):
    """With 1 % noise: predictions, if not each parameter, are recovered."""
    position, theory = np.linspace(0, 1, 80), theory_of("toy")
    toy = theory.curves(np.array([TOY[name] for name in theory.names]), position)
    rng = np.random.default_rng(0)
    clean = {
        n: to_errors(0.1 + 0.8 * row, metric) for n, row in zip(FITTED_CURVES, toy, strict=False)
    }
    noisy = {n: v + 0.01 * np.ptp(v) * rng.standard_normal(80) for n, v in clean.items()}
    noisy["ciwl"][5:9] = np.nan  # gaps are allowed
    curves = Curves(1e6 * (1 + position), noisy, metric=metric)
    fitted = fit(curves, n_screened=512, n_starts=6, max_iterations=60)
    for name, values in clean.items():
        known, own = np.isfinite(noisy[name]), fitted.curves[name]
        assert np.abs(own.fitted - values[known]).max() < 0.03 * np.ptp(values)
        assert own.n == known.sum() and own.rho < 0.5
        assert own.rmse == pytest.approx(0.01 * np.ptp(values), rel=0.35)
    pace = fitted.parameters["pace"].value
    assert pace == pytest.approx(TOY["pace"] / 1e6, rel=0.25), "flow time per sequence"


@pytest.mark.parametrize("unit", [1e-6, 1e3])
def test_the_unit_of_sequences_is_only_the_unit_of_time(race, unit):
    other = replace(race, sequences=race.sequences * unit)
    one, two = (fit(curves, "logistic_race", **QUICK) for curves in (race, other))
    for name, power in (("icl_at", 1), ("icl_width", 1), ("loss", 0)):
        expected = one.parameters[name].value * unit**power
        assert two.parameters[name].value == pytest.approx(expected, rel=1e-4)
    assert two.bic == pytest.approx(one.bic, abs=1e-2)


def test_an_uncertain_sample_counts_less():
    clean = 0.8 - 0.6 / (1 + np.exp((X - 0.4) / 0.06))
    wrong = clean.copy()
    wrong[30:33] -= 0.3
    certain = Curves(1e6 * X, {"ciwl": wrong}, metric="accuracy")
    aware = replace(certain, std={"ciwl": np.where(wrong == clean, 1e-3, 10.0)})
    settings = {"n_screened": 256, "n_starts": 4, "fixed": {"icl_at": 0.0, "loss": 0.0}}
    deviations = []
    for curves in (certain, aware):
        found = fit(curves, "logistic_race", **settings).curves["ciwl"].fitted
        deviations.append(np.abs(np.delete(found - clean, [30, 31, 32])).max())
    assert deviations[1] < 1e-3 < 0.02 < deviations[0]


@pytest.mark.parametrize("wrong", [-1, 0, np.inf, np.nan])
def test_standard_deviations_are_finite_and_above_zero(race, wrong):
    std = np.ones(len(race.sequences))
    std[-1] = wrong
    with pytest.raises(UsageError, match="curve ciwl"):
        fit(replace(race, std={"ciwl": std}), "logistic_race", **QUICK)


def test_there_is_a_standard_deviation_for_each_sample(race):
    with pytest.raises(UsageError, match="curve ciwl"):
        fit(replace(race, std={"ciwl": np.ones(5)}), "logistic_race", **QUICK)


def test_many_samples_are_thinned_and_unused_curves_are_named():
    t = np.linspace(0, 1, 20_000)
    falling = 0.1 + 1 / (1 + np.exp((t - 0.3) / 0.05)) + 0.01 * np.cos(1e4 * t)
    rare = np.where(np.arange(20_000) % 400 == 0, falling, np.nan)
    curves = Curves(1e6 * t, {"icl": falling, "ciwl": rare, "flip": falling})
    fitted = fit(curves, "logistic_race", n_screened=16, n_starts=1)
    assert fitted.provenance["n_given"] == {"icl": 20_000, "ciwl": 50}
    rows = [
        line.split() for line in fitted.summary().splitlines() if line.startswith(("icl ", "ciwl "))
    ]
    assert [row[7:9] for row in rows] == [["20000", "1000"], ["50", "50"]]
    assert fitted.thinning == "used 1000 of 20000 samples of icl"
    used = fitted.curves["icl"].sequences
    assert len(used) == 1000 and [used[0], used[-1]] == [*curves.sequences[[0, -1]]]
    assert "not fitted: flip" in fitted.summary()


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        (Curves(X, {"other": X}), "other.*expected some of"),
        (Curves(X, {f"neuron_{k}": X for k in range(2000)}), r"^.{,300}$"),
        (Curves(X, {"icl": np.ones(60)}), "curve icl is constant .1."),
        (Curves(X[:5], {"icl": X[:5]}), "curve icl has 5 samples"),
        (Curves(X, {"icl": X - 0.5}), "curve icl has values below 0"),
        (Curves(X, {"icl": 1e9 * X}), "curve icl goes up to"),
        (Curves(X, {"icl": 2 * X}, metric="accuracy"), "curve icl has accuracies above 1"),
        (Curves(X, {"icl": 1 - 2 * X}, metric="accuracy"), "curve icl has values below 0.*shares"),
        (Curves(X, {"icl": X}, metric="acc"), "'acc'.*loss.*in_context_accuracy"),
        (Curves(X, {"icl": X}, metric="Accuracy"), "'Accuracy'"),
        (Curves(X, {"icl": X}, metric="percent"), "'percent'"),
        (Curves(X[::-1], {"icl": X}), "finite and rise"),
        (Curves(X, {"icl": X[1:]}), r"curve icl has \(59,\) samples"),
        (Curves(X, {"icl": np.where(np.arange(60) % 15 == 0, X, np.nan), "ciwl": X}), "4 samples"),
    ],
)
def test_curves_that_cannot_be_fitted_are_refused(curves, message):
    with pytest.raises(UsageError, match=message):
        fit(curves)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shared": ("loss",)}, "loss cannot be shared by one run"),
        ({"shared": ("loss",), "fixed": {"loss": 1.0}}, "loss cannot be shared and fixed"),
        ({"fixed": {"losses": 1.0}}, "no parameter 'losses'"),
        ({"fixed": {"icl_width": -1.0}}, "icl_width is -1.*from 0 to 2e.06"),
        ({"fixed": {"loss": "icl_at"}}, "tied to icl_at.*none"),
        ({"fixed": {"loss": "icl_ats"}}, "no parameter 'icl_ats'"),
        ({"fixed": {"loss": 7.0}}, "loss is 7.*from 0 to 1"),
        ({"fixed": {"loss": None}}, "loss is fixed to None"),
        ({"fixed": {"loss": True}}, "loss is fixed to True"),
        ({"fixed": dict.fromkeys(("icl_at", "icl_width", "ciwl_at", "ciwl_width", "loss"), 0.5)},
         "every parameter is fixed"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"n_starts": 0}, "number of starts is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(race, settings, message):
    with pytest.raises(UsageError, match=message):
        fit(race, "logistic_race", **settings)


def test_too_few_samples_for_the_numbers_are_refused(race):
    with pytest.raises(UsageError, match="8 samples.*11 numbers"):
        fit(race.thinned(8).select(("ciwl",)), "spline")
    with pytest.raises(UsageError, match="no curves"):
        fit([])


def test_fixed_parameters_stay_and_tied_ones_are_equal(race):
    fixed = {"loss": 0.8, "icl_width": "ciwl_width"}
    found = fit(race, "logistic_race", fixed=fixed, **QUICK)
    assert {free.name for free in found.problem.free} == {"icl_at", "ciwl_at", "ciwl_width"}
    loss = found.parameters["loss"]
    assert (loss.value, loss.low, loss.status) == (0.8, 0.8, "fixed")
    values = found.problem.values(found.theta)[0]
    assert values[4] == 0.8 and values[1] == values[3]


def test_a_fit_leaves_a_gain_of_zero(truth):
    """Plain least squares from some of these places end with a gain of 0, by rounding."""
    curves = simulate("logistic_race", truth, noise=0.01)
    problem, n_left = FitProblem([curves], theory_of("logistic_race")), 0
    for seed in (3, 27, 43, 56, 66):
        start = np.random.default_rng(seed).random(len(problem.free))
        stuck = minimize_in_search(problem.residuals_and_jacobian, start, 300).x
        end = refine_with_gains(problem, start, max_iterations=300)
        has_left = not problem.with_noise(end.noise).has_zero_gain(end.theta)
        if problem.has_zero_gain(stuck) and has_left:
            n_left += 1
            assert end.deviance < problem.most_likely_noise(stuck)[1] - 100
    assert n_left > 0


def test_cautions_about_the_curves_are_those_of_the_fit(race):
    """With several runs, each with its run's name; of a comparison they are said once."""
    doubtful = replace(race, cautions=("the clock was wrong",))
    found = fit(doubtful, "logistic_race", **QUICK)
    assert found.cautions == ["the clock was wrong"] and found.summary().startswith("CAUTION")
    both = fit([replace(doubtful, source="one"), race.between(1e4)], "logistic_race", **QUICK)
    assert "one: the clock was wrong" in both.cautions
    rows = compare(doubtful, ["logistic_race"], **QUICK)
    assert rows.cautions == ["the clock was wrong"] and not rows.rows()[0]["cautions"]
    assert not rows.fits[0].thinning and "samples of" not in rows.summary()


def test_curves_that_do_not_show_the_strategies_are_a_caution(race):
    """If they determine no parameter, or are of training alone."""
    train, whole = (fit(each, "logistic_race", **QUICK) for each in (race.select(["train"]), race))
    assert any("only training" in each for each in train.cautions) and not whole.cautions
    unknown = {n: replace(e, status="unconstrained") for n, e in whole.parameters.items()}
    assert len(replace(whole, parameters=unknown).cautions) == 1


def test_a_gain_of_zero_is_a_caution():
    """CIWL's error rises, which it never does in this theory, and a gain is not negative."""
    noise = 0.01 * np.random.default_rng(0).standard_normal((3, 60))
    falling = 0.1 + 0.8 / (1 + np.exp((X - 0.3) / 0.05))
    rows = (falling + noise[0], falling + noise[1], 1 - falling + noise[2])
    found = fit(
        Curves(1e6 * X, dict(zip(FITTED_CURVES, rows, strict=True))), "logistic_race", n_starts=8
    )
    assert found.curves["ciwl"].gain == 0
    assert any("gain of ciwl" in each for each in found.cautions)


def test_a_theory_that_cannot_be_computed_at_the_optimum_is_a_caution(race):
    """Even if only its finer steps cannot be computed."""
    theory = theory_of("logistic_race")

    class Fails(type(theory)):
        def finer(self):
            broken = type("Broken", (), {})()
            broken.curves = lambda values, times: np.full((4, len(times)), np.nan)
            return broken

    broken = Fails(**{each.name: getattr(theory, each.name) for each in fields(theory)})
    found = fit(race, broken, **QUICK)
    assert np.isnan(found.integration_error) and "nan" in found.summary().splitlines()[0]


def test_curves_that_errors_of_integration_make_are_not_fitted():
    """Coarse steps give the theory waves that fit the data, in a part of the search range."""
    plain = theory_of("logistic_race")

    def add_waves(values, times, curves):
        return curves + 0.3 * np.sin(20 * times) * (values[plain.names.index("loss")] > 0.8)

    class Coarse(type(plain)):
        def curves(self, values, times):
            return add_waves(values, times, plain.curves(values, times))

        def curves_and_jacobian(self, values, times):
            curves, jacobian = plain.curves_and_jacobian(values, times)
            return add_waves(values, times, curves), jacobian

        def finer(self):
            return plain

    coarse = Coarse(**{each.name: getattr(plain, each.name) for each in fields(plain)})
    truth = dict(icl_at=2e5, icl_width=5e4, ciwl_at=6e5, ciwl_width=1e5, loss=0.9)
    curves = simulate(coarse, truth)
    found = fit(curves, coarse, n_screened=24, n_starts=24)
    assert found.parameters["loss"].value <= 0.8 and len(found.starts) < 24
    assert any("left out" in each for each in found.cautions)
    usual = fit(simulate(plain, truth), plain, n_screened=24, n_starts=24)
    assert len(usual.starts) == 24 and not any("left out" in each for each in usual.cautions)


def test_progress_shows_the_deviance_of_the_fit(race, capsys):
    fitted = fit(race, "logistic_race", n_screened=16, n_starts=1)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fit: 1/1")]
    assert float(line.split()[-1]) == pytest.approx(fitted.starts[0], rel=1e-3)


def test_the_number_of_processes_does_not_change_a_fit(race):
    one, two = (fit(race, "toy", n_screened=32, n_starts=3, n_jobs=n) for n in (1, 2))
    assert one.to_dict() == two.to_dict()


def test_noise_of_every_curve_is_recovered(truth):
    """1,000 samples: correlations to 0.08 (3 s.d.), deviations to 10 %."""
    curves = simulate("logistic_race", truth, n=1000, noise=0.02, correlation=0.6)
    noise = 0.2 * np.random.default_rng(0).standard_normal(1000)
    noisy = curves.values | {"icl": curves.values["icl"] + 1 + noise}
    found = fit(replace(curves, values=noisy), "logistic_race", n_starts=4)
    deviation = 0.02 * np.std(found.curves["ciwl"].fitted)
    assert found.curves["ciwl"].sigma == pytest.approx(deviation, rel=0.1)
    assert found.curves["ciwl"].rho == pytest.approx(0.6, abs=0.08)
    assert found.curves["icl"].sigma == pytest.approx(0.2, rel=0.1)
    assert found.curves["icl"].rho < 0.1
    n = found.curves["ciwl"].n_effective
    assert n == pytest.approx(1000 / 4, rel=0.3)
