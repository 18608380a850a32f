"""Compiled formulas are those of sympy, with derivatives, whatever their symbols are called."""

import numpy as np
import sympy as sp

from coopetition.fitting.sensitivities import Flow
from coopetition.fitting.theory import OUTPUTS, TIME, ClosedForm, Parameter

# names that generated code uses, that Python does not allow, or reserves
SYMBOLS = (*sp.symbols("x p y q x0 c0 lambda math tanh", real=True), sp.Symbol(r"\mu", real=True))
PARAMETERS = tuple(
    Parameter(name=str(k), description="", lower=0.5, upper=2.0) for k in range(len(SYMBOLS))
)
TIMES = np.array([0.0, 0.3, 1.0])
VALUES = np.linspace(0.5, 1.5, len(SYMBOLS))


def test_formulas_are_compiled_with_their_derivatives():
    x, p, y, q, *others = SYMBOLS
    formulas = {
        "train": sp.tanh(x - TIME) ** 3 + sp.exp(-p * TIME) * sum(others),
        "icl": sp.Max(0, p - q * TIME, x * TIME - 1),
        "ciwl": sp.Abs(x - y) + sp.Piecewise((y, 2 * TIME < 1), (q**2, True)),
        "preference": sp.Piecewise((sp.Integer(1), 2 * TIME < 1)),  # else NaN
    }
    theory = ClosedForm(
        name="names", title="", source="", parameters=PARAMETERS, symbols=SYMBOLS, outputs=formulas
    )
    curves, jacobian = theory.curves_and_jacobian(VALUES, TIMES)
    np.testing.assert_allclose(theory.curves(VALUES, TIMES), curves, rtol=1e-14)
    for k, t in enumerate(TIMES):
        at = {TIME: t, **dict(zip(SYMBOLS, VALUES, strict=True))}
        for o, name in enumerate(OUTPUTS):
            np.testing.assert_allclose(curves[o, k], float(formulas[name].subs(at)), rtol=1e-12)
            slopes = [float(sp.diff(formulas[name], each).subs(at)) for each in SYMBOLS]
            np.testing.assert_allclose(jacobian[o, k], slopes, rtol=1e-12, atol=1e-14)


def test_flows_may_have_any_names_too():
    """The solution is start exp(-rate t); the state is called as a parameter in the code."""
    state, (start, rate) = sp.Symbol("p1", real=True), sp.symbols("x v1", real=True)
    theory = Flow(
        name="decay",
        title="",
        source="",
        parameters=PARAMETERS[:2],
        symbols=(start, rate),
        state=(state,),
        start=(start,),
        velocity=(-rate * state,),
        outputs=dict.fromkeys(OUTPUTS, state),
    )
    curves, jacobian = theory.curves_and_jacobian(np.array([2.0, 1.5]), TIMES)
    fall = np.exp(-1.5 * TIMES)
    for rows, slopes in zip(curves, jacobian, strict=True):
        np.testing.assert_allclose(rows, 2 * fall, rtol=1e-8)
        np.testing.assert_allclose(slopes, np.stack([fall, -2 * TIMES * fall], 1), atol=1e-8)
