"""Fitting the model to curves."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import sympy
from matplotlib.figure import Figure

import coopetition as co
from coopetition.compare.curves import Curves, read_curves
from coopetition.compare.estimate import fit, refine, refine_all_curves
from coopetition.compare.least_squares import Problem, errors_of
from coopetition.compare.recovery import simulate
from coopetition.compare.result import Fit
from coopetition.compare.theory import CURVES, theory_of
from coopetition.tools.errors import UsageError, UserError
from tests.conftest import REFERENCE

TRUTH = dict(alpha=2.0, mu1=0.2, a=0.02, b=0.5, c=0.3, d=0.12, d_orthogonal=0.16, pace=75.0)


def test_the_papers_curves_are_met():
    """Figure 5b from 3e6 sequences on: every curve to R2 of at least 0.98."""
    curves = read_curves(REFERENCE / "figure_5b_loss.csv")
    assert list(curves.values) == ["train", "icl", "ciwl"]
    fitted = fit(curves, n_screened=512, n_starts=6)
    for name, quality in fitted.curves.items():
        assert quality.r2 >= 0.98, name
    assert fitted.integration_error < 1e-2 and fitted.converged


def made(noise: float, metric: str = "loss", n: int = 80) -> tuple[dict, Curves]:
    """Curves of the toy, as they are and as they are measured."""
    position = np.linspace(0, 1, n)
    theory = theory_of("toy")
    toy = theory.curves(np.array([TRUTH[name] for name in theory.names]), position)
    rng = np.random.default_rng(0)
    clean = dict(zip(CURVES, 0.1 + 0.8 * toy, strict=False))
    clean = {name: errors_of(values, metric) for name, values in clean.items()}
    noisy = {n_: v + noise * np.ptp(v) * rng.standard_normal(n) for n_, v in clean.items()}
    return clean, Curves(1e6 * (1 + position), noisy, metric=metric)


@pytest.mark.parametrize("metric", ["loss", "in_context_accuracy"])
def test_fit_finds_what_made_the_curves(metric):
    """Synthetic curves with 1 % noise: predictions, if not each parameter, are recovered."""
    clean, noisy = made(0.01, metric)
    noisy.values["ciwl"][5:9] = np.nan  # gaps are allowed
    fitted = fit(noisy, n_screened=512, n_starts=6, max_iterations=60)
    for name, values in clean.items():
        known = np.isfinite(noisy.values[name])
        assert np.abs(fitted.curves[name].fitted - values[known]).max() < 0.03 * np.ptp(values)
        assert fitted.curves[name].n == np.isfinite(noisy.values[name]).sum()
        expected = 0.01 * np.ptp(values)
        assert fitted.curves[name].rmse == pytest.approx(expected, rel=0.35)
        assert abs(fitted.curves[name].autocorrelation) < 0.5
    pace = fitted.parameters["pace"].value
    assert pace == pytest.approx(TRUTH["pace"] / 1e6, rel=0.25), "in flow time a sequence"


@pytest.mark.parametrize("unit", [1e-6, 1e3])
def test_units_of_sequences_change_nothing_but_the_unit_of_time(unit):
    _, noisy = made(0.02)
    other = replace(noisy, sequences=noisy.sequences * unit)
    one, two = (fit(c, "logistic_race", n_screened=64, n_starts=2) for c in (noisy, other))
    for name, powers in (("icl_at", 1), ("icl_width", 1), ("loss", 0)):
        expected = one.parameters[name].value * unit**powers
        assert two.parameters[name].value == pytest.approx(expected, rel=1e-4)
    assert two.bic == pytest.approx(one.bic, abs=1e-2)


def test_many_samples_are_thinned_with_a_word():
    _, noisy = made(0.02, n=20_000)
    fitted = fit(noisy, "logistic_race", n_screened=64, n_starts=2)
    assert fitted.provenance["samples"] == [[20_000, 1000]]
    used = fitted.curves["icl"].sequences
    assert len(used) == 1000 and [used[0], used[-1]] == [*noisy.sequences[[0, -1]]]


def test_what_cannot_be_fitted_is_refused():
    x = np.linspace(0, 1, 30)
    with pytest.raises(UsageError, match="expected some of"):
        fit(Curves(x, {"other": x}))
    with pytest.raises(UsageError, match="given: curve icl is constant .1. here"):
        fit(Curves(x, {"icl": np.ones(30)}))
    with pytest.raises(UsageError, match="curve icl has 5 samples"):
        fit(Curves(x[:5], {"icl": x[:5]}))
    with pytest.raises(UsageError, match="curve icl has values below 0"):
        fit(Curves(x, {"icl": x - 0.5}))
    with pytest.raises(UsageError, match="curve icl has accuracies above 1; give shares"):
        fit(Curves(x, {"icl": 2 * x}, metric="accuracy"))
    with pytest.raises(UsageError, match="finite and rise"):
        fit(Curves(x[::-1], {"icl": x}))
    with pytest.raises(UsageError, match=r"curve icl has \(29,\) samples"):
        fit(Curves(x, {"icl": x[1:]}))
    sparse = np.where(np.arange(20_000) % 5_000 == 0, 1.0, np.nan)
    with pytest.raises(UsageError, match="curve icl has 4 samples"):
        fit(Curves(np.arange(20_000.0), {"icl": sparse, "ciwl": np.arange(20_000.0)}))
    with pytest.raises(UsageError, match="theory 'magic' is unknown"):
        fit(Curves(x, {"icl": x}), "magic")


@pytest.fixture(scope="module")
def hasty():
    """A fit to the paper's curves that is cut short."""
    curves = read_curves(REFERENCE / "figure_5b_loss.csv")
    return fit(curves, n_screened=16, n_starts=1, max_iterations=1)


def test_what_curves_do_not_show_is_open():
    """Of a spline for three curves, the two that were not measured."""
    x = np.linspace(0, 1, 40)
    fitted = fit(Curves(x, {"icl": np.exp(-3 * x)}), "spline", n_screened=16, n_starts=1)
    for name, each in fitted.parameters.items():
        told = "identifiable" if name.startswith("icl") else "not seen"
        assert each.status == told, name


def test_a_fit_is_saved_whole(hasty, tmp_path):
    path = str(tmp_path / "fit.json")  # a text as well as a path
    hasty.save(path)
    loaded = Fit.load(path)
    assert loaded.to_dict() == hasty.to_dict()
    for name, each in hasty.curves.items():
        for kind in ("sequences", "measured", "fitted"):
            np.testing.assert_array_equal(getattr(loaded.curves[name], kind), getattr(each, kind))
    assert loaded.summary() == hasty.summary()
    assert all(name in hasty.summary() for name in theory_of("toy").names)
    assert loaded.problem.cost(loaded.place) == pytest.approx(hasty.starts[0])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"parameters": 3}'])
def test_what_is_no_fit_is_refused(text, tmp_path):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(UserError, match="is not a saved fit"):
        Fit.load(tmp_path / "f.json")


def test_a_report_says_first_what_is_amiss(hasty):
    told = replace(hasty, integration_error=np.nan)
    first = told.summary().splitlines()[0]
    assert first.startswith("CAUTION: stopped after 1 iterations, unfinished; the theory's curves")
    assert "computed to nan%" in first
    assert {each.status for each in hasty.parameters.values()} == {"not converged"}
    sound = replace(hasty, converged=True, integration_error=1e-3, n_effective=50.0)
    assert sound.cautions == [] and sound.summary().startswith("curve")


def test_a_fit_is_short_to_print_and_a_table_to_work_with(hasty):
    assert len(repr(hasty)) < 500 and "train R2" in repr(hasty)
    assert "unfinished" in hasty._repr_html_() and "alpha" in hasty._repr_html_()
    frame = hasty.to_frame()
    own = frame[frame["curve"] == "icl"]
    np.testing.assert_array_equal(own["fitted"], hasty.curves["icl"].fitted)
    assert len(frame) == sum(each.n for each in hasty.curves.values())
    assert hasty == hasty and hasty != replace(hasty) and hash(hasty)
    assert hasty.plot(ax=Figure().subplots()).get_lines()


def test_a_theory_that_cannot_be_computed_at_the_answer_is_told():
    """Also if only its finer steps cannot."""
    _, noisy = made(0.02)
    theory = theory_of("logistic_race")

    class Fails(type(theory)):
        def finer(self):
            broken = type("Broken", (), {})()
            broken.curves = lambda values, times: np.full((4, len(times)), np.nan)
            return broken

    broken = Fails(**{name: getattr(theory, name) for name in type(theory).__dataclass_fields__})
    found = fit(noisy, broken, n_screened=64, n_starts=2)
    assert np.isnan(found.integration_error)
    assert "the theory's curves are computed to nan%" in found.summary().splitlines()[0]


def test_a_curve_of_which_nothing_is_explained_is_told():
    """CIWL's error rises, which in this theory it never does, and a gain is not negative."""
    t = np.linspace(0, 1e6, 60)
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.standard_normal((3, 60))
    falls = 0.1 + 0.8 / (1 + np.exp((t - 3e5) / 5e4))
    curves = Curves(
        t,
        dict(zip(CURVES, (falls + noise[0], falls + noise[1], 1 - falls + noise[2]), strict=True)),
    )
    found = fit(curves, "logistic_race", n_starts=8)
    assert found.curves["ciwl"].gain == 0 and "nothing of ciwl is explained" in found.cautions


def test_too_few_samples_that_count_are_told(hasty):
    few = replace(hasty, n_effective=float(hasty.n_numbers))
    assert any(each.startswith("only") and "samples count" in each for each in few.cautions)


def test_curves_that_are_read_but_not_fitted_are_told():
    _, noisy = made(0.01, n=20)
    quick = {"n_screened": 2, "n_starts": 1, "max_iterations": 2}
    both = replace(noisy, values=noisy.values | {"flip": noisy.values["icl"]})
    assert "not fitted: flip" in fit(both, "logistic_race", **quick).summary()
    assert "not fitted" not in fit(noisy, "logistic_race", **quick).summary()


def test_progress_shows_the_number_that_the_fit_gives(capsys):
    """The mean squared residual of the best start, as `Fit.starts` has it."""
    _, noisy = made(0.01)
    fitted = fit(noisy, "logistic_race", n_screened=16, n_starts=1)
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fit: 1/1")]
    assert float(shown[0].split()[-1]) == pytest.approx(fitted.starts[0], rel=1e-3)


@pytest.mark.parametrize("seed", [17, 27])
def test_a_fit_leaves_where_a_curve_has_no_gain(seed):
    """Least squares from these places end with a gain of 0 for ICL, and so without slopes."""
    truth = dict(icl_at=2e5, icl_width=5e4, ciwl_at=6e5, ciwl_width=1e5, loss=0.8)
    race = theory_of("logistic_race")
    problem = Problem([simulate("logistic_race", truth, noise=0.01)], race)
    place = np.random.default_rng(seed).random(len(problem.free))
    stuck = refine(problem, place)
    assert problem.unexplained(stuck.x) == ["icl"]
    end = refine_all_curves(problem, place, 300)
    assert not problem.unexplained(end.x) and end.cost < 1e-3 * stuck.cost


@pytest.mark.parametrize("theory", ["logistic_race", "bayesian_mixture", "toy"])
def test_fits_are_pickled_with_any_theory(theory):
    _, noisy = made(0.01, n=20)
    fitted = fit(noisy, theory, n_screened=2, n_starts=1, max_iterations=2)
    again = pickle.loads(pickle.dumps(fitted))
    assert again.to_dict() == fitted.to_dict()
    assert again.problem.cost(again.place) == fitted.problem.cost(fitted.place)


def test_numbers_of_numpy_are_kept_as_plain_numbers(tmp_path):
    _, noisy = made(0.01, n=20)
    quick = {"n_screened": np.int64(4), "n_starts": np.int32(1), "max_iterations": np.int64(2)}
    fitted = fit(
        noisy,
        "logistic_race",
        fixed={"loss": np.float32(0.5), "icl_width": np.int64(50_000)},
        seed=np.int64(3),
        tolerance=np.float64(0.05),
        **quick,
    )
    fitted.save(tmp_path / "fit.json")
    assert Fit.load(tmp_path / "fit.json").to_dict() == fitted.to_dict()
    for wrong in (None, True, [1.0]):
        with pytest.raises(UsageError, match="loss is fixed to"):
            fit(noisy, "logistic_race", fixed={"loss": wrong})


def test_a_fit_of_a_theory_of_ones_own_is_saved_and_loaded(tmp_path):
    rate = sympy.Symbol("rate", positive=True)
    left = sympy.exp(-rate * co.TIME)
    decay = co.ClosedForm(
        name="decay",
        title="everything is learnt at one rate",
        source="none",
        parameters=(co.Parameter(name="rate", what="of learning", lower=0.1, upper=100.0),),
        symbols=(rate,),
        outputs={"train": left, "icl": left, "ciwl": left, "preference": sympy.Integer(0)},
    )
    _, noisy = made(0.01, n=20)
    found = co.compare_theories(noisy, [decay, "logistic_race"], n_screened=8, n_starts=1)
    assert {each.theory for each in found.fits} == {"decay", "logistic_race"}
    fitted = next(each for each in found.fits if each.theory == "decay")
    fitted.save(tmp_path / "fit.json")
    assert co.Fit.load(tmp_path / "fit.json", theory=decay).to_dict() == fitted.to_dict()
    with pytest.raises(UsageError, match="decay"):
        co.Fit.load(tmp_path / "fit.json")
    with pytest.raises(UsageError, match="decay, not toy"):
        co.Fit.load(tmp_path / "fit.json", theory=co.theories()["toy"])
