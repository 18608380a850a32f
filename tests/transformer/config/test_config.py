"""Configs: what is refused, and that they last."""

import json
from dataclasses import replace

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
def test_a_difference_is_told_where_there_is_one(one, other):
    kept = json.loads(json.dumps(one))
    assert difference(one, kept) == difference(kept, one) == ""
    assert bool(difference(one, other)) == bool(difference(other, one))
    changed = one | {"d": 4}
    assert difference(changed, one) == "d=4, not None"
    assert difference({"x": one}, {"x": changed}) == "x.d=None, not 4"


@given(configs)
def test_configs_survive_json(config):
    again = RunConfig.from_dict(json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert again.run_id() == config.run_id()


def test_the_run_id_depends_on_numbers_not_on_paths():
    base = PRESETS["omniglot"].make("cpu")

    def at(path):
        return replace(base, data=replace(base.data, exemplars=OmniglotConfig(path=path)))

    assert at("here").run_id() == at("there").run_id()
    assert replace(base, n_steps=7).run_id() == base.run_id(), "nor on its length"
    assert replace(base, init_seed=6).run_id() != base.run_id()


def test_a_setting_that_was_added_leaves_older_runs_as_they_were():
    base = PRESETS["glyphs"].make("cpu")
    older = to_dict(base)
    del older["data"]["mode"]
    assert RunConfig.from_dict(older) == base
    assert base.run_id() == "03b1fdf2c880", "the id of the kept runs' config"
    other = replace(base, data=replace(base.data, mode="icl_only"))
    assert other.run_id() != base.run_id()
    assert RunConfig.from_dict(to_dict(other)) == other


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelConfig(n_heads=7), "n_heads=7 does not divide d_model=64"),
        (lambda: ModelConfig(n_layers=0), "n_layers=0"),
        (
            lambda: DataConfig(mode="all"),
            "unknown data mode 'all'",
        ),
        (lambda: DataConfig(mode="icl_only", distractor=False), "leave distractor on"),
        (
            lambda: DataConfig(mixture=(("bursty", 0.5), ("bursty", 0.5))),
            "names a mode twice",
        ),
        (lambda: RunConfig(checkpoint_at=(-1, 5)), "checkpoint_at=(-1, 5) names a step before"),
        (lambda: RunConfig(frozen=("all",)), "frozen names the part 'all'"),
        (
            lambda: DataConfig(exemplars=GlyphConfig(n_classes=2), mode="ciwl_only"),
            "exemplars.n_classes=2 is fewer",
        ),
        (lambda: DataConfig(context=4, burstiness=3), "context=4 is too short for burstiness=3"),
        (lambda: DataConfig(exemplars=GlyphConfig(n_classes=1)), "exemplars.n_classes=1 is fewer"),
        (lambda: GlyphConfig(jitter=float("nan")), "jitter=nan"),
        (lambda: OmniglotConfig(n_classes=12801), "n_classes=12801 is more"),
        (lambda: OmniglotConfig(n_exemplars=21), "n_exemplars=21 is more"),
        (lambda: OptimConfig(learning_rate=float("inf")), "learning_rate=inf"),
        (lambda: OptimConfig(beta2=1.0), "beta2=1.0"),
        (lambda: OptimConfig(epsilon=0.0), "epsilon=0.0"),
        (lambda: EvaluationConfig(every=0), "every=0"),
        (lambda: RunConfig(n_steps=0), "n_steps=0"),
        (lambda: RunConfig(init_seed=-1), "init_seed=-1 is out of range"),
        (lambda: RunConfig(data_seed=10**30), "data_seed=1"),
        (lambda: RunConfig().with_exemplars(side=28), "GlyphConfig has no field 'side'"),
        (
            lambda: RunConfig(
                data=DataConfig(exemplars=GlyphConfig(n_classes=100)),
                evaluation=EvaluationConfig(n_classes=1600),
            ),
            "evaluation.n_classes=1600 is more than data.exemplars.n_classes=100",
        ),
        (
            lambda: RunConfig(
                data=DataConfig(exemplars=GlyphConfig(n_exemplars=2)),
                evaluation=EvaluationConfig(n_exemplars=5),
            ),
            "evaluation.n_exemplars=5 is more",
        ),
        (
            lambda: RunConfig(data=DataConfig(context=8), evaluation=EvaluationConfig(n_classes=8)),
            "evaluation.n_classes=8 is fewer classes than a sequence needs",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(UsageError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: m.update(format=99), "has run format 99"),
        (lambda m: m["config"].pop("model"), "this version expects"),
        (lambda m: m["config"].update(surprise=1), "this version expects"),
        (lambda m: m["config"].update(n_steps="many"), "config.n_steps='many'"),
        (lambda m: m["config"]["model"].update(n_heads=7), "n_heads=7"),
        (lambda m: m["config"]["data"].update(exemplars=3), "exemplars"),
        (
            lambda m: m["config"]["data"].update(mode="all"),
            "data mode 'all'",
        ),
        (lambda m: m["config"]["data"]["exemplars"].update(kind="X"), "exemplars 'X'.*glyphs"),
        (lambda m: m.pop("threads"), "threads"),
        (lambda m: m.pop("format"), "damaged or not a run's"),
    ],
)
def test_spoilt_manifests_are_refused(tmp_path, tiny, spoil, message):
    path = create_run(tmp_path / "run", tiny, Machine("cpu", 1, "eager")).path / "manifest.json"
    manifest = json.loads(path.read_text())
    spoil(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message):
        load_run(path.parent)


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="damaged"):
        load_run(tmp_path)


def test_what_is_evaluated_follows_the_data_unless_it_is_given():
    whole = RunConfig()
    assert (whole.evaluation.n_classes, whole.evaluation.n_exemplars) == (1600, 5)
    few = whole.with_exemplars(n_classes=100, n_exemplars=3)
    assert (few.evaluation.n_classes, few.evaluation.n_exemplars) == (100, 3)
    seldom = replace(few, evaluation=replace(few.evaluation, every=7))
    again = seldom.with_exemplars(n_classes=12800, n_exemplars=20)
    assert (again.evaluation.n_classes, again.evaluation.n_exemplars) == (1600, 5)
    fixed = replace(whole, evaluation=EvaluationConfig(n_classes=50))
    assert fixed.with_exemplars(n_classes=100).evaluation.n_classes == 50
    with pytest.raises(UsageError, match="n_classes=50"):
        fixed.with_exemplars(n_classes=40)
    written = RunConfig.from_dict(json.loads(json.dumps(to_dict(few))))
    assert written == few and written.run_id() == few.run_id()
