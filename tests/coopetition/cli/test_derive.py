"""`coopetition derive`."""

import pytest

from coopetition.model.presets import MODELS


def test_statements_are_proved(call):
    text = call("coopetition", "derive", "induction_head")
    assert "[proved]" in text and "NOT PROVED" not in text and "slope_u_a" in text
    assert "$$" in call("coopetition", "derive", "induction_head", "--latex")


@pytest.mark.parametrize("command", [("derive",), ("solve", "--model"), ("phases", "--model")])
def test_the_models_that_there_are_can_be_named(call, command):
    error = call("coopetition", *command, "nothing", expect=2)
    assert "invalid choice 'nothing'" in error and str(tuple(MODELS)) in error
