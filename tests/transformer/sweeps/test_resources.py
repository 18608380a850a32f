"""The CPU threads and GPUs of nodes, by their type."""

import sys
from types import ModuleType

import pytest
import torch

from tests.transformer.conftest import tiny_config
from transformer.config.encoders import ENCODERS
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.sweeps.features import Features, TrainEncoder
from transformer.sweeps.local import work
from transformer.sweeps.measure import Measure, Readings
from transformer.sweeps.plan import Plan
from transformer.sweeps.slurm import Resources, submit
from transformer.sweeps.train import Train

NODES = (
    TrainEncoder(name="encoder"),
    Features(name="features", drawings=GlyphConfig(), encoder=ENCODERS["own"](), after="encoder"),
    Train(name="run", config=tiny_config()),
    Measure(name="norms", measure="weight_norms", of=("run",)),
    Readings(name="heads", measures=("accuracy",), of="run"),
)


def test_a_measure_runs_with_the_threads_that_it_is_given(tmp_path, monkeypatch):
    threads = []
    rows = lambda *_: threads.append(torch.get_num_threads()) or [{"step": 0}]  # noqa: E731
    monkeypatch.setattr("transformer.sweeps.measure.measure_run", rows)
    plan = Plan(NODES[2:4])
    for node, number in (("run", 1), ("norms", 2)):
        work(plan, node, tmp_path, "cpu", number)
    assert threads == [2] and torch.get_num_threads() == 1


class Executor:
    """Stands for submitit's: keeps what jobs ask for."""

    asked: dict

    def __init__(self, folder):
        type(self).asked = {}

    def update_parameters(self, **parameters):
        self.parameters = parameters

    def submit(self, function, entry, name):
        self.asked[name] = self.parameters
        return type("Job", (), {"job_id": str(len(self.asked))})


def test_only_jobs_that_use_gpus_hold_them(tmp_path, monkeypatch):
    submitit = ModuleType("submitit")
    monkeypatch.setattr(submitit, "SlurmExecutor", Executor, raising=False)
    modules = {"submitit": submitit, "submitit.core": ModuleType("submitit.core")}
    modules["submitit.core.utils"] = ModuleType("submitit.core.utils")
    modules["submitit.core.utils"].FailedJobError = RuntimeError  # pyright: ignore
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("transformer.sweeps.slurm.jobs_of", lambda names, runs: {})
    submit(Plan(NODES), tmp_path, lambda name: 0, 3, Resources(gpus=2))
    gpus = {name: asked["gpus_per_node"] for name, asked in Executor.asked.items()}
    assert gpus == {"encoder": None, "features": 2, "run": 2, "norms": None, "heads": None}
    assert {asked["cpus_per_task"] for asked in Executor.asked.values()} == {3}


@pytest.mark.parametrize("node", [NODES[0], *NODES[3:]])
def test_nodes_that_use_no_gpu_are_given_the_cpu(node, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(type(node), "work", lambda node, runs, device, n: given.append((device, n)))
    monkeypatch.setattr(Train, "is_done", lambda node, runs: True)
    work(Plan(NODES), node.name, tmp_path, "cuda", 2)
    assert given == [("cpu", 2)]
