"""The family: named models, relatives by rates and clamps, and graphs that are refused."""

import numpy as np
import pytest

from coopetition import Cost, Mechanism, Model, random_draw, solve
from coopetition.model.presets import MODELS, named_dims, named_model, no_sharing, two_strategies
from coopetition.tools.errors import UsageError
from tests.properties import definition

AB = Mechanism("m", ("a", "b"), 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("a",), ()), "no mechanism"),
        ((("a", "b", "z"), (AB,)), r"no mechanism uses the factors \['z'\]"),
        ((("a", "b", "a"), (AB,)), "more than one factor is named a"),
        ((("a", "b"), (AB, AB)), "more than one mechanism or cost is named m"),
        ((("a", "b"), (Mechanism("total", ("a", "b"), 0.0),)), "named total"),
        ((("a", "b"), (AB,), (Cost("k", ("a", "q"), 1.0),)), "k uses the factors"),
        ((("a", "b"), (Mechanism("m-1", ("a", "b"), 0.0),)), "named 'm-1'; choose letters"),
        ((("a", "b"), (AB,), (), "median"), "convention 'median' is unknown"),
        ((("a", "b"), (AB,), (), "mean", (1.0,)), "1 rates for the factors"),
        ((("a", "b"), (AB,), (), "mean", (1.0, np.nan)), "rate of factor b is nan"),
    ],
)
def test_graphs_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        Model(*arguments)


def test_names_and_parameters_are_checked():
    with pytest.raises(UsageError, match=r"mu of mechanism m is -1\.0"):
        Mechanism("m", ("a", "b"), -1.0)
    with pytest.raises(UsageError, match=r"alpha of cost k is -2\.0"):
        Cost("k", ("a", "b"), -2.0)
    with pytest.raises(UsageError, match="choose two"):
        Cost("k", ("a",), 1.0)
    with pytest.raises(UsageError, match="model 'one' is unknown; choose one of two_strategies"):
        named_model("one")
    with pytest.raises(UsageError, match="induction_head has no alpha; its parameters are mu1"):
        named_model("induction_head", alpha=1.0)
    with pytest.raises(UsageError, match="no mechanism 'iwl'"):
        two_strategies().mechanism("iwl")
    with pytest.raises(UsageError, match=r"unknown factors \['z'\]"):
        two_strategies().with_clamped("z")


@pytest.mark.parametrize("name", MODELS)
def test_every_named_model_can_be_solved(name):
    model = named_model(name)
    trajectory = solve(model, random_draw(0, named_dims(model)), t1=20.0)
    assert set(trajectory.losses) == {"total"} | {
        part.name for part in (*model.mechanisms, *model.costs)
    }


def test_clamped_factors_stay_and_others_move():
    model = two_strategies().with_clamped("b", "d")
    trajectory = solve(model, random_draw(0, {"a": 3, "b": 3, "c": 3, "d": 3}), t1=10.0)
    moved = np.ptp(trajectory.overlap, axis=1) > 0
    assert moved.tolist() == [True, False, True, False]


def test_a_model_without_sharing_is_two_models():
    """Without competition, a mechanism's factors feel the other's error and nothing else of it."""
    draw = random_draw(0, dict.fromkeys("abcdfg", 3))
    slope = definition.gradient(no_sharing(alpha=0.0), draw, draw.initial)
    moved = dict(draw.initial) | {"d": 2 * draw.initial["d"]}
    other = definition.gradient(no_sharing(alpha=0.0), draw, moved)
    for name in "abc":  # the direction is the same, the size is scaled by L2 + mu2
        cosine = (
            slope[name] @ other[name] / np.linalg.norm(slope[name]) / np.linalg.norm(other[name])
        )
        assert cosine == pytest.approx(1)


def test_sum_and_mean_differ_by_the_number_of_entries():
    mean = Model(("a", "b"), (AB,))
    total = Model(("a", "b"), (AB,), convention="sum")
    draw = random_draw(0, {"a": 3, "b": 5})
    a, b = (definition.losses(model, draw, draw.initial)["m"] for model in (mean, total))
    assert b == pytest.approx(15 * a)
