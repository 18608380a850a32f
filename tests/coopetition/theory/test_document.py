"""The document is its template with every statement in one place; `docs/theory.md` is it."""

import re
from pathlib import Path

import pytest

from coopetition import two_strategies
from coopetition.model.presets import MODELS, named_model
from coopetition.theory.document import PLACE, Derivation

ROOT = Path(__file__).resolve().parents[3]


def test_docs_hold_the_document_of_the_published_model():
    """`coopetition derive two_strategies --latex > docs/theory.md`."""
    derivation = Derivation("two_strategies", two_strategies())
    assert (ROOT / "docs" / "theory.md").read_text("utf8") == derivation.markdown()
    text = derivation.text()
    assert "NOT PROVED" not in text
    assert text.count("[proved]") == len(derivation.statements)


@pytest.mark.parametrize("name", MODELS)
def test_every_statement_has_one_place(name):
    derivation = Derivation(name, named_model(name))
    placed = [each.id for place in PLACE.findall(derivation.page) for each in derivation.at(place)]
    assert sorted(placed) == sorted(each.id for each in derivation.statements)
    if name == "two_strategies":  # a model without costs or laws leaves places empty
        assert all(derivation.at(place) for place in PLACE.findall(derivation.page))


def test_statements_that_the_prose_names_are_there():
    derivation = Derivation("two_strategies", two_strategies())
    named = set(re.findall(r"`([a-z]+_[a-z_0-9]+)`", derivation.page))
    assert named <= {each.id for each in derivation.statements}
    assert len(named) > 10
