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
from coopetition.model.presets import named_model, two_strategies
from coopetition.tools.files import write_npz

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
