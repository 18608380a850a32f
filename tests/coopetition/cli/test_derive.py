"""`coopetition derive`."""


def test_statements_are_proved(call):
    text = call("coopetition", "derive", "induction_head")
    assert "[proved]" in text and "NOT PROVED" not in text and "slope_u_a" in text
    assert "$$" in call("coopetition", "derive", "induction_head", "--latex")


def test_another_model_is_refused(call):
    assert "model 'nothing' is unknown" in call("coopetition", "derive", "nothing", expect=2)
