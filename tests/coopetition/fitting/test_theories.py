"""Every theory keeps the contract; the toy agrees with the solver; Jacobians are derivatives."""

from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from coopetition.dynamics.solve import solve
from coopetition.fitting.curves import FITTED_CURVES, Curves
from coopetition.fitting.estimate import fit
from coopetition.fitting.registry import TOY, theories, theory_of
from coopetition.fitting.sensitivities import Flow
from coopetition.fitting.theories.toy import UNIT
from coopetition.fitting.theory import OUTPUTS, ClosedForm
from coopetition.model.initial_state import canonical_draw
from coopetition.model.presets import PUBLISHED_DIMS, two_strategies
from coopetition.model.two_cues import TwoCues
from coopetition.tools.errors import UsageError

TIMES = np.linspace(0, 1, 41)
NAMES = list(theories())


def test_the_toy_comes_first_and_another_name_is_refused():
    assert NAMES[0] == TOY and {"logistic_race", "bayesian_mixture", "subcircuits"} <= {*NAMES}
    with pytest.raises(UsageError, match="toys.*toy, bayes"):
        theory_of("toys")


def test_in_subcircuits_icl_fades_only_by_decay():
    """As docs/comparison.md says."""
    theory = theory_of("subcircuits")
    values = dict(beta=0.3, readout=0.3, memory=-1.0, speed=1.0, decay=0.1, pace=200.0)
    for decay, rises in ((0.1, True), (0.0, False)):
        values["decay"] = decay
        icl = theory.curves(np.array([values[name] for name in theory.names]), TIMES)[1]
        assert bool(np.diff(icl).max() > 1e-9) == rises


def test_subcircuits_without_decay_are_the_limit_of_decay_0():
    values = dict(beta=0.3, readout=0.3, memory=-1.0, speed=1.0, pace=200.0)
    kept, gone = theory_of("subcircuits_no_decay"), theory_of("subcircuits")
    own = kept.curves(np.array([values[name] for name in kept.names]), TIMES)
    values["decay"] = 0.0
    limit = gone.curves(np.array([values[name] for name in gone.names]), TIMES)
    np.testing.assert_allclose(own, limit, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(
    st.tuples(st.floats(0.1, 1.5), st.floats(0.1, 1.5)),
    st.tuples(st.floats(-1, 1), st.floats(0.1, 1.5), st.floats(0.1, 1)),
)
def test_the_velocity_of_two_cues_is_a_mean_over_sequences(noise, state):
    """By a sum over a fine grid of both cues; errors are those of signal detection."""
    theory = theory_of("two_cues")
    assert isinstance(theory, Flow)
    (sigma, nu), (a, b, d) = noise, state
    kappa, pace = 0.7, 3.0
    symbols = [*theory.state, *theory.symbols]
    values = [a, b, d, sigma, nu, 0, 0, 0, kappa, pace]
    velocity = sp.lambdify(symbols, theory.velocity, "scipy")(*values)
    z = np.arange(-8.5, 8.51, 0.05)
    weights = np.exp(-(z**2) / 2) * 0.05 / np.sqrt(2 * np.pi)
    s, r = 1 + sigma * z[:, None], 1 + nu * z
    x, y = a * b**2, d * b**2
    wrong = ndtr(-(x * s + y * r))
    total, context, memory = (weights @ each @ weights for each in (wrong, s * wrong, r * wrong))
    pulls = [b**2 * context, b * (a * context + d * memory), kappa * b**2 * memory]
    assert velocity == pytest.approx(pace * np.array(pulls) / np.sqrt(total), abs=1e-8)
    outputs = sp.lambdify(symbols, [theory.outputs[o] for o in ("train", "icl", "ciwl")], "scipy")
    readout = TwoCues(sigma, nu).accuracies(x, y)
    expected = [1 - readout[o] for o in ("train", "icl", "ciwl")]
    assert outputs(*values) == pytest.approx(expected) and expected[0] == pytest.approx(total)


def value_of(theory, places) -> np.ndarray:
    pairs = zip(theory.parameters, places, strict=True)
    return np.array([float(each.from_unit(x)) for each, x in pairs])


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=15)
@given(st.data())
def test_jacobians_are_derivatives(name, data):
    """Against central differences of a theory's own curves, in the middle of its search."""
    theory = theory_of(name)
    middle = st.floats(0.3, 0.7)
    values = value_of(theory, [data.draw(middle) for _ in theory.parameters])
    curves, jacobian = theory.curves_and_jacobian(values, TIMES)
    assert curves.shape == (len(OUTPUTS), len(TIMES))
    np.testing.assert_allclose(curves, theory.curves(values, TIMES), atol=1e-12)
    for k, value in enumerate(values):
        step = 1e-5 * max(abs(value), 1e-2)
        moved = np.zeros(len(values))
        moved[k] = step
        ends = [theory.curves(values + s * moved, TIMES) for s in (-2, -1, 1, 2)]
        by_hand = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * step)
        scale = np.abs(jacobian[..., k]).max() + np.abs(curves).max() / max(abs(value), 1e-2)
        np.testing.assert_allclose(jacobian[..., k], by_hand, atol=1e-6 * scale)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=20)
@given(st.data())
def test_curves_do_not_depend_on_the_requested_times(name, data):
    """Within what straight lines between the steps of an integrator leave."""
    theory = theory_of(name)
    values = value_of(theory, [data.draw(st.floats(0.2, 0.8)) for _ in theory.parameters])
    whole = theory.curves(values, TIMES)
    some = np.sort(data.draw(st.lists(st.sampled_from(range(41)), min_size=1, unique=True)))
    found = theory.curves(values, TIMES[some])
    np.testing.assert_allclose(found, whole[:, some], rtol=1e-9, atol=1e-12)
    pairs = zip(theory.parameters, values, strict=True)
    for each, value in pairs:
        assert float(each.from_unit(np.float64(each.to_unit(value)))) == pytest.approx(value)


def test_the_toy_agrees_with_the_solver():
    """In numbers without dimensions, at the same flow time."""
    theory = theory_of(TOY)
    numbers = dict(alpha=0.5, mu1=0.2, a=0.05, b=0.3, c=0.7, d=0.1, d_orthogonal=0.15, pace=60.0)
    ts = np.array([0.0, 0.3, 0.7, 1.0])  # on the integrator's grid
    curves = theory.curves(np.array([numbers[name] for name in theory.names]), ts)
    norms = {name: length**0.5 for name, length in PUBLISHED_DIMS.items()}
    overlaps = {name: numbers[name] * norms[name] for name in "abd"}
    overlaps["c"] = numbers["b"] * numbers["c"] * norms["c"]
    orthogonal = dict.fromkeys("abc", 0.0) | {"d": numbers["d_orthogonal"] * norms["d"]}
    draw = canonical_draw(PUBLISHED_DIMS, norms, overlaps, orthogonal)
    model = two_strategies(alpha=0.5, mu1=0.2)
    at = ts[1:] * numbers["pace"] * UNIT
    solved = solve(
        model, draw, method="flow", t1=at[-1], ts=at, threshold=0.0, rtol=1e-11, atol=1e-13
    )
    k = solved.samples_at(at)
    for row, name in enumerate(("total", "icl", "ciwl")):
        np.testing.assert_allclose(curves[row, 1:], solved.losses[name][k], rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.5, 2.0))
def test_other_units_of_the_factors_are_other_rates_and_nothing_else(z):
    """a, d in units of 1/z and b in units of z: the same flow with the rates of the module."""
    theory = theory_of(TOY)
    assert isinstance(theory, Flow)
    speed = sp.lambdify([*theory.state, *theory.symbols], theory.velocity)
    values = dict(zip(theory.names, value_of(theory, [0.5] * len(theory.names)), strict=True))
    x = np.random.default_rng(0).uniform(-0.5, 0.8, len(theory.state))
    units = np.array([z, 1 / z, 1, z, z])  # of the overlaps a, b, c, d and the orthogonal part of d
    measured = values | {"alpha": values["alpha"] / z**4}
    plain = np.array(speed(*x, *values.values()))
    other = np.array(speed(*(units * x), *measured.values()))
    np.testing.assert_allclose(units**2 * other, units * plain, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.5, 2.0))
def test_exchanging_b_and_c_changes_no_curve(scale):
    theory = theory_of(TOY)
    values = value_of(theory, [0.5] * len(theory.parameters))
    b, c = theory.names.index("b"), theory.names.index("c")
    swapped = values.copy()
    values[b], values[c] = 0.3 * scale, 1 / scale
    swapped[b], swapped[c] = 0.3, scale
    one, other = (theory.curves(each, TIMES) for each in (values, swapped))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_a_theory_is_added_as_the_page_says():
    page = (Path(__file__).parents[3] / "docs" / "how_to_add.md").read_text()
    block = page.split("## A theory for fits")[1].split("```python\n")[1].split("```")[0]
    module: dict[str, object] = {}
    exec(block, module)
    theory = module["DECAY"]
    assert isinstance(theory, ClosedForm)
    t = np.linspace(0, 1, 40)
    curves = Curves(1e6 * t, {"icl": 0.2 + 3 * np.exp(-5 * t)})
    found = fit(curves, theory, n_screened=16, n_starts=2)
    assert found.parameters["rate"].value == pytest.approx(5e-6, rel=1e-4)


def test_finer_steps_change_little():
    for name in NAMES:
        theory = theory_of(name)
        values = value_of(theory, [0.5] * len(theory.parameters))
        finer = theory.finer().curves(values, TIMES)
        np.testing.assert_allclose(finer, theory.curves(values, TIMES), atol=1e-3)
    assert FITTED_CURVES == ("train", "icl", "ciwl")
