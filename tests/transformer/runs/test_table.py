"""The metrics of many runs in long form."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.transformer.conftest import HERE, tiny_config
from transformer import load_run, runs_table
from transformer.runs.folder import create_run
from transformer.runs.table import find_runs


@pytest.fixture
def folder(tmp_path):
    first = {"step": 0, "sequences": 0, "batch_loss": None, "icl/loss": 3.0, "flip/loss": 4.0}
    then = {"step": 7, "sequences": 56, "batch_loss": 2.5, "icl/loss": None, "flip/loss": 1.5}
    base = tiny_config()
    other = replace(base, init_seed=6, optim=replace(base.optim, learning_rate=0.5))
    for name, config, rows in (("a", base, [first, then]), ("deep/b", other, [first])):
        run = create_run(tmp_path / name, config, HERE)
        run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_a_row_for_each_run_step_evaluator_and_metric(folder):
    table = pd.DataFrame(runs_table(folder))
    assert list(table.run) == ["a"] * 4 + ["deep/b"] * 2
    assert list(table.evaluator) == ["icl", "flip"] * 3 and set(table.metric) == {"loss"}
    assert list(table.step) == [0, 0, 7, 7, 0, 0] and list(table.sequences[2:4]) == [56, 56]
    assert table.value[:4].fillna(-1).tolist() == [3.0, 4.0, -1, 1.5]
    assert table.batch_loss[2] == 2.5
    assert table.run_id.nunique() == 2


def test_seeds_and_the_settings_that_differ_are_columns(folder):
    first, *_, last = runs_table(folder)
    assert (first["init_seed"], last["init_seed"]) == (5, 6)
    assert (first["data_seed"], first["eval_seed"]) == (2, 1)
    assert last["optim.learning_rate"] == 0.5
    assert {name for name in first if "." in name} == {"optim.learning_rate"}


def test_hidden_folders_below_hold_no_runs(folder):
    """Such as copies that were killed."""
    shutil.copytree(folder / "a", folder / ".a.tmp")
    shutil.copytree(folder / "a", folder / "deep" / ".old" / "c")
    assert [*find_runs(folder)] == ["a", "deep/b"]
    hidden = find_runs(folder / ".a.tmp")
    assert hidden == {".a.tmp": folder / ".a.tmp"}, "unless one is asked for"


def test_a_run_that_cannot_be_read_is_left_out_with_a_warning(folder):
    (folder / "a" / "manifest.json").write_text("{")
    with pytest.warns(UserWarning, match="a is left out: .* damaged"):
        assert {row["run"] for row in runs_table(folder)} == {"deep/b"}


def test_a_run_shows_itself(folder):
    run = load_run(folder / "a")
    assert repr(run) == f"<RunFolder {run.path}: run {run.config.run_id()}, step 0 of 40>"
    html = run._repr_html_()
    assert html.startswith("<table>") and "created: not started; resume it" in html
    frame = run.to_frame()
    assert list(frame.columns[:2]) == ["step", "sequences"]
    assert {"seconds", "batch_loss", "icl/loss", "flip/loss"} <= {*frame.columns}
    assert list(frame["step"]) == [0, 7] and list(frame["flip/loss"]) == [4.0, 1.5]
    assert np.isnan(frame["batch_loss"][0])
