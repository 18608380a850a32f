"""Jobs of Slurm where there is none; where there is one, tests/slurm."""

import sys

import pytest

from coopetition.tools.errors import UsageError
from transformer.sweeps.slurm import LEAST_MINUTES, Resources

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
