"""Jobs and their resources where there is no Slurm; tests/slurm has tests with one."""

import sys
from types import ModuleType

import pytest
import torch

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import tiny_config
from transformer.cli import main
from transformer.config.encoders import ENCODERS
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.sweeps.features import Features, TrainEncoder
from transformer.sweeps.measure import ModelTable, RunTable
from transformer.sweeps.plan import Plan
from transformer.sweeps.slurm import MIN_MINUTES, Resources, read_jobs, submit_jobs
from transformer.sweeps.train import Train
from transformer.sweeps.work import run_node

SWEEP = ("transformer", "sweep", "coopetition", "--scale", "smoke", "--runs")
NODES = (
    TrainEncoder(name="encoder"),
    Features(name="features", drawings=GlyphConfig(), encoder=ENCODERS["own"](), after="encoder"),
    Train(name="run", config=tiny_config()),
    RunTable(name="norms", measure="weight_norms", of=("run",)),
    ModelTable(name="heads", measures=("accuracy",), of="run"),
)


def test_what_slurm_needs_is_named_before_anything_is_written(call, tmp_path, monkeypatch):
    command = (*SWEEP, tmp_path / "runs", "--slurm")
    assert "%" in call(*SWEEP, tmp_path / "50%j", "--slurm", "--dry-run", expect=2)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "submitit", None)
        assert "pip install submitit" in call(*command, expect=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "squeue" in call(*command, "--status", expect=1)
    assert not (tmp_path / "runs").exists()
    assert "squeue" in call(*command, expect=1)


@pytest.mark.parametrize(
    "values", [{"gpus": -1}, {"memory_gb": 0}, {"minutes": MIN_MINUTES - 1}], ids=str
)
def test_impossible_resources_are_refused(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        Resources(**values)
    assert Resources(gpus=0, memory_gb=0.5, minutes=MIN_MINUTES).options(3)["mem"] == "512M"


def test_a_dry_run_shows_jobs_and_their_options(capsys, tmp_path, plan_file):
    job = ("--slurm", "--gpus", 2, "--partition", "fast", "--sbatch", "qos=long", "--dry-run")
    command = ("sweep", plan_file, "--runs", tmp_path / "runs", *job, "--json")
    assert main([str(each) for each in command]) == 0
    said = capsys.readouterr()
    rows = said.out.splitlines()
    for option in ("--gpus-per-node=2", "--partition=fast", "--qos=long", "--time=240"):
        assert option in said.err
    assert f"{len(rows)} jobs" in said.err and "MiB" in said.err
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program that prints lines on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    def program(name, *lines):
        path = tmp_path / name
        path.write_text("\n".join(["#!/bin/sh", *(f"echo '{line}'" for line in lines)]) + "\n")
        path.chmod(0o755)

    return program


@pytest.mark.parametrize("flags", [["--dry-run"], []])
def test_options_that_sbatch_lacks_are_refused(call, tmp_path, plan_file, program, flags):
    program("sbatch", "  -q, --qos=qos   quality of service")
    command = ("sweep", plan_file, "--runs", tmp_path / "runs", "--slurm", *flags, "--sbatch")
    assert "foo" in call("transformer", *command, "qos=long", "foo", expect=2)
    assert not (tmp_path / "runs").exists() or not [*(tmp_path / "runs").glob("*")]


def test_a_job_with_a_blank_name_is_not_ours(tmp_path, program):
    program("squeue", "7 PENDING ", "8 RUNNING other job")
    assert read_jobs(["first"], tmp_path) == {}


class Submitter:
    """Replaces the executor of submitit; records the parameters of jobs."""

    jobs: dict

    def __init__(self, folder):
        type(self).jobs = {}

    def update_parameters(self, **parameters):
        self.parameters = parameters

    def submit(self, function, work, name):
        self.jobs[name] = self.parameters
        return type("Job", (), {"job_id": str(len(self.jobs))})


def test_jobs_wait_for_their_needs_and_only_some_have_gpus(tmp_path, monkeypatch):
    modules = {name: ModuleType(name) for name in ("submitit", "submitit.core.utils")}
    monkeypatch.setattr(modules["submitit"], "SlurmExecutor", Submitter, raising=False)
    monkeypatch.setattr(modules["submitit.core.utils"], "FailedJobError", OSError, raising=False)
    for name, module in (modules | {"submitit.core": ModuleType("core")}).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("transformer.sweeps.slurm.read_jobs", lambda names, runs: {})
    submit_jobs(Plan(NODES), tmp_path, lambda name: 0, 3, Resources(gpus=2))
    gpus = {name: job["gpus_per_node"] for name, job in Submitter.jobs.items()}
    assert gpus == {"encoder": None, "features": 2, "run": 2, "norms": None, "heads": None}
    after = {name: job["dependency"] for name, job in Submitter.jobs.items()}
    alone = {"encoder": None, "run": None}
    assert after == alone | {"features": "afterok:1", "norms": "afterok:3", "heads": "afterok:3"}
    assert {job["cpus_per_task"] for job in Submitter.jobs.values()} == {3}


@pytest.mark.parametrize("node", [NODES[0], *NODES[3:]])
def test_nodes_that_use_no_gpu_get_the_cpu(node, tmp_path, monkeypatch):
    given = []
    execute = lambda node, runs, device, n: given.append((device, n))  # noqa: E731
    monkeypatch.setattr(type(node), "execute", execute)
    monkeypatch.setattr(Train, "is_done", lambda node, runs: True)
    run_node(Plan(NODES), node.name, tmp_path, "cuda", 2)
    assert given == [("cpu", 2)]


def test_a_measure_runs_with_the_given_threads(tmp_path, monkeypatch):
    threads = []
    rows = lambda *_: threads.append(torch.get_num_threads()) or [{"step": 0}]  # noqa: E731
    monkeypatch.setattr("transformer.sweeps.measure.measure_run", rows)
    for node, number in (("run", 1), ("norms", 2)):
        run_node(Plan(NODES[2:4]), node, tmp_path, "cpu", number)
    assert threads == [2] and torch.get_num_threads() == 1
