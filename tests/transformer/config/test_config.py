"""Configs: what is refused, their JSON, and the ids of runs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.tools.errors import UsageError, UserError
from transformer.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    to_dict,
)
from transformer.config.plain import difference
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.experiments.presets import PRESETS
from transformer.runs.folder import create_run, load_run
from transformer.training.machine import Machine

KEPT = json.loads((Path(__file__).parents[3] / "paper_figures/data/index.json").read_text())

exemplars = st.one_of(
    st.builds(GlyphConfig, seed=st.integers(0, 99), jitter=st.floats(0, 1)),
    st.builds(OmniglotConfig, path=st.text(max_size=5), n_exemplars=st.integers(5, 20)),
)
configs = st.builds(
    RunConfig,
    model=st.builds(ModelConfig, n_layers=st.integers(1, 12)),
    data=st.builds(DataConfig, exemplars=exemplars, context=st.sampled_from([2, 4, 8])),
    optim=st.builds(OptimConfig, learning_rate=st.floats(0, 1)),
    n_steps=st.integers(1, 10**8),
    init_seed=st.integers(3, 2**31),
)
values = st.none() | st.integers(0, 3) | st.lists(st.integers(0, 1), max_size=2).map(tuple)
tables = st.recursive(
    st.dictionaries(st.sampled_from("abc"), values, min_size=1),
    lambda inner: st.dictionaries(st.sampled_from("abc"), values | inner, min_size=1),
    max_leaves=5,
)


@given(tables, tables)
def test_a_difference_is_found_where_there_is_one(one, other):
    kept = json.loads(json.dumps(one))
    assert difference(one, kept) == difference(kept, one) == ""
    assert bool(difference(one, other)) == bool(difference(other, one))
    assert difference(one | {"d": 4}, one) == "d=4, not None"
    assert difference({"x": one}, {"x": one | {"d": 4}}) == "x.d=None, not 4"


# --- JSON and ids


def read_back(config):
    return RunConfig.from_dict(json.loads(json.dumps(to_dict(config))))


@given(configs)
def test_configs_survive_json(config):
    assert read_back(config) == config
    assert read_back(config).run_id() == config.run_id()
    assert replace(config, n_steps=7).run_id() == config.run_id(), "not of the length"
    assert replace(config, init_seed=2).run_id() != config.run_id()


@pytest.mark.parametrize("number", range(len(KEPT)))
def test_kept_runs_have_the_ids_that_their_configs_give(number):
    config = RunConfig.from_dict(KEPT[number]["config"])
    assert config.run_id() == KEPT[number]["run_id"] == read_back(config).run_id()


def test_the_run_id_does_not_depend_on_paths():
    base = PRESETS["omniglot"].config("cpu")
    assert base.with_exemplars(path="elsewhere").run_id() == base.run_id()


def test_a_field_that_is_newer_than_a_run_leaves_its_id():
    base = PRESETS["glyphs"].config("cpu")
    older = to_dict(base)
    del older["data"]["mode"]
    assert RunConfig.from_dict(older) == base
    other = replace(base, data=replace(base.data, mode="icl_only"))
    assert other.run_id() != base.run_id() and read_back(other) == other


# --- what is refused


def few(**fields):
    return DataConfig(exemplars=GlyphConfig(**fields))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: ModelConfig(n_heads=7), "n_heads=7"),
        (lambda: ModelConfig(n_layers=0), "n_layers=0"),
        (lambda: DataConfig(mode="all"), "'all'"),
        (lambda: DataConfig(context=4, burstiness=3), "burstiness=3"),
        (lambda: few(n_classes=1), "exemplars.n_classes=1"),
        (lambda: replace(few(), held_out=99999), "held_out=99999"),
        (lambda: GlyphConfig(jitter=float("nan")), "jitter=nan"),
        (lambda: OmniglotConfig(n_classes=12801), "n_classes=12801"),
        (lambda: OmniglotConfig(n_exemplars=21), "n_exemplars=21"),
        (lambda: OptimConfig(learning_rate=float("inf")), "learning_rate=inf"),
        (lambda: OptimConfig(beta2=1.0), "beta2=1.0"),
        (lambda: OptimConfig(rate_factors=(("labels", 0.0),)), "rate_factors of labels is 0.0"),
        (lambda: RunConfig(optim=OptimConfig(rate_factors=(("mlp", 3.0),))), "rate_factors"),
        (lambda: OptimConfig(epsilon=0.0), "epsilon=0.0"),
        (lambda: EvaluationConfig(every=0), "every=0"),
        (lambda: RunConfig(n_steps=0), "n_steps=0"),
        (lambda: RunConfig(init_seed=-1), "init_seed=-1"),
        (lambda: RunConfig(data_seed=10**30), "data_seed=1"),
        (lambda: RunConfig(checkpoint_at=(-1, 5)), "checkpoint_at=(-1, 5)"),
        (lambda: RunConfig(frozen=("all",)), "'all'"),
        (lambda: RunConfig(frozen=("foo",)), "'foo'; choose from embeddings"),
        (lambda: RunConfig(n_steps=10**20), "n_steps=1"),
        (lambda: RunConfig().with_exemplars(side=28), "'side'"),
        (
            lambda: RunConfig(data=few(n_classes=9), evaluation=EvaluationConfig(n_classes=16)),
            "evaluation.n_classes=16",
        ),
        (
            lambda: RunConfig(data=few(n_exemplars=2), evaluation=EvaluationConfig(n_exemplars=5)),
            "evaluation.n_exemplars=5",
        ),
        (
            lambda: RunConfig(data=DataConfig(context=8), evaluation=EvaluationConfig(n_classes=8)),
            "evaluation.n_classes=8",
        ),
    ],
)
def test_unfit_values_are_named_in_one_line(make, problem):
    with pytest.raises(UsageError) as caught:
        make()
    assert problem in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda m: m.update(format=99), "99"),
        (lambda m: m["config"].pop("model"), "model"),
        (lambda m: m["config"].pop("n_steps"), "n_steps"),
        (lambda m: m["config"].update(surprise=1), "surprise"),
        (lambda m: m["config"].update(n_steps="many"), "config.n_steps='many'"),
        (lambda m: m["config"].update(n_steps=True), "config.n_steps=True"),
        (lambda m: m["config"]["model"].update(positions="up"), "config.model.positions='up'"),
        (lambda m: m["config"]["optim"].update(beta1=10**400), "config.optim.beta1"),
        (lambda m: m["config"].update(keep=["all"]), "config.keep"),
        (lambda m: m["config"]["data"].update(exemplars=3), "config.data.exemplars=3"),
        (lambda m: m["config"]["data"].update(mode="all"), "data mode 'all'"),
        (lambda m: m["config"]["data"]["exemplars"].update(kind="X"), "'X'.*glyphs"),
        (lambda m: m.pop("threads"), "threads"),
        (lambda m: m.clear(), "manifest.json"),
    ],
)
def test_spoilt_manifests_are_refused(tmp_path, tiny, spoil, problem):
    path = create_run(tmp_path / "run", tiny, Machine("cpu", 1, "eager")).path / "manifest.json"
    manifest = json.loads(path.read_text())
    spoil(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=problem) as caught:
        load_run(path.parent)
    assert "\n" not in str(caught.value)


def test_sizes_of_evaluators_follow_the_data_unless_they_are_given():
    def sizes(config):
        return config.evaluation.n_classes, config.evaluation.n_exemplars

    whole = RunConfig()
    few = whole.with_exemplars(n_classes=100, n_exemplars=3)
    again = replace(few, evaluation=replace(few.evaluation, every=7)).with_exemplars(
        n_classes=12800, n_exemplars=20
    )
    assert (sizes(whole), sizes(few), sizes(again)) == ((1600, 5), (100, 3), (1600, 5))
    fixed = replace(whole, evaluation=EvaluationConfig(n_classes=50))
    assert sizes(fixed.with_exemplars(n_classes=100)) == (50, 5)
    with pytest.raises(UsageError, match="n_classes=50"):
        fixed.with_exemplars(n_classes=40)
    assert read_back(few) == few
