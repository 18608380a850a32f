"""Graphs that hold together, and what is said of those that do not."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import tiny_config
from transformer.config import StartConfig
from transformer.config.run import Scale
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.plans import PLANS, load_plan
from transformer.interventions.attention import Ablate
from transformer.interventions.grafts import GraftOut
from transformer.sweeps.measure import Measure, Readings
from transformer.sweeps.plan import Plan
from transformer.sweeps.report import makespan
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


PLANS_AT = [
    (name, scale)
    for name in PLANS
    for scale in get_args(Scale)
    if scale != "gpu" or name.startswith("transience")
]


@pytest.mark.parametrize(("name", "scale"), PLANS_AT)
def test_the_papers_plans_hold_together_and_make_no_run_twice(name, scale):
    plan = load_plan(name, scale)
    seen = set()
    for node in plan.nodes.values():
        for config in node.configs.values() if isinstance(node, Train) else ():
            key = config.run_id(), node.after, config.n_steps
            assert key not in seen, node.name
            seen.add(key)


@pytest.mark.parametrize("name", ["coopetition", "within_class"])
def test_a_scale_that_a_plan_lacks_is_refused(name):
    with pytest.raises(UsageError, match="gpu.*choose one of smoke, cpu, paper"):
        load_plan(name, "gpu")


@pytest.mark.parametrize("scale", get_args(Scale))
def test_the_transience_plan_trains_the_default_first_and_all_seeds_as_one(scale):
    plan = load_plan("transience", scale)
    trained = {name: node for name, node in plan.nodes.items() if isinstance(node, Train)}
    first = next(iter(trained.values()))
    assert first.name == "default" and first.what
    assert [*first.configs] == ["init_seed=5", "init_seed=6", "init_seed=7"]
    assert [*plan.nodes][-1] == "transience" and plan.nodes["transience"].needs == (*trained,)
    plan.check_files()
    deep = next(each for each in trained.values() if "depth_12" in (each.name, *each.also))
    assert {*first.configs} >= {*deep.configs} >= {"init_seed=5", "init_seed=6"}


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


READ = "[run.a]\npreset = 'smoke'\n[readings.r]\nmeasures = ['accuracy']\nof = 'a'"
TOML = """
[run.first]
preset = "smoke"
change = { init_seed = 6, "optim.learning_rate" = 1e-3, data.noise = 0.5 }
[run.second]
preset = "smoke"
after = "first"
change = { "start.step" = 100, "start.parts" = ["output.0"], frozen = ["output.0"] }
[run.pair]
preset = "smoke"
vary = { init_seed = [7, 8] }
[run.on_features]
preset = "quick"
exemplars = "drawings"
[measure.norms]
measure = "weight_norms"
of = ["first", "second"]
[readings.heads]
measures = ["accuracy"]
of = "second"
evaluators = ["flip"]
interventions = [{ Ablate = { heads = ["0:*"] } }]
[features.drawings]
drawings = { kind = "glyphs", n_classes = 256 }
encoder = { kind = "own", weights = "encoder.safetensors" }
reduction = { components = 64 }
"""


def test_toml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("encoder.safetensors").touch()
    Path("plan.toml").write_text(TOML)
    nodes = load_plan("plan.toml", "cpu").nodes
    assert [*nodes] == ["drawings", "first", "second", "pair", "on_features", "norms", "heads"]
    assert nodes["heads"].interventions == (Ablate(heads=("0:*",)),)
    assert (nodes["heads"].steps, nodes["heads"].evaluators) == ("last", ("flip",))
    first, second = (nodes[name].configs[""] for name in ("first", "second"))
    assert (first.init_seed, first.optim.learning_rate, first.data.noise) == (6, 1e-3, 0.5)
    assert (second.start.step, second.frozen) == (100, ("output.0",))
    assert [*nodes["pair"].configs] == ["init_seed=7", "init_seed=8"]
    featured = nodes["on_features"].configs[""]
    assert type(featured.data.exemplars) is FeatureConfig and featured.data.n_trained == 256
    assert featured.evaluation.n_classes == 256


def test_the_plan_of_the_docs_holds_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "trainer.md").read_text()
    Path("plan.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    Path("encoder.safetensors").touch()
    nodes = load_plan("plan.toml", "cpu").nodes
    assert [*nodes] == ["drawings", "first", "graft", "events", "heads"]
    assert nodes["graft"].needs == ("drawings", "first")
    assert nodes["first"].configs[""].keep == ("2", "last")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run.a]\npreset = 'nothing'", "run.a: unknown preset 'nothing'"),
        ("[run.a]\nchange = {}", "run.a: preset is missing; give it"),
        ("[runs.a]", "'runs' is unknown here; choose of features, measure, readings, run"),
        ("run = 3", "run is 3; expected a table"),
        ("[run]\na = 3", "run.a: a is 3; expected a table"),
        ("[run.a]\npreset = 'smoke'\nafter = 3", "run.a: after is 3; expected a text"),
        (
            "[run.a]\npreset = 'smoke'\nchange = { optim.rate = 1 }",
            "run.a: optim.rate: there is no such field; name one as in optim.learning_rate",
        ),
        (
            "[run.a]\npreset = 'smoke'\nchange = { init_seed = 1979-05-27 }",
            "run.a: config.init_seed='1979-05-27'; expected int",
        ),
        (
            "[run.a]\npreset = 'smoke'\nvary = { init_seed = [] }",
            "run.a: vary gives init_seed no values; give some",
        ),
        ("[run.a]\npreset = 'smoke'\nvary = { init_seed = 7 }", "init_seed is 7; expected a list"),
        (
            "[run.a]\npreset = 'smoke'\nvary = { init_seed = [7, 7] }",
            "run.a: that makes the run init_seed=7 twice; give each value once",
        ),
        ("[run.a]\npreset = 'smoke'\nafter = 'b'", "a needs b, which is not in the plan"),
        ("[measure.m]\nmeasure = 'events'\nof = 'a'", "measure.m: of is 'a'; expected a list"),
        (f"{READ}\nsteps = 'first'", "readings.r: steps='first'; choose one of all, spaced"),
        (f"{READ}\nevaluators = ['x']", "r: evaluator 'x' is not among those of a: train, icl"),
        (f"{READ}\ninterventions = ['Ablate']", "r: interventions has 'Ablate'; expected an obj"),
        (
            f"{READ}\ninterventions = [{{ Ablate = {{ heads = ['2:0'] }} }}]",
            "Ablate: there is no head '2:0'",
        ),
        ("[readings.r]\nof = 'a'", "readings.r: measures is missing; give it"),
        (
            "[features.a]\ndrawings = { kind = 'glyphs' }\nencoder = 3",
            "features.a: encoder is 3; expected a table",
        ),
        (
            "[features.a]\ndrawings = { kind = 'glyphs' }\nencoder = { side = 3 }",
            "features.a: encoder says no kind; choose one of efficientnet, own, resnet18",
        ),
        (
            "[features.a]\ndrawings = { kind = 'glyphs' }\n"
            "encoder = { kind = 'own', weights = 'nowhere' }",
            "features.a: encoder.weights='nowhere' is no file; give that of the encoder's weights",
        ),
    ],
)
def test_a_mistake_in_toml_is_told_with_file_and_node(tmp_path, text, message):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as told:
        load_plan(str(path), "cpu")
    assert str(told.value).startswith(f"plan {path}: ") and message in str(told.value)


def test_toml_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "plan.toml").write_text('[run.first]\npreset = "smoke"', encoding="utf-8-sig")
    assert list(load_plan(str(tmp_path / "plan.toml"), "cpu").nodes) == ["first"]


def test_what_is_no_toml_is_told_in_a_line(tmp_path):
    (tmp_path / "plan.toml").write_text("[run")
    with pytest.raises(UsageError, match="is no TOML"):
        load_plan(str(tmp_path / "plan.toml"), "cpu")


def test_readings_of_a_model_are_a_node_like_others(tmp_path):
    """Under a graft from a run of the plan, too; and done only while their run is what it was."""
    config = replace(tiny_config(), n_steps=8, checkpoint_every=4)
    readings = Readings(
        name="swapped",
        measures=("accuracy",),
        of="run",
        steps="all",
        evaluators=("flip",),
        interventions=(GraftOut(checkpoint="other", from_=0),),
    )
    other = Train(name="other", config=replace(config, init_seed=6))
    plan = Plan([Train(name="run", config=config), other, readings])
    assert plan.graph()["swapped"] == ("run", "other")
    for node in plan.nodes.values():
        assert not node.is_done(tmp_path)
        node.work(tmp_path, "cpu", 1)
        assert node.is_done(tmp_path)
    lines = (tmp_path / "swapped" / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 4 and lines[1].split(",")[3] == "flip"
    assert not replace(readings, evaluators=("icl",)).is_done(tmp_path)
    with pytest.raises(UsageError, match="swapped measures nowhere, which is not|needs nowhere"):
        Plan([*plan.nodes.values(), replace(readings, name="again", of="nowhere")])


def test_an_ensemble_that_was_killed_while_it_was_made_is_made_anew(tmp_path):
    """At any of its moments: a run's folder, its lock, its manifest."""
    config = replace(tiny_config(), n_steps=4)
    node = Train(name="pair", config={"a": config, "b": replace(config, init_seed=6)})
    (tmp_path / "pair" / "a").mkdir(parents=True)
    (tmp_path / "pair" / "a" / "manifest.json").write_text("{}")
    (tmp_path / "pair" / "b").mkdir()
    (tmp_path / "pair" / "b" / ".lock").touch()
    node.work(tmp_path, "cpu", 1)
    assert node.is_done(tmp_path)
