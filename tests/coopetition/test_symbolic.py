"""The symbolic model, and the proofs of the theory."""

from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from coopetition import random_draw, two_strategies
from coopetition.model.presets import MODELS, named_model
from coopetition.model.problem import project
from coopetition.model.symbolic import Statement, Symbolic, prove_reduction, vanishes
from coopetition.theory.document import Derivation
from coopetition.theory.stability import hessian

SMALL = {"a": 3, "b": 3, "c": 3, "d": 4}
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", MODELS)
def test_the_reduction_is_proved(name):
    assert prove_reduction(Symbolic(named_model(name)))


@pytest.mark.parametrize("name", MODELS)
def test_every_statement_is_proved(name):
    statements = Derivation(name, named_model(name)).statements
    assert [each.id for each in statements if not each.proved] == []
    assert len({each.id for each in statements}) == len(statements) >= 16


def test_a_wrong_statement_is_not_proved():
    x, y = sp.symbols("x y")
    assert vanishes((x + y) ** 2 / y - x**2 / y - 2 * x - y)
    assert not vanishes((x + y) ** 2 - x**2 - x * y - y**2)
    assert not Statement("s", "", x, y, x - y).proved


def test_a_wrong_gradient_is_not_proved():
    symbolic = Symbolic(two_strategies())
    first = symbolic.state[0]
    symbolic.gradient[first] = symbolic.gradient[first] * sp.Rational(1001, 1000)
    assert not prove_reduction(symbolic)


def test_the_document_is_the_derivation():
    """`coopetition derive two_strategies --latex > docs/theory.md`."""
    derivation = Derivation("two_strategies", two_strategies())
    assert (ROOT / "docs" / "theory.md").read_text() == derivation.markdown()
    assert "NOT PROVED" not in derivation.text()


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
