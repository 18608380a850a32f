"""Tables of measures: complete, the same after an interruption, and not written twice."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch

from coopetition.tools.errors import Interrupted, UsageError, UserError
from coopetition.tools.files import write_bytes
from tests.transformer.conftest import tiny_config
from transformer import load_model, train
from transformer.interventions.attention import Ablate
from transformer.measures import MEASURES
from transformer.runs.measures import measure_run, thin_steps, write_model_table
from transformer.training.machine import Machine


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with checkpoints at steps 4 and 8."""
    config = replace(tiny_config(), n_steps=8, checkpoint_every=4)
    return train(config, tmp_path_factory.mktemp("measured") / "run", Machine("cpu", 1, "eager"))


def test_a_measure_per_checkpoint_has_a_row_at_each_but_those_of_interruptions(run, monkeypatch):
    monkeypatch.setattr(type(run.config), "is_checkpoint", lambda self, step: step > 4)
    rows = [*measure_run(run, "weight_norms")]
    assert [[row["step"], row["sequences"]] for row in rows] == [[8, 64]]
    with pytest.raises(UsageError, match="accuracy is measured per evaluator"):
        [*measure_run(run, "accuracy")]


def test_an_interrupted_table_is_completed_to_the_same_table(run, tmp_path):
    names = ["induction_strength", "accuracy"]
    write_model_table(run, names, tmp_path / "whole.csv")
    table = pd.read_csv(tmp_path / "whole.csv")
    assert set(table["step"]) == {4, 8} and set(table["measure"]) == set(names)
    assert [each.name for each in tmp_path.iterdir()] == ["whole.csv"]
    about = {
        "run_id": run.config.run_id(),
        "measures": names,
        "evaluators": list(run.evaluation_sets()),
        "interventions": [],
    }
    done = table[table["step"] == 4].drop(columns=["run_id", "step", "sequences"])
    rows = done.astype(object).where(done.notna(), None).to_dict("records")
    partial = tmp_path / "again.csv.partial"
    lines = [json.dumps(about), json.dumps({"step": 4, "rows": rows}), '{"step": 8, "ro']
    partial.write_text("\n".join(lines))
    write_model_table(run, names, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again.csv"), table)
    partial.write_text(json.dumps(about | {"run_id": "another"}) + "\n")
    with pytest.raises(UsageError, match="partial"):
        write_model_table(run, names, tmp_path / "again.csv")


def test_an_interrupted_table_under_interventions_is_completed(run, tmp_path, monkeypatch):
    """Also under an intervention with a tuple, which JSON keeps as a list."""
    given = {"evaluators": ["icl"], "interventions": (Ablate(heads=("0:0", "0:1")),)}
    write_model_table(run, ["accuracy"], tmp_path / "whole.csv", **given)
    out = tmp_path / "again.csv"

    def stopped(run, step):
        if step == 8:
            raise KeyboardInterrupt
        return load_model(run, step)

    with monkeypatch.context() as patch:
        patch.setattr("transformer.runs.measures.load_model", stopped)
        with pytest.raises(Interrupted):
            write_model_table(run, ["accuracy"], out, **given)
    write_model_table(run, ["accuracy"], out, **given)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_table_is_written_by_one_process_at_a_time(run, tmp_path, monkeypatch):
    """A second call in the middle of the first is refused and touches nothing."""
    out, partial, refused = tmp_path / "table.csv", tmp_path / "table.csv.partial", []

    def during(view):
        content = partial.read_bytes()
        with pytest.raises(UserError, match="another process") as caught:
            write_model_table(run, ["accuracy"], out)
        refused.append(caught.value)
        assert partial.read_bytes() == content
        return MEASURES["accuracy"](view)

    with monkeypatch.context() as patch:
        patch.setattr("transformer.runs.measures.find_measures", lambda *_: {"accuracy": during})
        write_model_table(run, ["accuracy"], out, evaluators=["flip"])
    assert len(refused) == 2 and [each.name for each in tmp_path.iterdir()] == ["table.csv"]


def test_interventions_change_a_table_and_not_the_model(run, tmp_path):
    everything = (Ablate(heads=("0:*", "1:*")),)
    write_model_table(run, ["accuracy"], tmp_path / "plain.csv", steps=[8])
    out = tmp_path / "ablated.csv"
    write_model_table(run, ["accuracy"], out, steps=[8], interventions=everything)
    plain, ablated = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("plain", "ablated"))
    assert (plain["value"] != ablated["value"]).any()
    assert load_model(run).interventions == ()


@pytest.mark.parametrize(
    ("measures", "changes", "named"),
    [
        (["accuracy"], {"steps": [5]}, "step 5.* 4, 8"),
        (["accuracy"], {"steps": []}, "step.* 4, 8"),
        (["accuracy"], {"evaluators": ["nothing"]}, "evaluator nothing"),
        (["nothing"], {}, "'nothing'"),
        (["weight_norms"], {}, "weight_norms is measured per checkpoint"),
        ([], {}, "no measures"),
    ],
)
def test_what_a_run_lacks_is_refused_before_anything_is_written(
    run, tmp_path, measures, changes, named
):
    with pytest.raises(UsageError, match=named):
        write_model_table(run, measures, tmp_path / "t.csv", **changes)
    with pytest.raises(UsageError, match="folder"):
        write_model_table(run, ["accuracy"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_describes_a_table(run, tmp_path, call):
    out = tmp_path / "table.csv"
    given = ("measure", run.path, "--measures", "accuracy", "--out", out)
    ablate = '{"Ablate": {"heads": ["0:0"]}}'
    call("transformer", *given, "--intervene", ablate, "--steps", "all")
    about = json.loads(out.with_suffix(".json").read_text())
    assert about["steps"] == [4, 8] and about["interventions"] == [json.loads(ablate)]
    given = (*given[:-1], tmp_path / "other.csv", "--steps", "all", "4")
    assert "--steps" in call("transformer", *given, expect=2)


def test_the_command_replaces_only_a_table_of_the_same_content(run, tmp_path, call):
    out = tmp_path / "out.csv"
    curves = ("export", run.path, "--out", out)
    table = ("measure", run.path, "--measures", "accuracy", "--out", out)
    others = [
        curves,
        ("measure", run.path, "--measures", "induction_strength", "--out", out),
        (*table, "--evaluators", "icl"),
        (*table, "--intervene", '{"Ablate": {"heads": ["0:0"]}}'),
        (*table, "--replace-interventions"),
    ]
    for first, refused in ((table, others), (curves, [table])):
        call("transformer", *first)
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        for each in refused:
            assert str(out) in call("transformer", *each, expect=2)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        call("transformer", *first)
        for path in before:
            path.unlink()
    call("transformer", *table)
    call("transformer", *table, "--steps", "all")
    assert {4, 8} == set(pd.read_csv(out)["step"])


def test_a_table_that_was_killed_before_its_last_write_can_be_repeated(
    run, tmp_path, call, monkeypatch
):
    given = ("measure", run.path, "--measures", "accuracy", "--out", tmp_path / "table.csv")

    def stopped(path, content):
        if path == tmp_path / "table.csv":
            raise OSError("killed")
        write_bytes(path, content.encode())

    with monkeypatch.context() as patch:
        patch.setattr("transformer.runs.measures.write_text", stopped)
        call("transformer", *given, expect=1)
    assert (tmp_path / "table.json").exists()
    call("transformer", *given)
    assert {each.name for each in tmp_path.iterdir()} == {"table.csv", "table.json"}


def test_the_command_measures_with_the_threads_of_training(run, tmp_path, monkeypatch, call):
    """On the CPU, also where the run was trained on a device that is not available here."""
    threads = []
    trained_on_gpu = tmp_path / "gpu"
    shutil.copytree(run.path, trained_on_gpu)
    manifest = trained_on_gpu / "manifest.json"
    record = json.loads(manifest.read_text()) | {"device": "cuda:1", "execution": "compiled-graph"}
    manifest.write_text(json.dumps(record))

    def measured(*arguments, **keywords):
        threads.append(torch.get_num_threads())
        return {"steps": [8]}

    monkeypatch.setattr("transformer.runs.measures.write_model_table", measured)
    with Machine("cpu", 2, "eager").use():
        for path in (run.path, trained_on_gpu):
            flags = ["--measures", "accuracy", "--out", tmp_path / f"{path.name}.csv"]
            call("transformer", "measure", path, *flags)
    assert threads == [1, 1] and run.machine.threads == 1


def test_thinned_steps_keep_their_spacing_and_the_last():
    assert thin_steps([], 0.1) == []
    assert thin_steps([10, 20, 21, 22, 23, 24], 0.1) == [10, 20, 22, 24]
    assert thin_steps([100, 101], 0.1) == [100, 101]
