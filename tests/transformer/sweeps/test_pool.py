"""A small graph worked off by processes: what is made, and what happens when something fails."""

import errno
import json
import shutil
import subprocess
import sys

import pytest

from coopetition.tools.errors import UserError
from tests.transformer.sweeps.conftest import NODES
from transformer.experiments.plans import load_plan
from transformer.runs.folder import load_run
from transformer.sweeps.standing import Busy, failure, held, standings
from transformer.sweeps.work import work


@pytest.fixture
def plan(plan_file):
    return load_plan(str(plan_file), "cpu")


@pytest.fixture
def runs(swept, tmp_path):
    """A copy of what the plan makes."""
    return shutil.copytree(swept, tmp_path / "runs")


def states(plan, runs):
    return {name: each.state for name, each in standings(plan, runs).items()}


def test_all_that_the_plan_names_is_made(swept, plan):
    assert set(states(plan, swept).values()) == {"done"} and {*plan.nodes} == {*NODES}
    first, on, long = (load_run(swept / name) for name in ("first", "on", "long"))
    assert on.config.start.run_id == first.config.run_id() == long.config.run_id()
    assert long.steps() == [40, 50, 60] and first.steps() == [10, 20, 30, 40]
    assert long.metrics()[:5] == first.metrics()
    assert (swept / "pair" / "seed_6" / "metrics.jsonl").exists()
    rows = (swept / "norms" / "table.csv").read_text().splitlines()
    assert rows[0].startswith("run,run_id,step,sequences,encoder") and len(rows) == 1 + 3 * 4


def test_what_is_done_is_left_alone(runs, plan_file, call):
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*.*") if path.is_file()}
    command = ("transformer", "sweep", plan_file, "--runs", runs, "--device", "cpu")
    lines = call(*command, "--json").splitlines()
    assert {json.loads(line)["state"] for line in lines} == {"done"}
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before
    call(*command, "--node", "first")
    assert "unknown" not in call(*command, "--node", "nothing", expect=2)


def test_the_dry_run_counts_and_times(tmp_path, plan_file, call, monkeypatch):
    monkeypatch.setattr("transformer.training.forecast.TIMED_S", 0.02)
    runs = tmp_path / "runs"
    command = ("transformer", "sweep", plan_file, "--runs", runs, "--dry-run", "--json")
    rows = {row["node"]: row for row in map(json.loads, call(*command).splitlines())}
    assert {name: rows[name]["state"] for name in ("first", "on")} == {
        "first": "ready",
        "on": "waiting",
    }
    assert rows["long"]["steps"] == 60 and rows["first"]["left"] != "unknown"
    assert not runs.exists()


@pytest.mark.parametrize("flag", ["--jobs", "--threads"])
def test_a_sweep_of_no_process_is_refused_before_anything_is_made(plan_file, tmp_path, call, flag):
    runs = tmp_path / "runs"
    told = call("transformer", "sweep", plan_file, "--runs", runs, flag, -1, expect=2)
    assert f"{flag} -1: choose at least 1" in told and not runs.exists()


def diverging(plan_file, tmp_path):
    """The plan with a first run that fails."""
    path = tmp_path / "diverging.py"
    text = plan_file.read_text().replace(
        "    n_steps=40,", "    optim=OptimConfig(algorithm='sgd', learning_rate=1e30), n_steps=40,"
    )
    text = text.replace("ModelConfig,", "ModelConfig, OptimConfig,")
    text = text.replace("init_seed=n)", "init_seed=n, optim=OptimConfig())")
    path.write_text(text)
    return path


def test_a_node_that_fails_stops_what_needs_it_and_nothing_else(plan_file, tmp_path, call):
    runs, path = tmp_path / "runs", diverging(plan_file, tmp_path)
    command = ("transformer", "sweep", path, "--runs", runs, "--device", "cpu", "--jobs", 2)
    told = call(*command, expect=1)
    assert told.endswith("first first; --retry tries those that failed again")
    assert "5 of 6 nodes are not done" in told
    rows = [json.loads(line) for line in call(*command, "--status", "--json").splitlines()]
    found = {row["node"]: row for row in rows}
    assert found["pair"]["state"] == "done" and found["first"]["state"] == "failed"
    assert "is not finite" in found["first"]["message"]
    assert {found[name]["state"] for name in ("on", "long", "norms", "events")} == {"blocked"}


def test_one_that_failed_is_tried_again_when_asked_for(runs, plan, plan_file, call, monkeypatch):
    shutil.rmtree(runs / "events")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("transformer.sweeps.measure.write_text", full)
        work(plan, "events", runs, "cpu")
    assert "No space left" in str(failure(runs, "events")) and not (runs / "events").exists()
    command = ("transformer", "sweep", plan_file, "--runs", runs, "--device", "cpu")
    assert "1 of 6 nodes are not done" in call(*command, expect=1)
    call(*command, "--retry")
    assert set(states(plan, runs).values()) == {"done"}


def test_a_full_disk_loses_nothing_of_a_run(swept, plan, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("transformer.training.session.end_session", full)
        work(plan, "first", tmp_path, "cpu")
    assert states(plan, tmp_path)["first"] == "failed"
    work(plan, "first", tmp_path, "cpu")
    once, again = (load_run(folder / "first") for folder in (swept, tmp_path))
    for step in once.steps():
        files = (run.checkpoint_path(step).read_bytes() for run in (once, again))
        assert len({*files}) == 1


def test_two_processes_do_not_work_on_one_node(plan, runs, plan_file):
    with held(runs, "first"):
        with pytest.raises(Busy, match="first in .* is worked on by another process"):
            work(plan, "first", runs)
        assert standings(plan, runs)["first"].state == "running"
        command = [sys.executable, "-m", "transformer", "sweep", str(plan_file)]
        command += ["--runs", str(runs), "--node", "first"]
        assert subprocess.run(command, capture_output=True).returncode == Busy.exit_code


def test_a_lost_checkpoint_of_a_parent_is_told_in_a_line(runs, plan):
    shutil.rmtree(runs / "on")
    load_run(runs / "first").checkpoint_path(20).unlink()
    with pytest.raises(UserError, match="has no such checkpoint"):
        work(plan, "on", runs, "cpu")
    assert "has no such checkpoint" in standings(plan, runs)["on"].message


def test_another_run_in_a_folder_is_told_in_a_line_and_kept(runs, plan):
    shutil.rmtree(runs / "first")
    shutil.copytree(runs / "pair" / "seed_6", runs / "first")
    told = standings(plan, runs)["first"]
    assert told.state == "failed" and "(init_seed=6, not 5)" in told.message
    with pytest.raises(UserError, match="holds another run than the plan's"):
        work(plan, "first", runs, "cpu")
    assert load_run(runs / "first").is_finished()
