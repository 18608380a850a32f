"""Fits are printed, saved, loaded and pickled."""

from dataclasses import replace

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import coopetition as co
from coopetition.fitting.estimate import fit
from coopetition.fitting.intervals import Profile, profile
from coopetition.fitting.likelihood import largest_rho
from coopetition.fitting.posterior import sample_posterior
from coopetition.fitting.reading import read_curves
from coopetition.fitting.registry import theory_of
from coopetition.fitting.result import TRUSTED, Fit
from coopetition.fitting.simulation import simulate
from coopetition.tools.errors import UsageError, UserError
from paper_figures.core.kept_data import DATA
from tests.coopetition.conftest import TRUTH

QUICK = {"n_screened": 4, "n_starts": 1, "max_iterations": 2}


@pytest.fixture(scope="module")
def hasty():
    """A fit to the paper's curves that is cut short."""
    curves = read_curves(DATA / "published" / "figure_5b_loss.csv", first=0)
    return fit(curves, n_screened=16, n_starts=1, max_iterations=1)


def test_a_fit_is_saved_whole(hasty, tmp_path):
    path = str(tmp_path / "fit.json")  # a text as well as a path
    hasty.save(path)
    loaded = Fit.load(path)
    assert loaded.to_dict() == hasty.to_dict() and loaded.summary() == hasty.summary()
    for name, each in hasty.curves.items():
        for kind in ("sequences", "measured", "fitted"):
            np.testing.assert_array_equal(getattr(loaded.curves[name], kind), getattr(each, kind))
    found = loaded.problem.most_likely_noise(loaded.theta)[1]
    assert found == pytest.approx(hasty.deviance)
    np.testing.assert_array_equal(
        loaded.problem.residuals_and_jacobian(loaded.theta)[0],
        hasty.problem.residuals_and_jacobian(hasty.theta)[0],
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"parameters": 3}', '{"provenance": {}}'])
def test_another_file_is_refused(text, tmp_path):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(UserError, match=r"f\.json"):
        Fit.load(tmp_path / "f.json")


def test_a_summary_begins_with_cautions(hasty):
    uncertain = replace(hasty, integration_error=np.nan)
    first = uncertain.summary().splitlines()[0]
    assert first.startswith("CAUTION: ") and len(uncertain.cautions) == 1 + len(hasty.cautions)
    assert {each.status for each in hasty.parameters.values()} == {"not converged"}
    assert {*hasty.unidentified} == {*theory_of("toy").names}
    good = {name: replace(each, r2=0.99, rho=0.5) for name, each in hasty.curves.items()}
    sound = replace(hasty, converged=True, integration_error=1e-3, curves=good)
    assert sound.cautions == [] and sound.summary().startswith(TRUSTED)
    assert all(name in sound.summary() for name in theory_of("toy").names)


@settings(deadline=None)
@given(st.integers(8, 1000), st.sampled_from([0.0, 0.5, 0.98, 0.99, 1.0]))
def test_noise_of_the_largest_correlation_is_a_caution(hasty, n, share):
    """From 99 % of it on, for any number of samples."""
    curves = {name: replace(each, r2=0.99, rho=0.0) for name, each in hasty.curves.items()}
    curves["icl"] = replace(curves["icl"], n=n, rho=share * largest_rho(n))
    fitted = replace(hasty, converged=True, integration_error=1e-3, curves=curves)
    assert len(fitted.cautions) == (share >= 0.99)
    assert all("noise correlation of icl" in each for each in fitted.cautions)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_only_a_smooth_misfit_gives_noise_the_largest_correlation(seed):
    """Noise of a correlation of one half does not; a slow wave, which no growth describes, does."""
    curves = simulate("logistic_race", TRUTH, correlation=0.5, seed=seed)
    wave = 0.05 * np.sin(3 * np.pi * curves.sequences / curves.sequences[-1])
    waved = replace(curves, values=curves.values | {"icl": curves.values["icl"] + 0.06 + wave})
    for each, expected in ((curves, 0), (waved, 1)):
        fitted = fit(each, "logistic_race", n_screened=256, n_starts=4)
        about_noise = [text for text in fitted.cautions if "noise correlation" in text]
        assert len(about_noise) == expected and all("icl" in text for text in about_noise)


def test_a_fit_is_short_to_print_and_a_table_to_work_with(hasty):
    assert len(repr(hasty)) < 500 and "train R2" in repr(hasty)
    assert "CAUTION" in hasty._repr_html_() and "alpha" in hasty._repr_html_()
    frame = hasty.to_frame()
    own = frame[frame["curve"] == "icl"]
    np.testing.assert_array_equal(own["fitted"], hasty.curves["icl"].fitted)
    assert len(frame) == sum(each.n for each in hasty.curves.values())
    assert hasty == hasty and hasty != replace(hasty) and hash(hasty)
    assert hasty.plot(ax=Figure().subplots()).get_lines()


def test_numbers_of_numpy_are_kept_as_plain_numbers(race, tmp_path):
    fitted = fit(
        race,
        "logistic_race",
        fixed={"loss": np.float32(0.5), "icl_width": np.int64(50_000)},
        seed=np.int64(3),
        **{name: np.int64(value) for name, value in QUICK.items()},
    )
    fitted.save(tmp_path / "fit.json")
    assert Fit.load(tmp_path / "fit.json").to_dict() == fitted.to_dict()


def test_a_fit_of_a_theory_without_a_name_is_saved_and_loaded(race, tmp_path):
    rate = sympy.Symbol("rate", positive=True)
    left = sympy.exp(-rate * co.TIME)
    decay = co.ClosedForm(
        name="decay",
        title="everything is learnt at one rate",
        source="none",
        parameters=(co.Parameter(name="rate", description="of learning", lower=0.1, upper=100.0),),
        symbols=(rate,),
        outputs={"train": left, "icl": left, "ciwl": left, "preference": sympy.Integer(0)},
    )
    found = co.compare(race, [decay, "logistic_race"], n_screened=8, n_starts=1)
    fits = {each.theory: each for each in found.fits}
    assert {*fits} == {"decay", "logistic_race"}
    fits["decay"].save(tmp_path / "fit.json")
    loaded = co.Fit.load(tmp_path / "fit.json", decay)
    assert loaded.to_dict() == fits["decay"].to_dict()
    for others in ((), (theory_of("toy"),)):
        with pytest.raises(UsageError, match="decay"):
            co.Fit.load(tmp_path / "fit.json", *others)


def test_every_result_says_where_its_times_begin(race, tmp_path):
    """In its text and, for a program, in its values."""
    part = race.between(204_000)
    first = float(part.sequences[0])
    fitted = fit(part, "logistic_race", **QUICK)
    profiled = profile(fitted, "icl_at", n=1)
    results = fitted, profiled, sample_posterior(fitted, n=20, max_calls=1)
    assert all(f"{first:.4g} sequences" in each.summary() for each in results)
    assert fitted.to_dict()["times_from"] == fitted.provenance["times_from"] == [first]
    profiled.save(tmp_path / "profile.json")
    assert Profile.load(tmp_path / "profile.json").times_from == (first,)
