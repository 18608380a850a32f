"""A small graph worked off by processes: what is made, and what happens when something fails."""

import errno
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from coopetition.tools.errors import UserError
from tests.transformer.sweeps.conftest import NODES
from transformer.experiments.plans import load_plan
from transformer.runs.folder import load_run
from transformer.sweeps.local import work
from transformer.sweeps.plan import Plan
from transformer.sweeps.report import in_words
from transformer.sweeps.status import Busy, Standing, failure, held, standings
from transformer.sweeps.train import Train


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
    assert json.loads(call(*command, "--node", "first", "--json"))["state"] == "done"
    assert "unknown" not in call(*command, "--node", "nothing", expect=2)


def test_the_dry_run_counts_and_times(tmp_path, plan_file, call, monkeypatch):
    monkeypatch.setattr("transformer.training.cost.TIMED_S", 0.02)
    runs = tmp_path / "runs"
    command = ("transformer", "sweep", plan_file, "--runs", runs, "--dry-run", "--json")
    rows = {row["node"]: row for row in map(json.loads, call(*command).splitlines())}
    assert {name: rows[name]["state"] for name in ("first", "on")} == {
        "first": "ready",
        "on": "waiting",
    }
    assert rows["long"]["steps"] == 60 and rows["first"]["seconds_left"] > 0
    assert rows["norms"]["needs"] == ["first", "pair"] and rows["norms"]["seconds_left"] is None
    assert rows["first"]["disk_bytes"] > 10_000
    assert not runs.exists()
    words = in_words(rows["norms"] | {"needs": list("abcde")})
    assert (words["needs"], words["left"], words["disk"]) == ("a, b, c and 2 more", None, None)
    assert in_words(rows["first"] | {"seconds_left": 3723.4})["left"] == "1:02:03"


@pytest.mark.parametrize("flag", ["--jobs", "--threads"])
def test_a_sweep_of_no_process_is_refused_before_anything_is_made(plan_file, tmp_path, call, flag):
    runs = tmp_path / "runs"
    told = call("transformer", "sweep", plan_file, "--runs", runs, flag, -1, expect=2)
    assert f"{flag} -1: choose at least 1" in told and not runs.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--device", "abacus"], "device 'abacus' is not available here; choose auto or one of"),
        (["--node", "first", "--status"], "does that node and nothing else; leave --status out"),
        (["--node", "first", "--only", "on"], "leave --only out, or choose nodes by --only first"),
        (["--only"], "--only: no names; give some, or leave it out"),
        (["--status", "--dry-run"], "both tell instead of doing; choose one"),
        (["--data", "tokens", "a"], "--data tokens: the plan wants no such file (it wants none)"),
        (["--data", "tokens", "a", "--data", "tokens", "b"], "tokens comes more than once"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_made(
    plan_file, tmp_path, call, flags, message
):
    runs = tmp_path / "runs"
    assert message in call("transformer", "sweep", plan_file, "--runs", runs, *flags, expect=2)
    assert not runs.exists()


@pytest.mark.parametrize("flags", [[], ["--status"], ["--dry-run"], ["--node", "first"]])
@pytest.mark.parametrize("within", ["", "runs"])
def test_a_place_that_is_no_folder_is_refused(plan_file, call, flags, within):
    runs = plan_file / within
    told = call("transformer", "sweep", plan_file, "--runs", runs, *flags, expect=2)
    assert f"{plan_file} is no folder to be opened; name another place" in told


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
    rows = [json.loads(line) for line in call(*command, "--dry-run", "--json").splitlines()]
    found = {row["node"]: row["message"] for row in rows}
    assert "is not finite" in found["first"] and found["pair"] is None
    assert found["on"] == "needs first"


def test_a_run_whose_last_metrics_are_gone_is_not_done(runs, plan):
    """Its curves would be taken for those of a shorter run."""
    file = runs / "first" / "metrics.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert not load_run(runs / "first").is_finished()
    assert standings(plan, runs)["first"].state == "stopped"


def test_the_dry_run_tells_what_is_not_installed(tmp_path, call, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    command = ("transformer", "sweep", "coopetition", "--runs", tmp_path, "--only", "features")
    row = json.loads(call(*command, "--dry-run", "--json"))
    assert row["state"] == "ready"
    assert "pip install 'coopetition[encoder]'" in row["message"]


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
        patch.setattr("transformer.runs.loop.end_session", full)
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


@pytest.mark.parametrize(("content", "how"), [(None, "missing"), (b"nothing", "damaged")])
def test_a_lost_checkpoint_of_a_parent_is_told_with_the_way_out(swept, runs, plan, content, how):
    shutil.rmtree(runs / "on")
    file = load_run(runs / "first").checkpoint_path(20)
    file.unlink() if content is None else file.write_bytes(content)
    told = f"{file}, from which on starts, is {how}; restore it, or move {runs / 'first'} away"
    with pytest.raises(UserError, match=re.escape(told)):
        work(plan, "on", runs, "cpu")
    assert told in standings(plan, runs)["on"].message
    if content is None:
        shutil.rmtree(runs / "first")
        for name in ("first", "on"):
            work(plan, name, runs, "cpu")
        once, again = (load_run(folder / "on").checkpoint(40) for folder in (swept, runs))
        assert once.tensors["W_U"].equal(again.tensors["W_U"])


def test_a_run_starts_from_weights_in_half_precision(plan, tmp_path):
    first, on = (plan.nodes[name] for name in ("first", "on"))
    halved = replace(first, config=replace(first.config, keep_half=True))
    plan = Plan([halved, on])
    for name in plan.nodes:
        work(plan, name, tmp_path, "cpu")
    assert set(states(plan, tmp_path).values()) == {"done"}
    assert load_run(tmp_path / "on").config.start.run_id.endswith("/half")


def test_what_is_longer_has_all_metrics_and_the_last_checkpoint_of_what_is_shorter(plan, tmp_path):
    config = plan.nodes["first"].config
    evaluation = replace(config.evaluation, per_sequence=True)
    config = replace(config, n_steps=20, keep=("all", "all"), evaluation=evaluation)
    plan = Plan(
        [
            Train(name="short", config=config),
            Train(name="long", config=replace(config, n_steps=30), longer_than="short"),
        ]
    )
    for name in plan.nodes:
        work(plan, name, tmp_path, "cpu")
    long = load_run(tmp_path / "long")
    assert long.steps() == long.state_steps() == [20, 30]
    by_sequence = {int(path.stem.removeprefix("step_")) for path in long.path.glob("sequences/*")}
    assert by_sequence == {row["step"] for row in long.metrics()} == {0, 10, 20, 30}


def test_a_measure_waits_for_runs_that_are_gone(runs, plan):
    shutil.rmtree(runs / "first")
    found = standings(plan, runs)
    assert found["norms"] == Standing("waiting", "for first; 1 of 2 done")
    assert found["events"] == Standing("waiting", "for first; 3 of 4 done")
    assert found["first"].state == "ready" and found["on"].state == "done"


def test_a_node_that_is_asked_for_too_early_has_not_failed(plan, tmp_path):
    with pytest.raises(UserError, match="events needs first, on, long and 1 more, not done yet"):
        work(plan, "events", tmp_path, "cpu")
    assert states(plan, tmp_path)["events"] == "waiting"


def test_what_is_no_run_is_not_written_over(plan, tmp_path):
    for name in ("first", "pair"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").touch()
        with pytest.raises(UserError, match="holds no run of the plan's; move it away"):
            work(plan, name, tmp_path, "cpu")
        assert states(plan, tmp_path)[name] == "failed"


def test_another_run_in_a_folder_is_told_in_a_line_and_kept(runs, plan):
    shutil.rmtree(runs / "first")
    shutil.copytree(runs / "pair" / "seed_6", runs / "first")
    told = standings(plan, runs)["first"]
    assert told.state == "failed" and "(init_seed=6, not 5)" in told.message
    with pytest.raises(UserError, match="holds another run than the plan's"):
        work(plan, "first", runs, "cpu")
    assert len(load_run(runs / "first").metrics()) == 5, "it is left as it was"


@pytest.mark.parametrize("flags", [[], ["--status"], ["--dry-run"], ["--slurm"], ["--node", "on"]])
@pytest.mark.parametrize("within", ["first", "first/checkpoints", "pair", "pair/seed_6"])
def test_a_sweep_into_the_folder_of_a_run_is_refused(swept, plan_file, call, flags, within):
    runs = swept / within
    told = call("transformer", "sweep", plan_file, "--runs", runs, *flags, expect=2)
    assert "--runs" in told and str(runs) in told
    assert not list(runs.glob(".sweep"))
