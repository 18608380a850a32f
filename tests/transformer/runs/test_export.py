"""A run's curves as a small file."""

import csv
import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coopetition.fitting.reading import read_curves
from transformer.config import RunConfig
from transformer.runs.export import curves_csv, export
from transformer.runs.folder import RunFolder
from transformer.training.machine import Machine

ROW = {"step": 0, "sequences": 0, "batch_loss": None, "train/loss": 9.87654321}
ROW |= {"iwl/accuracy": 0.25, "iwl/in_context_loss": None, "iwl/context_probability": 0.125}


def test_everything_that_was_measured_is_exported(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    rows = [
        ROW,
        ROW | {"step": 2, "sequences": 64, "batch_loss": 9.5, "seconds": 0.25},
        ROW | {"step": 3, "sequences": 96, "batch_loss": 9.0, "seconds": 0.5},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "manifest.json").write_text('{"run_id": "abc", "format": 3, "user": "somebody"}')
    run = RunFolder(folder, RunConfig(), Machine.choose("cpu", 1, "eager"))
    assert list(run.metrics()[0])[:2] == ["step", "sequences"]
    path = tmp_path / "curves.csv"
    export(run, path)
    with open(path) as file:
        header, first, *_ = csv.reader(file)
    assert header == [
        *("sequences", "batch_loss", "train/loss", "iwl/accuracy", "iwl/context_probability")
    ], "all but what is never defined, and the time"
    assert first == ["0", "", "9.8765", "0.25", "0.125"]
    np.testing.assert_array_equal(read_curves(path, "batch_loss").values["batch_loss"], [9.5, 9.0])
    record = json.loads(path.with_suffix(".json").read_text())
    assert (record["run_id"], record["step"]) == (run.config.run_id(), 3) and "user" not in record


def spaced(rows, folder, spacing):
    """The lines of an exported run of these rows."""
    path = folder / "run" / "metrics.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = RunFolder(path.parent, RunConfig(), Machine("cpu", 1, "eager"))
    return list(csv.DictReader(curves_csv(run.metrics(), spacing).splitlines()))


def test_lines_that_come_too_soon_are_left_out(tmp_path):
    seen = [0, 32, 64, 96, 128, 144, 160, 161]
    rows = [ROW | {"step": k, "sequences": sequences} for k, sequences in enumerate(seen)]
    for spacing, kept in ((0, seen), (0.5, [0, 32, 64, 96, 144, 161])):
        assert [int(row["sequences"]) for row in spaced(rows, tmp_path, spacing)] == kept


ACCURACIES = st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=60)


@given(ACCURACIES, st.floats(0, 0.5))
def test_peaks_stay_and_nothing_is_further_from_a_kept_line_than_the_spacing(values, spacing):
    rows = [ROW | {"step": k, "sequences": 10 * k, "flip/x": v} for k, v in enumerate(values)]
    with tempfile.TemporaryDirectory() as folder:
        kept = spaced(rows, Path(folder), spacing)
    seen = [int(row["sequences"]) for row in kept]
    for row in rows:
        before = max(each for each in seen if each <= row["sequences"])
        assert row["sequences"] <= before * (1 + spacing)
    assert seen[-1] == rows[-1]["sequences"]
    known = [value for value in values if value is not None]
    found = [float(row["flip/x"]) for row in kept if row.get("flip/x")]
    assert (not known and not found) or (max(known), min(known)) == (max(found), min(found))
    top = next((row["sequences"] for row in rows if known and row["flip/x"] == max(known)), 0)
    assert top in seen, "where the peak is"
