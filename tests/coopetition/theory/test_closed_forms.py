"""The closed forms that the code computes are those of the statements that are proved."""

import numpy as np
import pytest
import sympy as sp
from scipy.special import elliprf

from coopetition import random_draw, two_strategies
from coopetition.model.reduced import Problem, State
from coopetition.theory.document import Derivation
from coopetition.theory.fates import coexistence_asymptotics
from coopetition.theory.times import elliptic_escape, escape_time

FACTORS = ("a", "b", "c", "d")
DERIVATION = Derivation("two_strategies", two_strategies())
LANGUAGE = DERIVATION.language
STATEMENTS = {each.id: each for each in DERIVATION.statements}


def made() -> Problem:
    """One in which no two numbers are alike."""
    dims = {"a": 3, "b": 4, "c": 5, "d": 7}
    return Problem(two_strategies(alpha=0.3, mu1=0.2, mu2=0.7), random_draw(2, dims))


def value(expression: sp.Expr, problem: Problem, **more: float) -> float:
    """A printed expression with the numbers of a problem."""
    s = LANGUAGE.symbolic
    pairs = [
        (s.problem.targets, problem.targets),
        (s.problem.sizes, problem.sizes),
        (s.offset, problem.mu),
        (s.strength, problem.alpha),
        (LANGUAGE.unlearnt, problem.unlearnt_losses()),
    ]
    numbers = {symbols[name].name: x for symbols, values in pairs for name, x in values.items()}
    numbers |= more
    return float(expression.xreplace({x: numbers[x.name] for x in expression.free_symbols}))


def test_coexistence_is_that_of_the_statements():
    problem, t = made(), 1e6
    late, q = coexistence_asymptotics(problem), coexistence_asymptotics(problem).shared(t) ** 2
    growth = value(STATEMENTS["coexistence_growth"].right, problem)
    assert late.growth == pytest.approx(growth, rel=1e-12)
    assert q**5 == pytest.approx(growth * t, rel=1e-12)
    cost = value(STATEMENTS["coexistence_cost"].right, problem, q=q)
    assert late.competition(t) == pytest.approx(cost, rel=1e-12)
    at = {str(x): y for x, y in STATEMENTS["coexistence_cost"].at.items()}
    own = [value(at[f"u_{f}**2"], problem, q=q) ** 0.5 for f in "ad"]
    assert late.own(t) == pytest.approx(own, rel=1e-12)


def test_the_plateau_is_that_of_the_statement():
    problem = made()
    state = State(FACTORS, [0.0, 0.4, 0.0, 0.3], [0.0, 2.0, 0.1, 3.0])
    b2, d2 = (state[f].square for f in "bd")
    k1, k2 = (problem.unlearnt_losses()[name] for name in ("icl", "ciwl"))
    kappa = 4 * k2 * (k1 + problem.mu["icl"]) / (b2 * d2)
    remaining = STATEMENTS["plateau_time"].left.expr
    expected = value(remaining, problem, U=0.3**2, V=0.4**2, kappa=kappa)
    assert escape_time(problem, state) == pytest.approx(expected, rel=1e-12)
    # kappa U V is the speed at which both cosines turn while they are small
    lengths = {"R_b": 1e12, "R_d": 1e12, "u_b": 0.4, "u_d": 0.3, "r_b": 1.0, "r_d": 1.0}
    for name in ("turning_b", "turning_d"):
        speed = value(STATEMENTS[name].right, problem, **lengths) * 1e24 / (b2 * d2)
        assert speed == pytest.approx(kappa * 0.3**2 * 0.4**2, rel=1e-9)


def test_the_elliptic_escape_is_that_of_the_statement():
    problem, (a, b, c, d) = made(), (0.1, 0.2, 0.3, 0.4)
    at = {symbol.name: x for symbol, x in STATEMENTS["origin"].at.items()}
    g1, g2 = (value(at[name], problem) for name in ("g_1", "g_2"))
    v = value(STATEMENTS["elliptic_v"].left.expr.subs(STATEMENTS["elliptic_v"].at), problem,
              g_1=g1, g_2=g2, u_a=a, u_d=d)  # fmt: skip
    expected = elliprf(v**2, b**2, c**2) / np.hypot(g1, g2)
    assert elliptic_escape(problem, State(FACTORS, [a, b, c, d], [0.0] * 4)) == pytest.approx(
        expected, rel=1e-12
    )
