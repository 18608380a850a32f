"""The run store: what a run keeps, how it is read, listed and handed on."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import torch

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.run_files import read_metrics
from tests.transformer.conftest import tiny_config
from transformer.data.evaluators import draw_evaluation_sets
from transformer.runs.checkpoint import DamagedCheckpoint
from transformer.runs.export import write_tensorboard
from transformer.runs.folder import check_together, create_run, load_run, load_runs, vary
from transformer.runs.loop import resume, train, train_together
from transformer.runs.metrics import describe
from transformer.runs.table import list_runs
from transformer.training.machine import Machine

HERE = Machine("cpu", 1, "eager")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with a run that keeps all it can, and an ensemble of two."""
    folder = tmp_path_factory.mktemp("store")
    config = tiny_config()
    evaluation = replace(config.evaluation, per_sequence=True)
    schedule = {"checkpoint_every": 0, "checkpoint_at": (7, 33), "checkpoints_per_decade": 2}
    train(replace(config, evaluation=evaluation, **schedule), folder / "single", HERE)
    train_together(vary(config, {"init_seed": ["5", "6"]}), folder / "pair", HERE)
    return folder


@pytest.fixture
def run(store):
    return load_run(store / "single")


def test_checkpoints_are_kept_on_any_schedule(run):
    """Listed steps, two a decade (1, 3, 10, 32), and the last."""
    assert run.steps() == [1, 3, 7, 10, 32, 33, 40]
    assert run.checkpoint(7).tensors["W_E"].shape == (784, 16)
    with pytest.raises(UsageError, match=r"no checkpoint of step 8; it has \[1, 3, 7"):
        run.checkpoint(8)


@pytest.mark.parametrize(
    ("every", "at", "per_decade", "kept"),
    [
        (20, (), 0, {20, 40, 60, 80, 90}),
        (0, (), 0, {90}),
        (0, (5, 50, 500), 0, {5, 50, 90}),
        (0, (), 1, {1, 10, 90}),
        (0, (), 3, {1, 2, 5, 10, 22, 46, 90}),
    ],
)
def test_checkpoint_schedules(tiny, every, at, per_decade, kept):
    config = replace(
        tiny,
        n_steps=90,
        checkpoint_every=every,
        checkpoint_at=at,
        checkpoints_per_decade=per_decade,
    )
    assert {step for step in range(1, 91) if config.is_checkpoint(step)} == kept
    assert config.run_id() == tiny.run_id(), "what is kept changes no number"


def test_a_run_is_read_as_curves(run):
    curves = run.curves("loss")
    assert set(curves.values) == {"train", "icl", "ciwl", "flip", "iwl"}
    assert curves.sequences.tolist() == [8 * step for step in (0, 7, 14, 21, 28, 35, 40)]
    table = pd.read_json(run.metrics_path, lines=True)
    assert table["step"].tolist() == [0, 7, 14, 21, 28, 35, 40]
    np.testing.assert_allclose(table["icl/loss"], curves.values["icl"], rtol=1e-14)
    assert table["iwl/in_context_loss"].isna().all(), "undefined"


def test_per_sequence_metrics_average_to_the_curves(run):
    for row in run.metrics():
        with np.load(run.path / "sequences" / f"step_{row['step']:09d}.npz") as arrays:
            assert len(arrays) == 5 * 9
            for name, values in arrays.items():
                assert values.shape == (50,)
                if row[name] is not None:
                    assert values.mean() == pytest.approx(row[name], rel=1e-5)


def test_evaluation_sets_are_kept_once_and_shared(store, run):
    assert len(list((store / "single" / "evaluators").iterdir())) == 1
    assert len(list((store / "pair" / "evaluators").iterdir())) == 1
    assert not list(store.glob("pair/*/evaluators"))
    drawn = draw_evaluation_sets(run.config)
    for member in (run, *load_runs(store / "pair")):
        for name, kept in member.evaluation_sets().items():
            assert torch.equal(kept.exemplars, drawn[name].exemplars)


def test_runs_are_listed(store):
    rows = {row["run"]: row for row in list_runs(store)}
    assert set(rows) == {"single", "pair/init_seed=5", "pair/init_seed=6"}
    for row in rows.values():
        assert row["status"] == "finished" and row["step"] == 40
    assert rows["single"]["run_id"] == rows["pair/init_seed=5"]["run_id"]
    with pytest.raises(UsageError, match="not a folder"):
        list_runs(store / "nothing")


def test_a_run_that_cannot_be_read_is_listed_with_the_reason(tiny, tmp_path):
    run = create_run(tmp_path / "spoilt", tiny, HERE)
    (run.path / "manifest.json").write_text("{")
    (row,) = list_runs(tmp_path)
    assert row["status"] == "unreadable" and "damaged" in row["message"]


def test_tensorboard_gets_every_metric(run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_tensorboard(run, tmp_path / "events")
    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"scalars": 0})
    events.Reload()
    rows = run.metrics()
    for name in ("icl/loss", "flip/in_context_accuracy", "batch_loss"):
        seen = {event.step: event.value for event in events.Scalars(name)}
        expected = {row["step"]: row[name] for row in rows if row[name] is not None}
        assert seen == pytest.approx(expected, rel=1e-6)


def test_events_carry_the_times_of_the_metrics_and_are_refreshed(tiny, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def events(run):
        write_tensorboard(run, tmp_path / "events")
        (file,) = (tmp_path / "events").iterdir()
        found = EventAccumulator(str(file), size_guidance={"scalars": 0})
        found.Reload()
        return found.Scalars("icl/loss")

    run = train(tiny, tmp_path / "run", HERE)
    began = datetime(2020, 1, 2, tzinfo=UTC)
    record = json.loads((run.path / "manifest.json").read_text())
    record["sessions"][0]["began"] = began.isoformat()
    (run.path / "manifest.json").write_text(json.dumps(record))
    for event, row in zip(events(run), run.metrics(), strict=True):
        assert event.step == row["step"]
        assert event.wall_time == pytest.approx(began.timestamp() + row["seconds"], abs=1e-3)
    resume(run.path, n_steps=60)
    record = json.loads((run.path / "manifest.json").read_text())
    again = datetime.fromisoformat(record["sessions"][1]["began"]).timestamp()
    seen = events(run)
    assert [event.step for event in seen] == [row["step"] for row in run.metrics()]
    assert seen[-1].step == 60 and again <= seen[-1].wall_time < again + 60
    assert [event.wall_time for event in seen] == sorted(event.wall_time for event in seen)
    (tmp_path / "events" / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt"):
        write_tensorboard(run, tmp_path / "events")


def test_runs_are_varied_over_all_combinations(tiny):
    runs = vary(tiny, {"init_seed": ["5", "6"], "data.mode": ["bursty", "icl_only"]})
    assert list(runs) == [
        "init_seed=5,data.mode=bursty",
        "init_seed=5,data.mode=icl_only",
        "init_seed=6,data.mode=bursty",
        "init_seed=6,data.mode=icl_only",
    ]
    last = runs["init_seed=6,data.mode=icl_only"]
    assert last.init_seed == 6 and last.data.mode == "icl_only"
    assert replace(last, init_seed=5, data=tiny.data) == tiny
    (mixed,) = vary(tiny, {"optim.l2": ['[["labels", 1e-4]]']}).values()
    assert mixed.optim.l2 == (("labels", 1e-4),)
    values = ["[]", '[{"Ablate": {"heads": ["0:1"]}}]']
    plain, ablated = vary(tiny, {"interventions": values}).items()
    assert plain == ("interventions=none", tiny)
    assert ablated[0] == "interventions=Ablate_heads_0_1"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"seed": ["1"]}, "there is no such field"),
        ({"data": ["1"]}, "there is no such field"),
        ({"init_seed.x": ["1"]}, "there is no such field"),
        ({"init_seed": ["5", "5"]}, "makes the run init_seed=5 twice"),
        ({"init_seed": ["five"]}, "init_seed='five'; expected int"),
        ({"data.mode": ["all"]}, "mode 'all'"),
        ({"data.exemplars.n_classes": ["2"]}, "evaluation.n_classes=20 is more"),
    ],
)
def test_what_cannot_be_varied_is_refused(tiny, axes, message):
    with pytest.raises(UsageError) as caught:
        vary(tiny, axes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("model.d_model", ["16", "32"]),
        ("data.batch_size", ["8", "16"]),
        ("optim.algorithm", ["adam", "sgd"]),
        ("optim.beta1", ["0.9", "0.5"]),
        ("precision", ["float32", "float64"]),
        ("n_steps", ["40", "50"]),
        ("evaluation.every", ["7", "8"]),
    ],
)
def test_runs_that_cannot_be_one_step_are_told_apart(tiny, field, values):
    with pytest.raises(UsageError) as caught:
        check_together(vary(tiny, {field: values}))
    told = str(caught.value)
    assert f"share {field}, but it is {values[0]} in" in told and f"and {values[1]} in" in told


def test_damaged_ensembles_are_named(store, tmp_path):
    (tmp_path / "ensemble.json").write_text(json.dumps({"runs": []}))
    with pytest.raises(UserError, match=r"ensemble\.json is damaged"):
        load_runs(tmp_path)
    (tmp_path / "ensemble.json").write_text(json.dumps({"runs": ["gone"]}))
    with pytest.raises(UserError, match="lacks the run gone"):
        load_runs(tmp_path)


GOOD = b'{"step": 0, "sequences": 0, "batch_loss": null}\n'


@pytest.mark.parametrize(
    "spoilt", [b'{"step": 1', b"[]", b'{"step": "1", "sequences": 0}', b"\xff"]
)
def test_a_spoilt_last_line_does_not_count_and_one_before_it_is_named(tmp_path, spoilt):
    path = tmp_path / "metrics.jsonl"
    for end in (b"", b"\n"):
        path.write_bytes(GOOD + spoilt + end)
        assert len(read_metrics(path)) == 1
    path.write_bytes(GOOD + spoilt + b"\n" + GOOD)
    with pytest.raises(UserError, match=r"line 2 of .*metrics\.jsonl is damaged"):
        read_metrics(path)


def test_an_ensemble_whose_resume_is_refused_stays_as_it_was(store, tmp_path):
    """One run's metrics are damaged: the other's are not touched either."""
    shutil.copytree(store / "pair", tmp_path / "pair")
    path = tmp_path / "pair" / "init_seed=6" / "metrics.jsonl"
    path.write_bytes(b"spoilt\n" + path.read_bytes())
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="lacks a whole line of step 0"):
        resume(tmp_path / "pair", n_steps=60)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_a_damaged_run_is_listed_with_what_is_wrong(store, tmp_path):
    shutil.copytree(store / "single", tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"spoilt\n", *lines[3:]]))
    (row,) = list_runs(tmp_path)
    assert row["status"] == "unreadable"
    assert "line 3" in row["message"]
    with pytest.raises(UserError, match="line 3"):
        load_run(tmp_path / "run").curves()


def test_an_ensemble_is_not_taken_for_a_run(store):
    with pytest.raises(UsageError, match=r"trained together.*init_seed=5, init_seed=6"):
        load_run(store / "pair")


def test_a_resume_that_is_refused_leaves_a_run_as_it_was(store, tmp_path):
    shutil.copytree(store / "single", tmp_path / "run")
    run = load_run(tmp_path / "run")
    for step in run.state_steps():
        run.state_path(step).write_bytes(b"spoilt")
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="damaged"):
        resume(run.path, n_steps=60)
    assert before == {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}


def test_damage_is_an_error_of_the_checkpoint(store, tmp_path, tiny):
    run = create_run(tmp_path / "run", tiny, HERE)
    path = run.checkpoint_path(3)
    path.parent.mkdir()
    path.write_bytes(b"nothing")
    with pytest.raises(DamagedCheckpoint, match="damaged"):
        run.checkpoint(3)


def test_only_what_the_dead_left_is_removed(tiny, tmp_path):
    """A process that evaluates while another trains is writing too."""
    run = create_run(tmp_path / "run", tiny, HERE)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {pid: f".some.safetensors.{pid}.tmp" for pid in (dead.pid, os.getpid())}
    for name in names.values():
        (run.path / name).touch()
    with run.lock():
        assert not (run.path / names[dead.pid]).exists()
        assert (run.path / names[os.getpid()]).exists()


def test_the_steps_of_a_table_are_those_of_the_run(tiny, tmp_path):
    """That of the last metrics, and that of the newest checkpoint."""
    run = train(tiny, tmp_path / "run", HERE)
    run.checkpoint_path(40).unlink()
    (row,) = list_runs(tmp_path)
    assert row["checkpoint"] == run.status()["checkpoint"] == 30
    assert row["step"] == run.status()["step"] == 40


def test_the_folder_one_is_in_is_a_run_like_another(store, monkeypatch):
    member = store / "pair" / "init_seed=5"
    monkeypatch.chdir(member)
    here = load_run(".")
    assert here.path.name == member.name
    assert here.shared == (store / "pair").resolve(), "its evaluation sets lie there"


def test_an_empty_folder_one_is_in_takes_a_run(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = replace(tiny, n_steps=7)
    run = train(config, ".", HERE)
    assert run.is_finished() and run.path == tmp_path.resolve()
    with pytest.raises(UsageError, match="exists already"):
        train(config, ".", HERE)


def test_runs_that_are_trained_together_are_told_of_by_their_range():
    rows = [
        {"batch_loss": loss, "icl/in_context_accuracy": icl}
        for loss, icl in ((2.5, 0.5), (1.25, 0.75), (2.0, 0.625))
    ]
    told = describe(rows)
    assert told.startswith("3 runs") and "1.250-2.500" in told and "0.50-0.75" in told
    alone = describe(rows[:1])
    assert "runs" not in alone and "loss 2.500" in alone and "icl 0.50" in alone
    assert "loss nan" in describe([{"batch_loss": None}])
