"""Run folders: what they keep, how they are read and listed, and how damage is reported."""

import errno
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
from coopetition.tools.files import NO_SPACE
from coopetition.tools.run_files import read_metrics
from tests.transformer.conftest import HERE, tiny_config
from transformer.config.variants import vary
from transformer.runs.export import write_tensorboard
from transformer.runs.folder import create_run, load_run, load_runs, lock
from transformer.runs.metrics import summarise
from transformer.runs.recovery import read_statuses
from transformer.runs.table import list_runs
from transformer.runs.train import resume, train, train_together


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


@pytest.fixture
def copied(store, tmp_path):
    """A copy of the run, which may be damaged."""
    return load_run(shutil.copytree(store / "single", tmp_path / "run"))


def test_checkpoints_are_kept_on_any_schedule(run):
    """Listed steps, two a decade (1, 3, 10, 32), and the last."""
    assert run.steps() == [1, 3, 7, 10, 32, 33, 40]
    assert run.checkpoint(7).tensors["W_E"].shape == (784, 16)
    with pytest.raises(UsageError, match=r"step 8; it has \[1, 3, 7"):
        run.checkpoint(8)


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


def test_evaluation_sets_are_kept_once_and_shared(store):
    for folder in ("single", "pair"):
        assert len([*(store / folder).rglob("evaluators/*")]) == 1
    first, second = (run.evaluation_sets() for run in load_runs(store / "pair"))
    assert torch.equal(first["icl"].exemplars, second["icl"].exemplars)


def test_runs_are_listed(store):
    rows = {row["run"]: row for row in list_runs(store)}
    assert set(rows) == {"single", "pair/init_seed=5", "pair/init_seed=6"}
    for row in rows.values():
        assert row["status"] == "finished" and row["step"] == row["checkpoint"] == 40
    assert rows["single"]["run_id"] == rows["pair/init_seed=5"]["run_id"]
    with pytest.raises(UsageError, match="not a folder"):
        list_runs(store / "nothing")


def test_a_damaged_run_is_listed_with_the_damage(copied, tmp_path):
    lines = copied.metrics_path.read_bytes().splitlines(keepends=True)
    copied.metrics_path.write_bytes(b"".join([*lines[:2], b"spoilt\n", *lines[3:]]))
    (row,) = list_runs(tmp_path)
    assert row["status"] == "unreadable" and "line 3" in row["message"]
    with pytest.raises(UserError, match="line 3"):
        copied.curves()
    (copied.path / "manifest.json").write_text("{")
    (row,) = list_runs(tmp_path)
    assert row["status"] == "unreadable" and "manifest.json is damaged" in row["message"]


def test_a_truncated_checkpoint_is_listed_as_it_is_shown(copied, tmp_path):
    last = copied.checkpoint_path(40)
    last.write_bytes(last.read_bytes()[:-1])
    (row,), (status,) = list_runs(tmp_path), read_statuses([copied])
    assert row["checkpoint"] == status["checkpoint"] == 33
    assert str(last) in row["message"] and str(last) in status["damaged"][0]


def test_runs_of_ensembles_are_found_or_named(store, tmp_path, monkeypatch):
    (tmp_path / "ensemble.json").write_text(json.dumps({"runs": []}))
    with pytest.raises(UserError, match=r"ensemble\.json is damaged"):
        load_runs(tmp_path)
    (tmp_path / "ensemble.json").write_text(json.dumps({"runs": ["gone"]}))
    with pytest.raises(UserError, match="gone"):
        load_runs(tmp_path)
    with pytest.raises(UsageError, match=r"init_seed=5, init_seed=6"):
        load_run(store / "pair")
    monkeypatch.chdir(store / "pair" / "init_seed=5")
    assert load_run(".").shared == (store / "pair").resolve(), "its evaluation sets lie there"


GOOD = b'{"step": 0, "sequences": 0, "batch_loss": null}\n'


@pytest.mark.parametrize(
    "spoilt", [b'{"step": 1', b"[]", b'{"step": "1", "sequences": 0}', b"\xff"]
)
def test_a_damaged_last_line_is_ignored_and_an_earlier_one_is_named(tmp_path, spoilt):
    path = tmp_path / "metrics.jsonl"
    for end in (b"", b"\n"):
        path.write_bytes(GOOD + spoilt + end)
        assert len(read_metrics(path)) == 1
    path.write_bytes(GOOD + spoilt + b"\n" + GOOD)
    with pytest.raises(UserError, match=r"line 2 of .*metrics\.jsonl"):
        read_metrics(path)


def test_temporary_files_of_dead_processes_are_removed(tiny, tmp_path):
    """Those of a living one stay: it may evaluate while another trains."""
    run = create_run(tmp_path / "run", tiny, HERE)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {pid: f".some.safetensors.{pid}.tmp" for pid in (dead.pid, os.getpid())}
    for name in names.values():
        (run.path / name).touch()
    with lock([run]):
        assert not (run.path / names[dead.pid]).exists()
        assert (run.path / names[os.getpid()]).exists()


def test_an_empty_current_folder_takes_a_run(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = replace(tiny, n_steps=7)
    run = train(config, ".", HERE)
    assert run.is_finished() and run.path == tmp_path.resolve()
    with pytest.raises(UsageError, match="exists already"):
        train(config, ".", HERE)


def test_progress_shows_the_range_over_runs():
    rows = [
        {"batch_loss": loss, "icl/in_context_accuracy": icl}
        for loss, icl in ((2.5, 0.5), (1.25, 0.75), (2.0, 0.625))
    ]
    shown = summarise(rows)
    assert shown.startswith("3 runs") and "1.250-2.500" in shown and "0.50-0.75" in shown
    alone = summarise(rows[:1])
    assert "runs" not in alone and "loss 2.500" in alone and "icl 0.50" in alone
    assert "loss nan" in summarise([{"batch_loss": None}])


def read_events(folder, metric):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = folder.iterdir()
    events = EventAccumulator(str(file), size_guidance={"scalars": 0})
    events.Reload()
    return events.Scalars(metric)


def test_tensorboard_gets_every_metric_at_its_time(copied, tmp_path):
    folder, path = tmp_path / "events", copied.path / "manifest.json"
    began = datetime(2020, 1, 2, tzinfo=UTC)
    record = json.loads(path.read_text())
    record["sessions"][0]["began"] = began.isoformat()
    path.write_text(json.dumps(record))
    write_tensorboard(copied, folder)
    rows = copied.metrics()
    for name in ("icl/loss", "flip/in_context_accuracy", "batch_loss"):
        seen = {event.step: event.value for event in read_events(folder, name)}
        expected = {row["step"]: row[name] for row in rows if row[name] is not None}
        assert seen == pytest.approx(expected, rel=1e-6)
    for event, row in zip(read_events(folder, "icl/loss"), rows, strict=True):
        assert event.wall_time == pytest.approx(began.timestamp() + row["seconds"], abs=1e-3)

    resume(copied.path, n_steps=60)
    again = json.loads(path.read_text())["sessions"][1]["began"]
    again = datetime.fromisoformat(again).timestamp()
    write_tensorboard(copied, folder)  # replaces the old events
    seen = read_events(folder, "icl/loss")
    assert [event.step for event in seen] == [row["step"] for row in copied.metrics()]
    assert seen[-1].step == 60 and again <= seen[-1].wall_time < again + 60
    assert [event.wall_time for event in seen] == sorted(event.wall_time for event in seen)
    (folder / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt"):
        write_tensorboard(copied, folder)


def test_rows_of_sessions_that_were_not_recorded_have_a_time(copied, tmp_path):
    """Those of older versions; a newer one continued the run."""
    path, began = copied.path / "manifest.json", datetime(2020, 1, 2, tzinfo=UTC)
    record = json.loads(path.read_text())
    record["sessions"][0] |= {"began": began.isoformat(), "first_step": 21}
    path.write_text(json.dumps(record))
    write_tensorboard(copied, tmp_path / "events")
    rows = copied.metrics()
    (before,) = (row["seconds"] for row in rows if row["step"] == 21)
    for event, row in zip(read_events(tmp_path / "events", "icl/loss"), rows, strict=True):
        expected = began.timestamp() + row["seconds"] - before
        assert event.wall_time == pytest.approx(expected, abs=1e-3)


def fail(number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    return refuse


def test_a_folder_that_cannot_be_written_is_named(tiny, tmp_path, monkeypatch):
    """For a new run before exemplars are drawn."""
    run = train(replace(tiny, n_steps=4), tmp_path / "run", HERE)
    monkeypatch.setattr("coopetition.tools.files.tempfile.TemporaryFile", fail(errno.EACCES))
    monkeypatch.setattr("transformer.runs.folder.hold", fail(errno.EACCES))
    with pytest.raises(UsageError, match=f"{run.path} takes no new file"):
        resume(run.path)
    monkeypatch.setattr("transformer.runs.train.prepare", lambda *_: pytest.fail("drawn"))
    with pytest.raises(UsageError, match=f"{tmp_path} takes no new file"):
        train(tiny, tmp_path / "new" / "run", HERE)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize(
    ("failing", "again"), [("end_session", "resume it"), ("begin_session", "start it again")]
)
def test_an_error_of_the_disk_says_how_to_go_on(
    tiny, tmp_path, monkeypatch, number, failing, again
):
    monkeypatch.setattr(f"transformer.runs.session.{failing}", fail(number))
    with pytest.raises(UserError, match=again) as caught:
        train(replace(tiny, n_steps=4), tmp_path / "run", HERE)
    assert os.strerror(number) in str(caught.value)
    assert NO_SPACE.get(number, "another") in str(caught.value)
