"""Theories side by side."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from coopetition.fitting.curves import FITTED_CURVES, Curves
from coopetition.fitting.registry import theory_of
from coopetition.fitting.selection import compare
from coopetition.tools.errors import UsageError

NAMES = ("logistic_race", "spline", "bayesian_mixture")
MADE_BY = {
    "logistic_race": [0.2, 0.05, 0.6, 0.1, 0.9],
    "bayesian_mixture": [20.0, 6.0, 40.0, 18.0, 0.0, 0.05],
}


def curves_of(name: str, noise: float = 0.01) -> Curves:
    t, rng = np.linspace(0, 1, 120), np.random.default_rng(0)
    errors = theory_of(name).curves(np.array(MADE_BY[name]), t)
    made = {
        curve: 0.2 + 4 * error + 4 * noise * rng.standard_normal(len(t))
        for curve, error in zip(FITTED_CURVES, errors, strict=False)
    }
    return Curves(2e6 * t, made)


@pytest.mark.parametrize("name", MADE_BY)
def test_the_theory_that_made_the_curves_wins(name):
    """With 1 % noise, against a spline with more numbers and another rival."""
    found = compare(curves_of(name), NAMES, n_screened=256, n_starts=4)
    assert found.fits[0].theory == name
    bics = [row["bic"] for row in found.rows()]
    assert bics == sorted(bics) and bics[1] - bics[0] > 10
    rows = found.rows()
    assert {row["name"] for row in rows} == {*NAMES}
    assert rows[0]["r2"].keys() == {*FITTED_CURVES}
    first_line, _, _, best, *_ = found.summary().splitlines()
    assert rows[0]["name"] in best and "BIC" in repr(found)
    assert not found.cautions and first_line.startswith(name)
    assert list(found.to_frame()["bic"]) == bics


def test_theories_that_fit_alike_are_undecided_in_the_first_line():
    curves = curves_of("logistic_race")
    same = replace(theory_of("logistic_race"), name="same")
    found = compare(curves, ["logistic_race", same], n_screened=64, n_starts=4)
    first_line = found.summary().splitlines()[0]
    assert first_line.startswith("CAUTION") and "logistic_race, same" in first_line


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_ranks_do_not_depend_on_the_curves_unit(unit):
    curves = curves_of("logistic_race")
    other = Curves(curves.sequences, {n: unit * v for n, v in curves.values.items()})
    quick = {"n_screened": 64, "n_starts": 2}
    one, two = (compare(each, NAMES, **quick) for each in (curves, other))
    assert [each.theory for each in one.fits] == [each.theory for each in two.fits]
    for mine, theirs in zip(one.fits, two.fits, strict=True):
        # criteria themselves shift by the logarithm of the unit
        above = [
            each.bic - comparison.fits[0].bic for each, comparison in ((mine, one), (theirs, two))
        ]
        assert above[0] == pytest.approx(above[1], abs=0.5), "but for where descents stop"


def test_an_unknown_theory_is_refused():
    with pytest.raises(UsageError, match="magic.*toy"):
        compare(curves_of("logistic_race"), ("magic",))
    with pytest.raises(UsageError, match="no theory is given.*toy"):
        compare(curves_of("logistic_race"), ())


def test_fixed_and_shared_parameters_apply_to_theories_that_have_them():
    quick = {"n_screened": 32, "n_starts": 1}
    one, two = curves_of("logistic_race"), curves_of("bayesian_mixture")
    fixed = {"loss": 0.8, "ciwl_width": "icl_width", "icl_gain": np.float64(20.0)}
    names = ("logistic_race", "bayesian_mixture")
    found = {each.theory: each for each in compare(one, names, fixed=fixed, **quick).fits}
    fixed_names = {name: {*fit.problem.fixed} for name, fit in found.items()}
    assert fixed_names["logistic_race"] == {"loss", "ciwl_width"}
    assert fixed_names["bayesian_mixture"] == {"icl_gain"}
    both = compare([one, two], names, shared=["loss", "offset"], **quick)
    shared = {each.theory: each.problem.shared for each in both.fits}
    assert shared == {"logistic_race": ("loss",), "bayesian_mixture": ("offset",)}
    for wrong in ({"fixed": {"losses": 0.8}}, {"fixed": {"loss": "z"}}, {"shared": ["losses"]}):
        with pytest.raises(UsageError, match="none of the theories has a parameter"):
            compare(one, names, **wrong)


def test_evidence_ranks_theories_too():
    """Two of the parameters of each theory are free."""
    fixed = {"icl_at": 4e5, "icl_width": 1e5, "loss": 0.9}
    fixed |= {"icl_complexity": 6.0, "ciwl_complexity": 18.0, "discount": 0.0, "offset": 0.05}
    found = compare(
        curves_of("logistic_race").thinned(40),
        ("bayesian_mixture", "logistic_race"),
        fixed=fixed,
        evidence=True,
        n_screened=128,
        n_starts=4,
    )
    rows = found.rows()
    assert [row["name"] for row in rows] == ["logistic_race", "bayesian_mixture"]
    behind = rows[0]["log_evidence"] - rows[1]["log_evidence"]
    assert behind > 5
    assert [bar.get_width() for bar in found.plot(Figure().subplots()).patches] == [0, behind]
    assert "BIC" not in repr(found) and "evidence" in repr(found)
    assert "log evidence" in found.summary() and "log_evidence" in found.to_frame()
    assert all(each.fit is fit for each, fit in zip(found.posteriors, found.fits, strict=True))
