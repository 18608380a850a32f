"""Measures of models over training: what they are, and that a table is whole or goes on."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch

from coopetition.tools.errors import UsageError, UserError
from tests.transformer.conftest import tiny_config
from transformer import load_model, train
from transformer.cli import main
from transformer.data.evaluators import evaluation_sets
from transformer.data.exemplar_sets import load_exemplars
from transformer.interventions.attention import Ablate, ClampPattern, Preserve
from transformer.interventions.inputs import AblateEmbedding, At
from transformer.measures.history import history
from transformer.measures.of_models import MODEL_MEASURES, View
from transformer.training.machine import Machine


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = replace(tiny_config(), n_steps=8, checkpoint_every=4)
    return train(config, tmp_path_factory.mktemp("history") / "run", Machine("cpu", 1, "eager"))


def view_of(run, evaluator: str, model=None) -> View:
    exemplars = load_exemplars(run.config.data.exemplars)
    return View(model or load_model(run), evaluator, exemplars, evaluation_sets(run)[evaluator])


def test_attention_measures_are_those_of_the_patterns(run):
    """Against a loop over the sequences of what is looked at one by one."""
    view, model = view_of(run, "flip"), load_model(run)
    features = view.exemplars.features(view.sequences.exemplars.T)
    labels, target = view.sequences.labels.T, view.sequences.target
    _, cache = model.run_with_cache(features, labels, names="blocks.*.pattern")
    expected = {name: [] for name in ("strength", "correct", "previous", "self")}
    for n, (row, right) in enumerate(zip(labels, target, strict=True)):
        for head in range(model.config.n_heads):
            query = cache["blocks.1.pattern"][n, head, -1]
            first = cache["blocks.0.pattern"][n, head]
            at = 1 if row[0] == right else 3
            expected["strength"].append(float(query[at] - query[4 - at]))
            expected["correct"].append(float(query[at]))
            expected["previous"].append(float(first[1, 0] + first[3, 2]) / 2)
            expected["self"].append(float(first[1, 1] + first[3, 3]) / 2)

    def found(measure: str, layer: int, what: str) -> float:
        own = [r.value for r in MODEL_MEASURES[measure](view) if (r.layer, r.what) == (layer, what)]
        return sum(own) / len(own)

    for name, value in (
        ("strength", found("induction_strength", 1, "strength")),
        ("correct", found("query_attention", 1, "correct")),
        ("previous", found("previous_token", 0, "score")),
        ("self", found("self_attention", 0, "score")),
    ):
        assert value == pytest.approx(sum(expected[name]) / len(expected[name]), abs=1e-6), name


def test_a_clamped_head_is_measured_as_clamped(run):
    model = load_model(run)
    with model.intervened(ClampPattern(heads="1:0", strength=0.75)):
        readings = list(MODEL_MEASURES["induction_strength"](view_of(run, "flip", model)))
    assert readings[model.config.n_heads].value == pytest.approx(0.5)


@pytest.mark.parametrize("measure", sorted(MODEL_MEASURES))
def test_every_measure_gives_finite_numbers(run, measure):
    readings = list(MODEL_MEASURES[measure](view_of(run, "ciwl")))
    assert readings
    assert torch.tensor([reading.value for reading in readings]).isfinite().all()


def test_the_first_reading_of_a_stage_table_is_what_training_recorded(run):
    recorded = run.metrics()[-1]["ciwl/in_context_accuracy"]
    for measure in ("composition", "paths"):
        first = next(iter(MODEL_MEASURES[measure](view_of(run, "ciwl"))))
        assert (first.what, first.value) == ("default", pytest.approx(recorded))


def test_stage_tables_are_what_their_interventions_give(run):
    """Each written out by hand, on one evaluator."""
    view, model = view_of(run, "ciwl"), load_model(run)
    features = view.exemplars.features(view.sequences.exemplars.T)
    labels, target = view.sequences.labels.T, view.sequences.target

    def accuracy(*interventions) -> float:
        with model.intervened(*interventions):
            z = model.logits(features, labels, target=target)
        in_context = z.gather(1, labels)
        right = in_context.argmax(1) == (labels == target[:, None]).int().argmax(1)
        return float(right.float().mean())

    def found(measure: str, **wanted) -> float:
        (value,) = (
            reading.value
            for reading in MODEL_MEASURES[measure](view)
            if all(getattr(reading, name) == each for name, each in wanted.items())
        )
        return value

    silent = Ablate(heads="0:*")
    only_keys = accuracy(silent, Preserve(what=("queries", "values")))
    assert found("composition", what="only keys recomputed") == pytest.approx(only_keys)
    assert found("composition", what="kept") == pytest.approx(
        accuracy(silent, Preserve(what=("queries", "keys", "values")))
    )
    heads_alone = accuracy(AblateEmbedding(), Preserve(what=("patterns", "values")))
    assert found("paths", what="heads alone") == pytest.approx(heads_alone)
    assert found("paths", what="no heads") == pytest.approx(accuracy(Ablate(heads=("0:*", "1:*"))))
    n_heads = model.config.n_heads
    others = [f"{layer}:{h}" for layer in (0, 1) for h in range(n_heads) if (layer, h) != (1, 1)]
    alone = (AblateEmbedding(), Preserve(what=("patterns", "values")), Ablate(heads=others))
    clamped = accuracy(*alone, ClampPattern(heads="1:1", strength=1.0))
    assert found("copying", head=1, at=1.0) == pytest.approx(clamped)


def test_attention_to_each_token_and_of_each_sequence_is_that_of_the_patterns(run):
    view, model = view_of(run, "flip"), load_model(run)
    features = view.exemplars.features(view.sequences.exemplars.T)
    _, cache = model.run_with_cache(features, view.sequences.labels.T, names="blocks.1.pattern")
    query = cache["blocks.1.pattern"][:, :, -1]
    second = view.right[1] & ~view.right[0]
    expected = query[second].mean(0)
    for reading in MODEL_MEASURES["query_row"](view):
        if (reading.layer, reading.what) == (1, "target in pair 2"):
            value = float(expected[reading.head, int(reading.at)])
            assert reading.value == pytest.approx(value, abs=1e-6)
    sign = view.right.T.float() * 2 - 1
    strength = (query[:, :, 1::2] * sign[:, None]).sum(-1)
    readings = [*MODEL_MEASURES["strength_by_sequence"](view)]
    assert len(readings) == model.config.n_heads * min(250, int(view.both.sum()))
    for reading in readings:
        value = float(strength[int(reading.at), reading.head])
        assert reading.value == pytest.approx(value, abs=1e-6)


def test_superposition_changes_one_head_while_all_attend_to_labels_only(run):
    """The manipulation of figure 15c, written again as a function of the attention scores."""
    view = view_of(run, "train")
    readings = [*MODEL_MEASURES["superposition"](view, temperatures=(0.1, 1.0))]
    assert len(readings) == 2 * view.model.config.n_heads

    def heated(head, temperature):
        def act(name, scores, scene):
            scores = scores.clone()
            scores[:, :, -1, ::2] = -1e9
            scores[:, head, -1] /= temperature
            return scores

        return view.metric("in_context_probability", At(names="blocks.1.attn_scores", function=act))

    for each in readings:
        assert (each.what, each.layer) == ("one of all", 1)
        assert each.value == pytest.approx(heated(each.head, each.at), abs=1e-6)
    assert len({each.value for each in readings if each.at == 1.0}) == 1
    assert len({each.value for each in readings if each.at == 0.1}) > 1
    (common,) = MODEL_MEASURES["common_temperature"](view, temperatures=(1.0,))
    assert common.value == pytest.approx(view.metric("in_context_probability"))


def test_a_view_measures_the_model_as_it_is_computed_now(run):
    view = view_of(run, "flip")
    before = view.patterns[1].clone()
    with view.model.intervened(ClampPattern(heads="1:*", strength=1.0)):
        assert not torch.allclose(view.patterns[1], before)
    assert torch.equal(view.patterns[1], before)


def test_a_history_that_was_stopped_goes_on_to_the_same_table(run, tmp_path):
    names = ["induction_strength", "accuracy"]
    history(run, names, tmp_path / "whole.csv")
    table = pd.read_csv(tmp_path / "whole.csv")
    assert set(table["step"]) == {4, 8} and set(table["measure"]) == set(names)
    assert not (tmp_path / "whole.csv.partial").exists()
    history(run, names, tmp_path / "part.csv", steps=[4])
    about = {
        "run_id": run.config.run_id(),
        "measures": names,
        "evaluators": list(evaluation_sets(run)),
        "interventions": [],
    }
    rows = pd.read_csv(tmp_path / "part.csv")
    kept = [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in rows.drop(columns=["run_id", "step", "sequences"]).to_dict("records")
    ]
    partial = tmp_path / "again.csv.partial"
    lines = [json.dumps(about), json.dumps({"step": 4, "rows": kept}), '{"step": 8, "ro']
    partial.write_text("\n".join(lines))
    history(run, names, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again.csv"), table)
    partial.write_text(json.dumps(about | {"run_id": "another"}) + "\n")
    with pytest.raises(UsageError, match="holds partial work on something else"):
        history(run, names, tmp_path / "again.csv")


def test_a_history_is_written_by_one_process_at_a_time(run, tmp_path, monkeypatch):
    """A second call in the middle of the first is refused and touches nothing."""
    out, refused = tmp_path / "table.csv", []

    def during(view):
        partial = out.with_name("table.csv.partial").read_bytes()
        with pytest.raises(UserError, match="another process") as caught:
            history(run, ["accuracy"], out)
        refused.append(caught.value)
        assert out.with_name("table.csv.partial").read_bytes() == partial
        return accuracy(view)

    accuracy = MODEL_MEASURES["accuracy"]
    own = {"accuracy": during}
    with monkeypatch.context() as patch:
        patch.setattr("transformer.measures.history.MODEL_MEASURES", own)
        history(run, ["accuracy"], out, evaluators=["flip"])
    assert len(refused) == 2 and [each.name for each in tmp_path.iterdir()] == ["table.csv"]


def test_a_history_under_interventions_says_what_they_do(run, tmp_path):
    everything = (Ablate(heads=("0:*", "1:*")),)
    history(run, ["accuracy"], tmp_path / "plain.csv", steps=[8])
    history(run, ["accuracy"], tmp_path / "ablated.csv", steps=[8], interventions=everything)
    plain, ablated = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("plain", "ablated"))
    assert (plain["value"] != ablated["value"]).any()
    assert load_model(run).interventions == ()


def test_what_is_not_there_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="no step 5; choose of 4, 8"):
        history(run, ["accuracy"], tmp_path / "t.csv", steps=[5])
    with pytest.raises(UsageError, match="no evaluator nothing; choose of"):
        history(run, ["accuracy"], tmp_path / "t.csv", evaluators=["nothing"])
    with pytest.raises(UsageError, match="measure of a model 'nothing'"):
        history(run, ["nothing"], tmp_path / "t.csv")
    with pytest.raises(UsageError, match="no measures are given"):
        history(run, [], tmp_path / "t.csv")
    with pytest.raises(UsageError, match="no step is given; choose of 4, 8"):
        history(run, ["accuracy"], tmp_path / "t.csv", steps=[])
    with pytest.raises(UsageError, match="is a folder; give a file"):
        history(run, ["accuracy"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_leaves_files_alone_and_says_what_a_table_is_of(run, tmp_path, call):
    out = tmp_path / "table.csv"
    given = ("measure", run.path, "--measures", "accuracy", "--out", out)
    ablate = '{"Ablate": {"heads": ["0:0"]}}'
    call("transformer", *given, "--intervene", ablate, "--steps", "all")
    about = json.loads(out.with_suffix(".json").read_text())
    assert about["steps"] == [4, 8] and about["interventions"] == [json.loads(ablate)]
    before = out.read_bytes()
    assert "is there already; remove it or choose" in call("transformer", *given, expect=2)
    assert out.read_bytes() == before
    given = (*given[:-1], tmp_path / "other.csv", "--steps", "all", "4")
    assert "give steps of checkpoints, or `all` or `last` alone" in call(
        "transformer", *given, expect=2
    )


def test_the_command_measures_with_the_threads_of_training(run, tmp_path, monkeypatch):
    threads = []

    def measured(*arguments, **keywords):
        threads.append(torch.get_num_threads())
        return {"steps": [8]}

    monkeypatch.setattr("transformer.measures.history.history", measured)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        out = tmp_path / "table.csv"
        assert main(["measure", str(run.path), "--measures", "accuracy", "--out", str(out)]) == 0
    finally:
        torch.set_num_threads(before)
    assert threads == [1] == [run.machine.threads]
