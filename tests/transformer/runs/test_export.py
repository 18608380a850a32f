"""A run's curves as a small file."""

import csv
import json

import numpy as np

from coopetition.compare.curves import read_curves
from transformer.config import RunConfig
from transformer.runs.export import export
from transformer.runs.folder import RunFolder
from transformer.runs.machine import Machine

ROW = {"step": 0, "sequences": 0, "batch_loss": None, "train/loss": 9.87654321}
ROW |= {"iwl/accuracy": 0.25, "iwl/in_context_loss": None, "iwl/context_probability": 0.125}


def test_everything_that_was_measured_is_exported(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    rows = [ROW, ROW | {"step": 2, "sequences": 64, "batch_loss": 9.5, "seconds": 0.25}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "manifest.json").write_text('{"run_id": "abc", "format": 3, "user": "somebody"}')
    run = RunFolder(folder, RunConfig(), Machine.choose("cpu", 1, "eager"))
    assert list(run.metrics()[0])[:2] == ["step", "sequences"]
    path = tmp_path / "curves.csv"
    export(run, path)
    with open(path) as file:
        header, first, _ = csv.reader(file)
    assert header == [
        *("sequences", "batch_loss", "train/loss", "iwl/accuracy", "iwl/context_probability")
    ], "all but what is never defined, and the time"
    assert first == ["0", "", "9.8765", "0.25", "0.125"]
    np.testing.assert_array_equal(
        read_curves(path, "batch_loss").values["batch_loss"], [np.nan, 9.5]
    )
    record = json.loads(path.with_suffix(".json").read_text())
    assert (record["run_id"], record["step"]) == ("abc", 2) and "user" not in record


def test_lines_that_come_too_soon_are_left_out(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    seen = [0, 32, 64, 96, 128, 144, 160, 161]
    rows = [ROW | {"step": k, "sequences": sequences} for k, sequences in enumerate(seen)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "manifest.json").write_text('{"run_id": "abc", "format": 3}')
    run = RunFolder(folder, RunConfig(), Machine.choose("cpu", 1, "eager"))
    for spacing, kept in ((0, seen), (0.5, [0, 32, 64, 96, 144, 161])):
        export(run, tmp_path / "curves.csv", spacing)
        assert list(read_curves(tmp_path / "curves.csv", "loss").sequences) == kept
