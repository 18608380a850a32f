"""The plans of the papers, and plans in TOML files."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from coopetition.tools.errors import UsageError
from transformer.config.run import Scale
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.plans import PLANS, load_plan
from transformer.experiments.presets import PRESETS
from transformer.interventions.attention import Ablate
from transformer.sweeps.train import Train

LACKING = {
    "coopetition": "gpu",
    "coopetition_early": "gpu",
    "within_class": "gpu",
    "clocks": "gpu paper",
}
PLANS_AT = [
    (name, scale)
    for name in PLANS
    for scale in get_args(Scale)
    if scale not in LACKING.get(name, "")
]


@pytest.mark.parametrize(("name", "scale"), PLANS_AT)
def test_no_plan_makes_a_run_twice(name, scale):
    runs = [
        (config.run_id(), node.after, config.n_steps)
        for node in load_plan(name, scale).nodes.values()
        for config in (node.configs.values() if isinstance(node, Train) else ())
    ]
    assert len({*runs}) == len(runs) > 0


def test_a_scale_that_a_plan_or_a_preset_lacks_is_refused():
    for make in (
        lambda: load_plan("coopetition", "gpu"),
        lambda: load_plan("within_class", "gpu"),
        lambda: PRESETS["coopetition/main"].config("gpu"),
    ):
        with pytest.raises(UsageError, match="gpu.*paper, cpu, smoke"):
            make()


@pytest.mark.parametrize("scale", get_args(Scale))
def test_the_transience_plan_trains_the_default_first_and_all_seeds_together(scale):
    plan = load_plan("transience", scale)
    trained = {name: node for name, node in plan.nodes.items() if isinstance(node, Train)}
    first = next(iter(trained.values()))
    assert first.name == "default" and first.description
    assert [*first.configs] == ["init_seed=5", "init_seed=6", "init_seed=7"]
    assert [*plan.nodes][-1] == "transience" and plan.nodes["transience"].needs == (*trained,)
    plan.check_files()
    deep = next(node for node in trained.values() if "depth_12" in (node.name, *node.aliases))
    assert {*first.configs} >= {*deep.configs} >= {"init_seed=5", "init_seed=6"}


@pytest.mark.parametrize("scale", ["paper", "cpu", "smoke"])
def test_each_level_within_classes_has_controls_that_differ_in_the_mode_alone(scale):
    nodes = load_plan("within_class", scale).nodes
    mains = {name.removeprefix("main_"): node for name, node in nodes.items() if "main_" in name}
    assert len(mains) == 12, "four levels, three seeds"
    for name, main in mains.items():
        config = main.configs[""]
        for mode in ("icl_only", "ciwl_only"):
            control = nodes[f"{mode}_{name}"].configs[""]
            assert control.data == replace(config.data, mode=mode)
            same = ("model", "optim", "evaluation", "init_seed", "data_seed", "eval_seed")
            assert all(getattr(control, each) == getattr(config, each) for each in same)
        assert control.n_steps == config.n_steps, "CIWL alone is trained as long as with ICL"


@pytest.mark.parametrize("scale", ["cpu", "smoke"])
def test_the_grid_of_clocks_spans_sixteen_times_both_settings_and_arms_start_from_its_base(scale):
    nodes = load_plan("clocks", scale).nodes
    grid = [node for name, node in nodes.items() if name.startswith("grid_")]
    configs = [config for node in grid for config in node.configs.values()]
    rates = {config.optim.learning_rate for config in configs}
    batches = {config.data.batch_size for config in configs}
    assert min(len(rates), len(batches)) >= 3 and len(configs) >= 27
    assert max(rates) / min(rates) >= 16 and max(batches) / min(batches) >= 16
    assert all(len(node.configs) == 3 for node in grid), "three seeds each"
    demo = PRESETS["demo"].config("cpu")
    first = grid[0].configs["init_seed=5"]
    assert (first.optim, first.model) == (demo.optim, demo.model)
    assert scale == "smoke" or first.data == demo.data
    for seed in (5, 6, 7):
        own = nodes[f"rate_lowered_{seed}"]
        assert own.after == f"{grid[0].name}/init_seed={seed}"
        control = nodes[f"restarted_{seed}"].configs[""]
        changed = replace(own.configs[""], optim=control.optim, evaluation=control.evaluation)
        assert changed.run_id() == control.run_id(), "nothing but the rate differs"
    measured = [nodes[name].needs for name in ("gradients", "sharpness", "weight_norms")]
    assert measured[0] == measured[1] == measured[2]
    assert {*measured[0]} < {node.name for node in grid}


def test_a_run_of_two_figures_has_both_names():
    plan = load_plan("coopetition", "cpu")
    assert plan.nodes["main_6"].aliases == ("seeds_6_2",)
    assert [*plan.select(["seeds_7_2"]).nodes][-1] == "main_7"
    assert plan.nodes["long"].needs == ("features", "main_5")


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
[run_table.norms]
measure = "weight_norms"
of = ["first", "second"]
[model_table.heads]
measures = ["accuracy"]
of = "second"
evaluators = ["flip"]
interventions = [{ Ablate = { heads = ["0:*"] } }]
[model_table.of_one_of_the_pair]
measures = ["accuracy"]
of = "pair/init_seed=8"
[features.drawings]
drawings = { kind = "glyphs", n_classes = 256 }
encoder = { kind = "own", weights = "encoder.safetensors" }
reduction = { components = 64 }
"""


@pytest.fixture
def nodes_of(tmp_path, monkeypatch):
    """Read a plan from text, in a folder with the weights of an encoder."""
    monkeypatch.chdir(tmp_path)
    Path("encoder.safetensors").touch()

    def nodes_of(text, encoding="utf-8"):
        Path("plan.toml").write_text(text, encoding=encoding)
        return load_plan("plan.toml", "cpu").nodes

    return nodes_of


def test_a_toml_file_describes_every_kind_of_node(nodes_of):
    nodes = nodes_of(TOML)
    tables = ["norms", "heads", "of_one_of_the_pair"]
    assert [*nodes] == ["drawings", "first", "second", "pair", "on_features", *tables]
    assert nodes["of_one_of_the_pair"].needs == ("pair",)
    assert nodes["heads"].interventions == (Ablate(heads=("0:*",)),)
    assert (nodes["heads"].steps, nodes["heads"].evaluators) == ("last", ("flip",))
    first, second = (nodes[name].configs[""] for name in ("first", "second"))
    assert (first.init_seed, first.optim.learning_rate, first.data.noise) == (6, 1e-3, 0.5)
    assert (second.start.step, second.frozen) == (100, ("output.0",))
    assert [*nodes["pair"].configs] == ["init_seed=7", "init_seed=8"]
    on_features = nodes["on_features"].configs[""]
    assert type(on_features.data.exemplars) is FeatureConfig
    assert on_features.data.n_trained == on_features.evaluation.n_classes == 256


def test_the_plan_of_the_docs_is_one(nodes_of):
    page = (Path(__file__).parents[3] / "docs" / "trainer.md").read_text()
    text = page.split("```toml\n")[1].split("```")[0]
    nodes = nodes_of(text, encoding="utf-8-sig")  # a byte-order mark is skipped
    assert [*nodes] == ["drawings", "first", "graft", "events", "heads"]
    assert nodes["graft"].needs == ("drawings", "first")
    assert nodes["first"].configs[""].keep == ("2", "last")


RUN = "[run.a]\npreset = 'smoke'"
READ = f"{RUN}\n[model_table.r]\nmeasures = ['accuracy']\nof = 'a'"
PAIR = "[run.p]\npreset = 'smoke'\nvary = { init_seed = [7, 8] }"
FEATURES = "[features.a]\ndrawings = { kind = 'glyphs' }\nencoder ="


def test_a_change_may_be_longer_than_the_name_of_a_folder(nodes_of):
    heads = ("0:0", "0:1", "1:0", "1:1") * 20
    change = f"interventions = [{{ Ablate = {{ heads = {[*heads]} }} }}]"
    nodes = nodes_of(f"{RUN}\nchange = {{ {change} }}")
    assert nodes["a"].configs[""].interventions == (Ablate(heads=heads),)


@pytest.mark.parametrize(
    ("text", "place", "name"),
    [
        ("[run", "", "TOML"),
        ("[run.a]\npreset = 'nothing'", "run.a", "'nothing'"),
        ("[run.a]\nchange = {}", "run.a", "preset"),
        ("[runs.a]", "", "'runs'"),
        ("run = 3", "run", "3"),
        ("[run]\na = 3", "run.a", "3"),
        (f"{RUN}\nafter = 3", "run.a", "after"),
        (f"{RUN}\nwhat = 'a'", "run.a", "description"),
        (f"{RUN}\nchange = {{ optim.rate = 1 }}", "run.a", "optim.rate"),
        (f"{RUN}\nchange = {{ init_seed = 1979-05-27 }}", "run.a", "1979-05-27"),
        (f"{RUN}\nvary = {{ init_seed = [] }}", "run.a", "init_seed"),
        (f"{RUN}\nvary = {{ init_seed = 7 }}", "run.a", "init_seed"),
        (f"{RUN}\nvary = {{ init_seed = [7, 7] }}", "run.a", "init_seed=7"),
        (f"{RUN}\nafter = 'b'", "a", "b"),
        ("[run_table.m]\nmeasure = 'events'\nof = 'a'", "run_table.m", "of"),
        (f"{READ}\nsteps = 'first'", "model_table.r", "'first'"),
        (f"{READ}\nevaluators = ['x']", "r", "'x'"),
        (f"{READ}\ninterventions = ['Ablate']", "model_table.r", "'Ablate'"),
        (f"{READ}\ninterventions = [{{ Ablate = {{ heads = ['2:0'] }} }}]", "", "'2:0'"),
        ("[model_table.r]\nof = 'a'", "model_table.r", "measures"),
        (f"{READ}\n{PAIR}".replace("of = 'a'", "of = 'p'"), "r", "p/init_seed=7, p/init_seed=8"),
        (f"{FEATURES} 3", "features.a", "encoder"),
        (f"{FEATURES} {{ side = 3 }}", "features.a", "resnet18"),
        (f"{FEATURES} {{ kind = 'own', weights = 'nowhere' }}", "features.a", "'nowhere'"),
    ],
)
def test_a_mistake_in_toml_is_reported_with_file_and_node(nodes_of, text, place, name):
    with pytest.raises(UsageError) as error:
        nodes_of(text)
    message = str(error.value)
    assert message.startswith(f"plan plan.toml: {place}") or name == "TOML"
    assert name in message and "\n" not in message
