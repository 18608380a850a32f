"""Graphs that hold together, and what is said of those that do not."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import tiny_config
from transformer.config import StartConfig
from transformer.config.scale import Scale
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.plans import load_plan
from transformer.sweeps.estimate import makespan
from transformer.sweeps.measure import Measure
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

TINY = tiny_config()
FIRST = Train(name="first", config=TINY)


def start(step: int, name: str = "second", after: str = "first") -> Train:
    return Train(name=name, config=replace(TINY, start=StartConfig(step=step)), after=after)


PAIR = Train(name="pair", config={"a": TINY, "b": replace(TINY, init_seed=6)})
SHORT = start(10, "short", "pair/a")
LONG = replace(
    SHORT, name="long", longer_than="short", config=replace(SHORT.configs[""], n_steps=80)
)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "the plan has no nodes"),
        ([start(10)], "second needs first, which is not in the plan"),
        ([FIRST, FIRST], "two nodes are called first; rename one"),
        (
            [start(10, "a", "b"), start(10, "b", "c"), start(10, "c", "a")],
            r"a circle: (\w -> ){3}\w; take",
        ),
        ([FIRST, start(11)], "step 11 of first, which keeps no checkpoint of it"),
        ([FIRST, start(50)], "step 50 of first, which keeps no checkpoint of it"),
        ([replace(FIRST, config=replace(TINY, keep=("1", "last"))), start(10)], "step 10 of first"),
        ([FIRST, start(10, after="first/pair")], "starts from first/pair; choose one of first"),
        ([Train(name="a/b", config=TINY)], "the node name 'a/b' is no folder's"),
        ([FIRST, Measure(name="m", measure="nothing", of=("first",))], "measure 'nothing'"),
        (
            [FIRST, Measure(name="m", measure="events", of=("first",)), start(10, after="m")],
            "second starts from m, which trains nothing",
        ),
        ([FIRST, replace(start(10), exemplars="first", after="")], "takes exemplars from first"),
        ([FIRST, replace(FIRST, name="b", longer_than="first")], "not the same single run, but"),
        ([PAIR, SHORT, replace(LONG, after="pair/b")], "long goes on with short, which is not the"),
        (
            [PAIR, SHORT, LONG, start(20, after="long")],
            "step 20 of long, which begins at the end of short; start from that",
        ),
        ([FIRST, Measure(name="m", measure="events", of=())], "m measures no runs; name some"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(nodes, message):
    with pytest.raises(UsageError, match=message) as told:
        Plan(nodes)
    assert "\n" not in str(told.value)


def test_a_selection_brings_what_it_needs():
    plan = Plan([FIRST, start(10), start(20, "third"), start(10, "fourth", "third")])
    assert [*plan.select(["fo*"]).nodes] == ["first", "third", "fourth"]
    with pytest.raises(UsageError, match="--only nothing: no node of that name"):
        plan.select(["nothing"])


def test_nodes_stand_after_what_they_need_and_else_as_given():
    plan = Plan([start(10), FIRST, start(20, "third")])
    assert [*plan.nodes] == ["first", "second", "third"]


@pytest.mark.parametrize("scale", get_args(Scale))
@pytest.mark.parametrize("name", ["coopetition", "transience"])
def test_the_papers_plans_hold_together_and_make_no_run_twice(name, scale):
    plan = load_plan(name, scale)
    seen = set()
    for node in plan.nodes.values():
        if isinstance(node, Train):
            key = node.configs[""].run_id(), node.after, node.configs[""].n_steps
            assert key not in seen, node.name
            seen.add(key)


def test_a_run_that_two_figures_show_has_both_names():
    plan = load_plan("coopetition", "cpu")
    assert plan.nodes["main_6"].also == ("seeds_6_2",)
    assert [*plan.select(["seeds_7_2"]).nodes][-1] == "main_7"
    assert plan.nodes["long"].needs == ("features", "main_5")


def test_the_time_of_a_graph_is_that_of_its_longest_chain_or_of_all_processes():
    graph = {"a": (), "b": ("a",), "c": (), "d": ()}
    lengths = {"a": 3.0, "b": 4.0, "c": 1.0, "d": 1.0}
    assert makespan(graph, lengths, 1) == 9
    assert makespan(graph, lengths, 4) == 7


def test_what_is_longer_may_go_on_with_what_is_longer():
    config = replace(SHORT.configs[""], n_steps=120)
    longest = replace(LONG, name="longest", longer_than="long", config=config)
    assert [*Plan([longest, LONG, SHORT, PAIR]).nodes] == ["pair", "short", "long", "longest"]


def test_files_are_given_for_what_wants_them(tmp_path):
    plan = Plan([FIRST, Train(name="open", config=TINY.with_kind(FeatureConfig))])
    with pytest.raises(UsageError, match="open wants a file of features; give it by --data feat"):
        plan.check_files()
    for kind, path, message in (
        ("omniglot", tmp_path, r"--data omniglot: the plan wants no such file \(it wants features"),
        ("features", tmp_path / "no.npy", r"--data features .*no.npy: there is no such file"),
    ):
        with pytest.raises(UsageError, match=message):
            plan.with_files({kind: path})
    np.save(tmp_path / "some.npy", np.zeros((20, 4, 3), np.float32))
    plan.with_files({"features": tmp_path / "some.npy"}).check_files()


def test_toml(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        """
[run.first]
preset = "smoke"
change = { init_seed = 6, "optim.learning_rate" = 1e-3 }
[run.second]
preset = "smoke"
after = "first"
change = { "start.step" = 100, "start.parts" = ["output.0"], frozen = ["output.0"] }
[run.pair]
preset = "smoke"
vary = { init_seed = [7, 8] }
[measure.norms]
measure = "weight_norms"
of = ["first", "second"]
[features.drawings]
drawings = { kind = "glyphs", n_classes = 256 }
encoder = { kind = "own", weights = "encoder.safetensors" }
reduction = { components = 64 }
"""
    )
    nodes = load_plan(str(path), "cpu").nodes
    assert [*nodes] == ["first", "second", "pair", "norms", "drawings"]
    first, second = (nodes[name].configs[""] for name in ("first", "second"))
    assert (first.init_seed, first.optim.learning_rate) == (6, 1e-3)
    assert (second.start.step, second.frozen) == (100, ("output.0",))
    assert [*nodes["pair"].configs] == ["init_seed=7", "init_seed=8"]
    for text, message in (
        ("[run.a]\npreset = 'nothing'", "preset 'nothing' is not of this package"),
        ("[run.a]\nchange = {}", "a lacks 'preset'"),
        ("[runs.a]", "has 'runs'; choose of features, measure, run"),
        ("[run", "is no TOML"),
        ("[features.a]\ndrawings = { kind = 'glyphs' }\nencoder = 3", "expected a table"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            load_plan(str(path), "cpu")
