"""The symbolic model has the numbers of the plain one."""

import numpy as np
import sympy as sp

from coopetition import random_draw, two_strategies
from coopetition.model.reduced import Problem
from coopetition.model.symbolic import Symbolic
from coopetition.theory.critical_sets import hessian

SMALL = {"a": 3, "b": 3, "c": 3, "d": 4}


def test_numbers_are_those_of_the_symbols():
    model = two_strategies(mu2=0.3).with_rates(b=0.5, d=0.0)
    symbolic = Symbolic(model)
    problem = Problem(model, random_draw(0, SMALL))
    values = dict(zip(symbolic.state, problem.start.entries, strict=True))
    values |= {symbolic.problem.targets[name]: x for name, x in problem.targets.items()}
    values |= {symbolic.problem.sizes[name]: x for name, x in problem.sizes.items()}
    values |= {symbolic.offset[name]: x for name, x in problem.mu.items()}
    values |= {symbolic.strength[name]: x for name, x in problem.alpha.items()}
    values |= {rate: x for rate, x in zip(symbolic.rate.values(), model.rates, strict=True) if x}
    expected = [float(speed.subs(values)) for speed in symbolic.velocity.values()]
    np.testing.assert_allclose(problem.velocity(problem.start).entries, expected, rtol=1e-12)
    symbols = sp.hessian(symbolic.losses["total"], symbolic.state).subs(values)
    np.testing.assert_allclose(
        hessian(problem, problem.start), np.array(symbols, float), rtol=1e-12, atol=1e-13
    )
