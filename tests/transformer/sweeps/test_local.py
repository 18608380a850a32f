"""A small plan run by processes of this machine, and by calls within one."""

import errno
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from coopetition.tools.errors import UserError
from tests.transformer.conftest import tiny_config
from tests.transformer.sweeps.conftest import NODES
from transformer import train
from transformer.cli import main
from transformer.config import OptimConfig, StartConfig
from transformer.experiments.plans import load_plan
from transformer.runs.folder import RunFolder, load_run, load_runs, set_status
from transformer.sweeps.plan import Plan
from transformer.sweeps.report import progress_line, readable_row, time_left
from transformer.sweeps.status import (
    Busy,
    NodeStatus,
    clear_failure,
    hold_node,
    plan_status,
    read_failure,
)
from transformer.sweeps.train import Train
from transformer.sweeps.work import run_node
from transformer.training.machine import Machine


@pytest.fixture
def plan(plan_file):
    return load_plan(str(plan_file), "cpu")


@pytest.fixture
def runs(swept, tmp_path):
    """A copy of the finished plan's folder."""
    return shutil.copytree(swept, tmp_path / "runs")


@pytest.fixture
def sweep(call, plan_file):
    """Call `sweep` on the plan, or on another; return its rows, or its error."""

    def sweep(runs, *flags, expect=0, plan=plan_file):
        command = ("transformer", "sweep", plan, "--runs", runs, "--device", "cpu", *flags)
        said = call(*command, "--json", expect=expect)
        if expect:
            return said
        return {row["node"]: row for row in map(json.loads, said.splitlines())}

    return sweep


def states(plan, runs):
    return {name: status.state for name, status in plan_status(plan, runs).items()}


def full_disk(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_sweep_makes_all_that_the_plan_names(swept, plan):
    assert states(plan, swept) == dict.fromkeys(NODES, "done")
    first, on, long = (load_run(swept / name) for name in ("first", "on", "long"))
    assert on.config.start.run_id == first.config.run_id() == long.config.run_id()
    assert long.steps() == [40, 50, 60] and first.steps() == [10, 20, 30, 40]
    assert long.metrics()[:5] == first.metrics()
    assert (swept / "pair" / "seed_6" / "metrics.jsonl").exists()
    rows = (swept / "norms" / "table.csv").read_text().splitlines()
    assert rows[0].startswith("run,run_id,step,sequences,encoder") and len(rows) == 1 + 3 * 4


def test_finished_nodes_are_left_alone(runs, sweep):
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*.*") if path.is_file()}
    assert {row["state"] for row in sweep(runs).values()} == {"done"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sweep(runs, "--node", "first")["first"]["state"] == "done"


def test_a_dry_run_shows_the_nodes_and_writes_nothing(tmp_path, sweep, capsys, monkeypatch):
    rows = sweep(tmp_path / "runs", "--dry-run")
    assert (rows["first"]["state"], rows["on"]["state"]) == ("ready", "waiting")
    assert rows["long"]["steps"] == 60 and rows["norms"]["steps"] is None
    assert rows["norms"]["needs"] == ["first", "pair"]
    assert rows["first"]["disk_bytes"] > 10_000
    assert not (tmp_path / "runs").exists()
    assert readable_row(rows["first"] | {"needs": list("abcde")})["needs"] == "a, b, c and 2 more"
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    row = sweep(tmp_path, "--only", "features", "--dry-run", plan="coopetition")["features"]
    assert row["state"] == "ready" and "pip install efficientnet-lite-pytorch" in row["message"]


def test_the_time_left_is_that_of_the_steps_that_are_left(runs, plan):
    """At the mean time of a step: 40 of 200 steps are left, by 2 processes."""
    shutil.rmtree(runs / "pair")
    for file in runs.glob("*/metrics.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        rows = [row | {"seconds": 90.0 * row["step"]} for row in rows]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert time_left(plan, plan_status(plan, runs), runs, 2) == "0:30:00"
    nothing = runs / "nothing"
    assert time_left(plan, plan_status(plan, nothing), nothing, 2) == "unknown"


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_recorded_steps_beyond_the_plans_are_kept_and_noted(runs, plan, plan_file, capsys, flags):
    shorter = plan_file.with_name("shorter.py")
    shorter.write_text(plan_file.read_text().replace("n_steps=60", "n_steps=50"))
    command = ["sweep", str(shorter), "--runs", str(runs), "--device", "cpu", *flags]
    assert main(command) == 0
    first_line = capsys.readouterr().err.splitlines()[0]
    assert "note" in first_line and "long (60, not 50)" in first_line
    assert states(plan, runs)["long"] == "done"


@pytest.mark.parametrize(
    "flags",
    [
        ["--jobs", 0],
        ["--threads", -1],
        ["--device", "abacus"],
        ["--node", "nothing"],
        ["--node", "first", "--status"],
        ["--node", "first", "--only", "on"],
        ["--only"],
        ["--only", "nothing"],
        ["--status", "--dry-run"],
        ["--retry", "--status"],
        ["--partition", "gpu"],
        ["--data", "tokens", "a"],
        ["--data", "tokens", "a", "--data", "tokens", "b"],
    ],
)
def test_flags_that_cannot_work_are_refused_before_anything_is_written(tmp_path, sweep, flags):
    name = "--slurm" if flags[0] == "--partition" else flags[0].removeprefix("--")
    assert name in sweep(tmp_path / "runs", *flags, expect=2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("flags", [[], ["--status"], ["--dry-run"], ["--slurm"], ["--node", "on"]])
def test_a_folder_that_cannot_be_a_sweeps_is_refused(swept, plan_file, sweep, flags):
    run_folders = [swept / name for name in ("first", "first/checkpoints", "pair", "pair/seed_6")]
    for runs in (*run_folders, plan_file, plan_file / "runs"):
        assert str(runs) in sweep(runs, *flags, expect=2)
        assert not (runs / ".sweep").exists()


def test_a_failed_node_blocks_only_those_that_need_it(plan_file, tmp_path, sweep):
    path, runs = tmp_path / "diverging.py", tmp_path / "runs"
    text = plan_file.read_text().replace("ModelConfig,", "ModelConfig, OptimConfig,")
    diverging = "n_steps=40, optim=OptimConfig(algorithm='sgd', learning_rate=1e30),"
    text = text.replace("n_steps=40,", diverging)
    path.write_text(text.replace("init_seed=n)", "init_seed=n, optim=OptimConfig())"))
    said = sweep(runs, "--jobs", 2, expect=1, plan=path)
    assert "5 of 6" in said and "--retry" not in said
    rows = sweep(runs, "--status", plan=path)
    assert rows["pair"]["state"] == "done" and rows["first"]["state"] == "failed"
    assert "finite" in rows["first"]["message"]
    assert {rows[name]["state"] for name in ("on", "long", "norms", "events")} == {"blocked"}
    rows = sweep(runs, "--dry-run", plan=path)
    assert "finite" in rows["first"]["message"] and "first" in rows["on"]["message"]
    assert rows["pair"]["message"] is None


@pytest.mark.parametrize("together", [False, True])
def test_a_node_that_diverged_starts_anew_when_it_is_moved_away(tmp_path, together):
    """By the plan that was changed as the message says; until then nothing runs it again."""
    tame = OptimConfig(algorithm="sgd")
    wild = replace(tame, learning_rate=1e30)
    config = replace(tiny_config(), n_steps=4, optim=tame)

    def node(optim):
        first = replace(config, optim=optim)
        pair = {"a": first, "b": replace(config, init_seed=6)}
        return Train(name="wild", config=pair if together else first)

    plan, folder = Plan([node(wild)]), tmp_path / "wild"
    for _ in range(2):
        with pytest.raises(UserError, match="not finite") as caught:
            run_node(plan, "wild", tmp_path, "cpu")
        message = str(caught.value)
        assert f"move {folder} away" in message and "plan" in message and "1e+30" in message
        assert "new folder" not in message and "--retry" not in message
        assert plan_status(plan, tmp_path)["wild"] == NodeStatus("failed", message)
        clear_failure(tmp_path, "wild")  # as --retry does
    with pytest.raises(UserError):
        run_node(plan, "wild", tmp_path, "cpu")
    changed = Plan([node(tame)])
    assert "move it away" in plan_status(changed, tmp_path)["wild"].message
    folder.rename(tmp_path / "elsewhere")
    assert states(changed, tmp_path) == {"wild": "ready"}
    run_node(changed, "wild", tmp_path, "cpu")
    assert states(changed, tmp_path) == {"wild": "done"}


def test_a_node_that_found_the_disk_full_has_failed_and_runs_again(
    runs, swept, plan, sweep, monkeypatch
):
    """Tables with --retry only; a run ends as one that did not find the disk full."""
    for name, function in (
        ("events", "transformer.sweeps.measure.write_text"),
        ("first", "transformer.runs.session.end_session"),
    ):
        shutil.rmtree(runs / name)
        with (
            monkeypatch.context() as patch,
            pytest.raises((OSError, UserError), match="No space left"),
        ):
            patch.setattr(function, full_disk)
            run_node(plan, name, runs, "cpu")
        assert "No space left" in read_failure(runs, name) and states(plan, runs)[name] == "failed"
    said = sweep(runs, expect=1)
    assert "of 6" in said and "--retry" in said
    assert {row["state"] for row in sweep(runs, "--retry").values()} == {"done"}
    once, again = (load_run(folder / "first") for folder in (swept, runs))
    for step in once.steps():
        assert once.checkpoint_path(step).read_bytes() == again.checkpoint_path(step).read_bytes()


def test_only_one_process_works_on_a_node(plan, runs, plan_file):
    with hold_node(runs, "first"):
        with pytest.raises(Busy, match="first"):
            run_node(plan, "first", runs)
        assert states(plan, runs)["first"] == "running"
        command = [sys.executable, "-m", "transformer", "sweep", plan_file, "--runs", runs]
        done = subprocess.run([*command, "--node", "first"], capture_output=True)
        assert done.returncode == Busy.exit_code


@pytest.mark.parametrize(("content", "how"), [(None, "missing"), (b"nothing", "damaged")])
def test_a_lost_checkpoint_of_a_parent_is_named(swept, runs, plan, content, how):
    shutil.rmtree(runs / "on")
    file = load_run(runs / "first").checkpoint_path(20)
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(UserError, match=how):
        run_node(plan, "on", runs, "cpu")
    message = plan_status(plan, runs)["on"].message
    assert str(file) in message and how in message and "--retry" in message
    if content is None:
        shutil.rmtree(runs / "first")
        for name in ("first", "on"):
            run_node(plan, name, runs, "cpu")
        once, again = (load_run(folder / "on").checkpoint(40) for folder in (swept, runs))
        assert once.tensors["W_U"].equal(again.tensors["W_U"])


def test_an_extension_has_all_metrics_and_the_last_checkpoint(plan, tmp_path):
    """Weights in half precision too, from which another run starts."""
    config = plan.nodes["first"].config
    evaluation = replace(config.evaluation, per_sequence=True)
    config = replace(config, n_steps=20, keep=("all", "all"), evaluation=evaluation, keep_half=True)
    longer = Train(name="long", config=replace(config, n_steps=30), extends="first")
    plan = Plan([Train(name="first", config=config), longer, plan.nodes["on"]])
    for name in plan.nodes:
        run_node(plan, name, tmp_path, "cpu")
    long = load_run(tmp_path / "long")
    assert long.steps() == long.state_steps() == [20, 30]
    by_sequence = {int(path.stem.removeprefix("step_")) for path in long.path.glob("sequences/*")}
    assert by_sequence == {row["step"] for row in long.metrics()} == {0, 10, 20, 30}
    assert load_run(tmp_path / "on").config.start.run_id.endswith("/half")
    assert {*states(plan, tmp_path).values()} == {"done"}


def test_an_extension_keeps_the_checkpoints_of_its_own_config(plan, tmp_path):
    """Other nodes start from them; the trained numbers are those of any other schedule."""
    first = replace(plan.nodes["first"].config, n_steps=20)
    long = replace(first, n_steps=30, checkpoint_at=(25,), keep=("1", "last"))
    start = replace(plan.nodes["on"].config, start=StartConfig(step=25), n_steps=5)
    nodes = [
        Train(name="first", config=first),
        Train(name="long", config=long, extends="first"),
        Train(name="on", config=start, after="long"),
    ]
    for name in (plan := Plan(nodes)).nodes:
        run_node(plan, name, tmp_path, "cpu")
    assert load_run(tmp_path / "long").steps() == [25, 30]
    assert {*states(plan, tmp_path).values()} == {"done"}
    whole = train(long, tmp_path / "whole", Machine("cpu", 1, "eager"))
    for run in (load_run(tmp_path / "long"), whole):
        tensors = run.checkpoint(25).tensors
        assert all(value.equal(whole.checkpoint(25).tensors[n]) for n, value in tensors.items())


@pytest.mark.parametrize("together", [False, True])
def test_an_interrupted_node_continues_by_the_checkpoints_of_its_plan(tmp_path, together):
    def node(n_steps, **changes):
        config = replace(tiny_config(), n_steps=n_steps, **changes)
        pair = {"a": config, "b": replace(config, init_seed=6)}
        return Train(name="node", config=pair if together else config)

    node(10).execute(tmp_path, "cpu", 1)
    node(20, checkpoint_at=(13,), checkpoint_every=0).execute(tmp_path, "cpu", 1)
    for run in load_runs(tmp_path / "node"):
        assert run.steps() == [10, 13, 20] and run.config.checkpoint_at == (13,)


def test_unfinished_nodes_have_not_failed(runs, plan):
    file = runs / "pair" / "seed_6" / "metrics.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    shutil.rmtree(runs / "first")
    statuses = plan_status(plan, runs)
    assert statuses["norms"] == NodeStatus("waiting", "for first, pair; 0 of 2 done")
    expected = {"first": "ready", "on": "done", "pair": "stopped"}
    assert expected.items() <= states(plan, runs).items()
    with pytest.raises(UserError, match="first, pair"):
        run_node(plan, "events", runs, "cpu")
    assert states(plan, runs)["events"] == "waiting"


def test_a_damaged_line_of_metrics_is_a_failure_of_its_own_node_alone(runs, plan, sweep):
    """Also of a run that is not finished, whose metrics say how far it is."""
    for name in ("first", "on"):
        file = runs / name / "metrics.jsonl"
        file.write_text(file.read_text().replace('"step": 20,', '"step": spoilt,'))
    set_status([load_run(runs / "on")], "interrupted", "")
    found = states(plan, runs)
    assert found["first"] == "failed" and found["on"] == "stopped" and found["long"] == "done"
    assert sweep(runs, "--dry-run")["first"]["state"] == "failed"
    assert progress_line(plan, runs, 1)


def test_progress_verifies_no_weights_of_nodes_that_are_known_to_be_done(runs, plan, monkeypatch):
    whole = progress_line(plan, runs, 1)
    monkeypatch.setattr(RunFolder, "checkpoint", None)
    assert progress_line(plan, runs, 1, done=plan.nodes) == whole


def test_files_of_others_are_not_overwritten(runs, plan, tmp_path):
    other = tmp_path / "other"
    for name in ("first", "pair"):
        (other / name).mkdir(parents=True)
        (other / name / "thesis.tex").touch()
        with pytest.raises(UserError, match=name):
            run_node(plan, name, other, "cpu")
        assert states(plan, other)[name] == "failed"
        assert (other / name / "thesis.tex").exists()
    shutil.rmtree(runs / "first")
    shutil.copytree(runs / "pair" / "seed_6", runs / "first")
    status = plan_status(plan, runs)["first"]
    assert status.state == "failed" and "(init_seed=6, not 5)" in status.message
    with pytest.raises(UserError, match="init_seed=6"):
        run_node(plan, "first", runs, "cpu")
    assert len(load_run(runs / "first").metrics()) == 5


def test_an_ensemble_that_was_killed_at_its_start_is_made_anew(tmp_path):
    """At any of its moments: a run's folder, its lock, its manifest."""
    config = replace(tiny_config(), n_steps=4)
    node = Train(name="pair", config={"a": config, "b": replace(config, init_seed=6)})
    (tmp_path / "pair" / "a").mkdir(parents=True)
    (tmp_path / "pair" / "a" / "manifest.json").write_text("{}")
    (tmp_path / "pair" / "b").mkdir()
    (tmp_path / "pair" / "b" / ".lock").touch()
    node.execute(tmp_path, "cpu", 1)
    assert node.is_done(tmp_path)
