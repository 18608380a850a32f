"""Every statement of the page is proved from what is printed; `docs/theory.md` is the page."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sympy as sp

from coopetition import two_strategies
from coopetition.model.presets import MODELS, named_model
from coopetition.model.symbolic import Symbolic
from coopetition.theory.document import (
    PLACE,
    Derivation,
    Language,
    Statement,
    family_statements,
    vanishes,
)

ROOT = Path(__file__).resolve().parents[3]
DERIVATIONS = {name: Derivation(name, named_model(name)) for name in MODELS}
PUBLISHED = DERIVATIONS["two_strategies"]


def test_docs_hold_the_document_of_the_published_model():
    """Made by `coopetition derive two_strategies --latex > docs/theory.md`."""
    assert (ROOT / "docs" / "theory.md").read_text("utf8") == PUBLISHED.markdown()
    assert PUBLISHED.text().count("[proved]") == len(PUBLISHED.statements)


@pytest.mark.parametrize("name", MODELS)
def test_every_statement_has_one_place(name):
    derivation = DERIVATIONS[name]
    places = [place[0] for place in PLACE.findall(derivation.page)]
    placed = [each.id for place in places for each in derivation.statements_at(place)]
    assert sorted(placed) == sorted({each.id for each in derivation.statements})
    if derivation is PUBLISHED:  # a model without costs or laws leaves places empty
        assert all(derivation.statements_at(place) for place in places)


def test_statements_that_the_prose_names_are_there():
    named = set(re.findall(r"`([a-z]+_[a-z_0-9]+)`", PUBLISHED.page))
    assert len(named) > 10
    assert named <= {each.id for each in PUBLISHED.statements} | {"coexistence_asymptotics"}


@pytest.mark.parametrize("name", MODELS)
def test_every_statement_of_a_family_is_proved(name):
    language = DERIVATIONS[name].language
    assert language.is_exact()
    statements = list(family_statements(language))
    assert [each.id for each in statements if not each.proved] == []
    assert len(statements) >= 16


def signs(side: sp.Expr) -> Iterator[sp.Expr]:
    """Yield the side with one sign changed: of each term at any depth, and of the whole."""
    if not side.is_Add:
        yield -side
    yield from inner_signs(side)


def inner_signs(node: sp.Expr) -> Iterator[sp.Expr]:
    if isinstance(node, sp.Order):
        return
    for k, argument in enumerate(node.args):
        others = [*node.args[:k], *node.args[k + 1 :]]
        if node.is_Add:
            yield sp.Add(-argument, *others)
        if isinstance(argument, sp.Expr):
            for changed in inner_signs(argument):
                yield node.func(*node.args[:k], changed, *node.args[k + 1 :])


def mutants(statement: Statement) -> Iterator[tuple[Statement, bool]]:
    """Yield each statement with one sign changed, and whether it means the same as before.

    It does if the difference of its printed sides is the one before, or minus it; its conditions
    are changed too.
    """
    for symbol, value in statement.at.items():
        for changed in signs(value) if value != 0 else ():
            yield replace(statement, at={**statement.at, symbol: changed}), False
    before = statement.left - statement.right
    for name in ("left", "right"):
        for side in signs(getattr(statement, name)):
            changed = replace(statement, **{name: side})
            after = changed.left - changed.right
            same = any(sp.expand(after - sign * before).removeO() == 0 for sign in (1, -1))
            yield changed, same


@pytest.mark.parametrize("statement", PUBLISHED.statements, ids=lambda each: each.id)
def test_no_sign_of_a_proved_statement_can_be_changed(statement):
    assert statement.proved
    changes = list(mutants(statement))
    assert [changed.text() for changed, same in changes if changed.proved is not same] == []
    assert sum(not same for _, same in changes) >= (statement.id != "saddle_b")


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(each, marks=[pytest.mark.slow] if each.id.startswith("minimum") else [])
        for each in PUBLISHED.statements
        if each.at
    ],
    ids=lambda each: each.id,
)
def test_every_condition_of_a_statement_is_needed(statement):
    fewer = [{x: y for x, y in statement.at.items() if x != left_out} for left_out in statement.at]
    assert not any(replace(statement, at=at).proved for at in fewer)


def test_only_zero_vanishes():
    x, y, n = sp.symbols("x y n")
    assert vanishes((x + y) ** 2 / y - x**2 / y - 2 * x - y)
    assert not vanishes((x + y) ** 2 - x**2 - x * y - y**2)
    assert vanishes((x + y) ** (n - 1) * (y + x) - (x + y) ** n)
    assert not vanishes((x + y) ** (n - 1) * (y - x) - (x + y) ** n)


def test_a_wrong_gradient_is_not_exact():
    symbolic = Symbolic(two_strategies())
    first = symbolic.state[0]
    symbolic.gradient[first] = symbolic.gradient[first] * sp.Rational(1001, 1000)
    assert not Language(symbolic).is_exact()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("combine", [sum, lambda prefactors: sp.prod(prefactors) * 2])
def test_a_wrong_total_is_not_exact(name, combine):
    """All slopes are printed from it, so that they would be proved with it."""
    language = Language(Symbolic(named_model(name)))
    offsets = language.symbolic.offset
    costs = language.formula - sp.prod(language.loss[m] + mu for m, mu in offsets.items())
    language.formula = combine([language.loss[m] - mu for m, mu in offsets.items()]) + costs
    assert all(each.proved for each in family_statements(language) if each.id == "loss_total")
    assert not language.is_exact()
