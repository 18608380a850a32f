"""Observation by signal detection: Jacobians, known parameters, and the link to two cues."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition.fitting.curves import Curves
from coopetition.fitting.readout import fit_readout, parameters_of, read_out
from coopetition.fitting.theory import theory_of
from coopetition.model.two_cues import SIGNS, TwoCues
from coopetition.tools.errors import UsageError

TIMES = np.linspace(0, 1, 21)
CUES = {"sigma": 0.9, "nu": 0.4, "a": 0.3, "b": 0.3, "d": 0.2, "kappa": 0.1, "pace": 30.0}
RACE = {"icl_at": 0.2, "icl_width": 0.05, "ciwl_at": 0.6, "ciwl_width": 0.1, "loss": 0.6,
        "icl_strength": 1.5, "ciwl_strength": 2.0}  # fmt: skip


def accuracies(name, values, times=TIMES):
    numbers = [values[each.name] for each in parameters_of(theory_of(name))]
    errors, _ = read_out(theory_of(name), np.array(numbers), times)
    seen = dict(zip(SIGNS, 1 - errors, strict=True))
    return Curves(1e6 * times, seen, metric="in_context_accuracy")


@pytest.mark.parametrize("name", ["toy", "two_cues", "logistic_race", "spline"])
@settings(deadline=None, max_examples=5)
@given(st.data())
def test_jacobians_are_derivatives(name, data):
    theory = theory_of(name)
    places = [data.draw(st.floats(0.35, 0.65)) for _ in parameters_of(theory)]
    pairs = zip(parameters_of(theory), places, strict=True)
    values = np.array([float(each.from_unit(x)) for each, x in pairs])
    errors, jacobian = read_out(theory, values, TIMES)
    assert errors.shape == (4, len(TIMES)) and (errors >= 0).all() and (errors <= 1).all()
    for k, value in enumerate(values):
        step = np.zeros(len(values))
        step[k] = 1e-5 * max(abs(value), 1e-2)
        ahead, behind = (read_out(theory, values + s * step, TIMES)[0] for s in (1, -1))
        scale = np.abs(jacobian[..., k]).max() + 1 / max(abs(value), 1e-2)
        by_hand = (ahead - behind) / (2 * step[k])
        np.testing.assert_allclose(jacobian[..., k], by_hand, atol=1e-5 * scale)


def test_two_cues_read_out_their_own_strengths():
    curves = accuracies("two_cues", CUES)
    theory = theory_of("two_cues")
    outputs = theory.curves(np.array([*CUES.values()]), TIMES)
    assert 1 - curves.values["train"] == pytest.approx(outputs[0], abs=1e-9)
    flips = [each > 0.5 for each in curves.values["flip"]]
    assert flips == [each > 0 for each in outputs[3]]
    exact = TwoCues(CUES["sigma"], CUES["nu"]).accuracies(0.7, 0.4)
    assert exact["flip"] < exact["icl"] < exact["train"]


@pytest.mark.parametrize(("name", "values"), [("two_cues", CUES), ("logistic_race", RACE)])
def test_known_curves_are_recovered(name, values):
    found = fit_readout(accuracies(name, values, np.linspace(0, 1, 41)), name)
    assert found.rmse < 2e-3 and min(found.r2.values()) > 0.99
    if name == "logistic_race":
        assert found.values == pytest.approx(values, rel=0.05)


def test_losses_are_refused():
    curves = accuracies("logistic_race", RACE)
    with pytest.raises(UsageError, match="loss"):
        fit_readout(Curves(curves.sequences, curves.values, metric="loss"), "toy")
