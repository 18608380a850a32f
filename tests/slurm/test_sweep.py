"""A plan whose nodes are jobs ends as it does by processes of one machine."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.transformer.conftest import assert_same_run
from transformer.runs.folder import load_run

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm"), pytest.mark.timeout(600)]

START = """
from dataclasses import replace

from tests.transformer.conftest import tiny_config
from transformer.config import OptimConfig, StartConfig
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

tiny = tiny_config()
long = replace(
    tiny,
    evaluation=replace(tiny.evaluation, every=500),
    checkpoint_every=1000,
    n_steps=6000,  # long enough for a signal to come while it trains
)
"""
SIX = """
start = StartConfig(step=1000)
half = replace(start, parts=("output.0",))
PLAN = Plan([
    Train(name="long", config=long),
    Train(name="other", config=replace(long, init_seed=7)),
    Train(name="resumed", config=replace(tiny, start=start), after="long"),
    Train(name="grafted", config=replace(tiny, start=half), after="other"),
    Train(name="third", config=replace(tiny, start=StartConfig(step=20)), after="resumed"),
    Train(name="alone", config=replace(tiny, init_seed=8)),
])
"""
FAILING = """
wild = replace(tiny, optim=OptimConfig(algorithm="sgd", learning_rate=1e30))
start = replace(tiny, start=StartConfig(step=20))
PLAN = Plan([
    Train(name="wild", config=wild),
    Train(name="child", config=start, after="wild"),
    Train(name="grandchild", config=start, after="child"),
    Train(name="alone", config=tiny),
])
"""


def ask(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def plans(tmp_path_factory) -> dict[str, Path]:
    """Files of the plans, of which a process takes one of each name."""
    folder = tmp_path_factory.mktemp("plans")
    files = {SIX: folder / "six.py", FAILING: folder / "failing.py"}
    for plan, path in files.items():
        path.write_text(START + plan)
    return files


@pytest.fixture
def sweep(call, plans):
    """Call `sweep` on a plan; its rows by node."""

    def sweep(plan: str, runs: Path, *flags: object) -> dict[str, dict]:
        flags = ("--threads", 1, "--device", "cpu", "--json", *flags)
        said = call("transformer", "sweep", plans[plan], "--runs", runs, *flags)
        rows = [json.loads(line) for line in said.splitlines()]
        return {row["node"]: row for row in rows}

    return sweep


def number(row: dict) -> str:
    return row["job"].split()[0]


def wait_for_end(rows: dict[str, dict]) -> dict[str, str]:
    """Return the final state of each job."""
    end, states = time.monotonic() + 300, {}
    for name, row in rows.items():
        while not states.get(name, "").startswith(("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")):
            assert time.monotonic() < end, f"job {row['job']} of {name} is {states[name]}"
            time.sleep(0.1)
            states[name] = ask("squeue", "-h", "-t", "all", "-j", number(row), "-o", "%T")
    return states


def wait_until_trained(runs: Path, name: str) -> None:
    end = time.monotonic() + 120
    while not any((runs / name / "checkpoints").glob("step_*")):
        assert time.monotonic() < end, (runs / ".sweep" / f"{name}.log").read_text()
        time.sleep(0.05)


def test_jobs_that_are_stopped_end_as_processes_that_are_not(sweep, tmp_path):
    """One is put back by `scontrol requeue`, another is told as when its time is nearly over."""
    here, there = tmp_path / "here", tmp_path / "there"
    jobs = sweep(SIX, there, "--slurm")
    wait_until_trained(there, "long")
    ask("scontrol", "requeue", number(jobs["long"]))
    wait_until_trained(there, "other")
    ask("scancel", "--signal=TERM", number(jobs["other"]))
    assert sweep(SIX, there, "--slurm").keys() == jobs.keys()
    assert set(wait_for_end(jobs).values()) == {"COMPLETED"}

    stands = sweep(SIX, there, "--slurm", "--status")
    assert {row["state"] for row in stands.values()} == {"done"}
    assert {name: row["job"] for name, row in stands.items()} == {
        name: f"{number(row)} COMPLETED" for name, row in jobs.items()
    }
    sweep(SIX, here, "--jobs", 2)
    for name in jobs:
        one, other = load_run(here / name), load_run(there / name)
        stopped = set(other.steps()) - set(one.steps())
        assert len(stopped) == (name in ("long", "other")), "it was not stopped while it trained"
        for step in stopped:
            other.checkpoint_path(step).unlink()
        assert_same_run(one, other)


def test_what_needs_a_node_that_failed_is_cancelled_and_the_rest_is_not(sweep, tmp_path):
    jobs = sweep(FAILING, tmp_path / "runs", "--slurm")
    assert wait_for_end(jobs) == {
        "wild": "FAILED",
        "child": "CANCELLED",
        "grandchild": "CANCELLED",
        "alone": "COMPLETED",
    }
    stands = sweep(FAILING, tmp_path / "runs", "--slurm", "--status")
    assert [row["state"] for row in stands.values()] == ["failed", "blocked", "blocked", "done"]
    assert "loss" in stands["wild"]["message"]

    for flags in ([], ["--retry"]):  # what has diverged is not run again
        again = sweep(FAILING, tmp_path / "runs", "--slurm", *flags)
        assert {name: number(row) for name, row in again.items()} == {
            name: number(row) for name, row in jobs.items()
        }
    shutil.rmtree(tmp_path / "runs" / "wild")
    again = sweep(FAILING, tmp_path / "runs", "--slurm")
    anew = {name for name, row in again.items() if number(row) != number(jobs[name])}
    assert anew == {"wild", "child", "grandchild"}
    wait_for_end(again)


def test_a_job_that_is_killed_has_failed_and_one_that_is_cancelled_has_not(sweep, tmp_path):
    runs = tmp_path / "runs"
    jobs = sweep(SIX, runs, "--slurm", "--only", "long", "other")
    for name in jobs:
        wait_until_trained(runs, name)
    ask("scancel", "--signal=KILL", f"{number(jobs['long'])}.0")  # its work, not its shell
    ask("scancel", number(jobs["other"]))
    assert wait_for_end(jobs) == {"long": "FAILED", "other": "CANCELLED"}
    stands = sweep(SIX, runs, "--slurm", "--only", "long", "other", "--status")
    assert stands["long"]["state"] == "failed"
    assert stands["long"]["message"].startswith("its job ended with 137; see ")
    assert stands["other"]["state"] in ("ready", "stopped")


def test_what_slurm_refuses_is_told_in_a_line(call, plans, tmp_path):
    runs = ("--runs", tmp_path / "runs", "--slurm", "--partition", "none")
    said = call("transformer", "sweep", plans[SIX], *runs, expect=1)
    assert "error: long was not submitted; sbatch: error: invalid partition specified" in said
