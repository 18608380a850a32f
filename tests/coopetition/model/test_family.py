"""The family of models: presets, relatives by rates and clamps, and graphs that are refused."""

import math

import numpy as np
import pytest

from coopetition import (
    Cost,
    InitialState,
    Mechanism,
    Model,
    UsageError,
    random_draw,
    read_draw,
    solve,
)
from coopetition.model.presets import MODELS, named_dims, named_model, no_sharing, two_strategies
from coopetition.tools.files import write_npz
from tests.properties import definition

AB = Mechanism("m", ("a", "b"), 0.0)
SMALL = {"a": 3, "b": 2, "c": 4, "d": 5}


@pytest.mark.parametrize(
    "arguments",
    [
        (("a",), ()),
        (("a", "b", "z"), (AB,)),
        (("a", "b", "a"), (AB,)),
        (("a", "b"), (AB, AB)),
        (("a", "b"), (Mechanism("total", ("a", "b"), 0.0),)),
        (("a", "b"), (AB,), (Cost("k", ("a", "q"), 1.0),)),
        (("a", "b"), (Mechanism("m-1", ("a", "b"), 0.0),)),
        (("a", "b"), (Mechanism("m", (), 0.0),)),
        (("a", "b"), (Mechanism("m", ("a", "a"), 0.0),)),
        (("a", "b"), (AB,), (), "median"),
        (("a", "b"), (AB,), (), "mean", (1.0,)),
        (("a", "b"), (AB,), (), "mean", (1.0, np.nan)),
    ],
)
def test_graphs_that_make_no_sense_are_refused(arguments):
    with pytest.raises(UsageError):
        Model(*arguments)


def test_names_and_parameters_are_checked():
    for mistake in (
        lambda: Mechanism("m", ("a", "b"), -1.0),
        lambda: Cost("k", ("a", "b"), -2.0),
        lambda: Cost("k", ("a",), 1.0),
        lambda: named_model("one"),
        lambda: named_model("induction_head", alpha=1.0),
        lambda: two_strategies().mechanism("iwl"),
        lambda: two_strategies().with_clamped("z"),
    ):
        with pytest.raises(UsageError):
            mistake()


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["alpha", "mu1", "mu2"])
def test_model_parameters_must_be_finite_and_not_negative(name, value):
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        two_strategies(**{name: value})


@pytest.mark.parametrize("name", MODELS)
def test_every_named_model_can_be_solved(name):
    model = named_model(name)
    trajectory = solve(model, random_draw(0, named_dims(model)), t1=20.0)
    assert set(trajectory.losses) == {"total"} | {part.name for part in model.parts}


def test_clamped_factors_stay_and_others_move():
    trajectory = solve(two_strategies().with_clamped("b", "d"), random_draw(0, SMALL), t1=10.0)
    assert (np.ptp(trajectory.overlap, axis=1) > 0).tolist() == [True, False, True, False]


def test_a_model_without_sharing_is_two_models():
    """Without competition, a mechanism's factors depend on the other's error and on no more."""
    model = no_sharing(alpha=0.0)
    draw = random_draw(0, dict.fromkeys("abcdfg", 3))
    slope = definition.gradient(model, draw, draw.initial)
    other = definition.gradient(model, draw, draw.initial | {"d": 2 * draw.initial["d"]})
    for x, y in ((slope[name], other[name]) for name in "abc"):
        # the direction is the same, the size is scaled by L2 + mu2
        assert x @ y == pytest.approx(np.linalg.norm(x) * np.linalg.norm(y))


def test_sum_and_mean_differ_by_the_number_of_entries():
    models = Model(("a", "b"), (AB,)), Model(("a", "b"), (AB,), convention="sum")
    draw = random_draw(0, {"a": 3, "b": 5})
    mean, total = (definition.losses(model, draw, draw.initial)["m"] for model in models)
    assert total == pytest.approx(15 * mean)


def test_initial_states_are_checked():
    good = random_draw(0, SMALL)
    three = {name: good.target[name] for name in "abc"}
    for mistake in (
        lambda: random_draw(0, SMALL | {"b": 0}),
        lambda: InitialState(good.initial | {"a": np.full(3, np.nan)}, good.target),
        lambda: InitialState(good.initial | {"a": np.ones(2)}, good.target),
        lambda: InitialState(good.initial, good.target | {"c": np.zeros(4)}),
        lambda: solve(two_strategies(), InitialState(three, three)),
    ):
        with pytest.raises(UsageError):
            mistake()


def test_draws_are_read_as_they_were_written(tmp_path):
    draw = random_draw(5, SMALL)
    arrays = {f"seed4/initial/{k}": v for k, v in draw.initial.items()}
    arrays |= {f"seed4/target/{k}": v for k, v in draw.target.items()}
    write_npz(tmp_path / "draws.npz", **arrays)
    again = read_draw(tmp_path / "draws.npz", 4)
    np.testing.assert_equal(again.target, draw.target)
    np.testing.assert_equal(again.initial, draw.initial)
    (tmp_path / "text.npz").write_text("not an archive")
    for name, seed in (("draws.npz", 3), ("text.npz", 0)):
        with pytest.raises(UsageError, match=name):
            read_draw(tmp_path / name, seed)
