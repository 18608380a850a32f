"""The symbolic model has the numbers of the plain one."""

import numpy as np
import sympy as sp

from coopetition import random_draw, two_strategies
from coopetition.model.problem import project
from coopetition.model.symbolic import Symbolic
from coopetition.theory.stability import hessian

SMALL = {"a": 3, "b": 3, "c": 3, "d": 4}


def test_numbers_are_those_of_the_symbols():
    model = two_strategies(mu2=0.3).at_rates(b=0.5, d=0.0)
    symbolic = Symbolic(model)
    reduced, u, w = project(model, random_draw(0, SMALL))
    values = dict(zip(symbolic.state, u + w, strict=True))
    values |= {symbolic.reduced.targets[name]: x for name, x in reduced.targets.items()}
    values |= {symbolic.reduced.sizes[name]: x for name, x in reduced.sizes.items()}
    values |= {symbolic.offset[name]: x for name, x in reduced.offsets.items()}
    values |= {symbolic.strength[name]: x for name, x in reduced.strengths.items()}
    values |= {rate: x for rate, x in zip(symbolic.rate.values(), model.rates, strict=True) if x}
    expected = [float(speed.subs(values)) for speed in symbolic.velocity.values()]
    np.testing.assert_allclose(np.concatenate(reduced.velocity(u, w)), expected, rtol=1e-12)
    symbols = sp.hessian(symbolic.losses["total"], symbolic.state).subs(values)
    np.testing.assert_allclose(
        hessian(reduced, u, w), np.array(symbols, float), rtol=1e-12, atol=1e-13
    )
