"""Jobs of Slurm where there is none; where there is one, tests/slurm."""

import json
import sys

import pytest

from coopetition.tools.errors import UsageError
from transformer.cli import main
from transformer.sweeps.slurm import LEAST_MINUTES, Resources, jobs_of

SWEEP = ("transformer", "sweep", "coopetition", "--scale", "smoke", "--runs")


@pytest.mark.parametrize("also", [(), ("--status",)])
def test_without_slurm_that_is_said(call, tmp_path, monkeypatch, also):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = call(*SWEEP, tmp_path / "runs", "--slurm", *also, expect=1)
    assert "no squeue here; call it where jobs are submitted" in said


def test_without_submitit_that_is_said(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    said = call(*SWEEP, tmp_path / "runs", "--slurm", expect=1)
    assert "--slurm needs submitit; pip install 'coopetition[slurm]'" in said
    assert not (tmp_path / "runs").exists()


def test_what_jobs_ask_for_is_refused_where_there_are_none(call, tmp_path):
    said = call(*SWEEP, tmp_path / "runs", "--partition", "gpu", expect=2)
    assert "of no use without --slurm" in said


def test_a_job_has_time_to_do_something(call, tmp_path):
    with pytest.raises(UsageError, match=f"choose {LEAST_MINUTES} or more"):
        Resources(minutes=LEAST_MINUTES - 1)
    Resources(minutes=LEAST_MINUTES)
    said = call(*SWEEP, tmp_path / "runs", "--slurm", "--minutes", LEAST_MINUTES - 1, expect=2)
    assert f"choose {LEAST_MINUTES} or more" in said


@pytest.mark.parametrize(
    "mistake",
    [{"gpus": -1}, {"memory_gb": 0}, {"sbatch": ("foo",)}, {"sbatch": ("qos=long", "--exclusiv")}],
)
def test_what_no_job_can_ask_for_is_refused(mistake):
    with pytest.raises(UsageError):
        Resources(**mistake)
    assert Resources(gpus=0, memory_gb=0.5, sbatch=("qos=long", "--exclusive"))


def test_a_dry_run_shows_jobs_options_and_where_steps_are_timed(capsys, tmp_path, plan_file):
    ask = ("--slurm", "--gpus", 2, "--partition", "fast", "--sbatch", "qos=long", "--dry-run")
    given = ("sweep", plan_file, "--runs", tmp_path / "runs", *ask, "--json")
    assert main([str(each) for each in given]) == 0
    done = capsys.readouterr()
    rows = {row["node"]: row for row in map(json.loads, done.out.splitlines())}
    jobs = {name: row["job"] for name, row in rows.items()}
    assert len({*jobs.values()}) == len(rows) and None not in jobs.values()
    for row in rows.values():
        assert row["after"] == [jobs[need] for need in row["needs"]]
    for option in ("--gpus-per-node=2", "--partition=fast", "--qos=long", "--time=240"):
        assert option in done.err
    assert f"{len(rows)} jobs" in done.err and "MiB" in done.err
    assert "(cpu)" in done.err or "cuda" in done.err
    assert not (tmp_path / "runs").exists()


def test_a_folder_whose_name_slurm_changes_is_refused(call, tmp_path):
    said = call(*SWEEP, tmp_path / "50%j", "--slurm", "--dry-run", expect=2)
    assert "%" in said and "--runs" in said


def test_a_job_with_a_blank_name_is_not_ours(tmp_path, monkeypatch):
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\necho '7 PENDING '\necho '8 RUNNING other job'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert jobs_of(["first"], tmp_path) == {}


def test_an_option_that_a_plugin_adds_to_sbatch_is_taken(tmp_path, monkeypatch):
    program = tmp_path / "sbatch"
    program.write_text("#!/bin/sh\necho '      --container-image=[USER@]IMAGE'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert Resources(sbatch=("container-image=x",))
    with pytest.raises(UsageError, match="'container'"):
        Resources(sbatch=("container=x",))
