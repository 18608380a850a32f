"""The plan of runs for some minutes of a GPU: its time, memory and curves, tried on the CPU."""

import signal
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from coopetition.tools.errors import UsageError
from tests.gpu import plan
from tests.transformer.conftest import HERE, make_state
from tests.transformer.model.textbook import make_model
from transformer.config import OptimConfig
from transformer.experiments import coopetition, transience
from transformer.runs.loop import train
from transformer.sweeps.train import Train
from transformer.training.cost import memory_bytes
from transformer.training.execution import repeated_step
from transformer.training.machine import Machine
from transformer.training.step import RunSettings

MEMORY = 139 * 2**30  # of an H200


@pytest.fixture(scope="module")
def nodes():
    return {name: node for name, node in plan.PLAN.nodes.items() if isinstance(node, Train)}


def test_the_plan_fits_into_nine_minutes_and_the_memory(nodes):
    assert 0.5 * 540 < sum(map(plan.H200.seconds, nodes.values())) <= 540
    for node in nodes.values():
        configs = [*node.configs.values()]
        d_features = configs[0].data.exemplars.feature_count()
        needed = memory_bytes(configs, d_features, Machine("cuda", 1, "auto"))
        assert sum(needed.values()) < MEMORY / 2


def test_the_plan_has_many_runs_of_transience_and_eight_main_runs(nodes):
    """They are runs of scale cpu, so that their curves can be compared."""
    first, main = [*nodes.values()][:2]
    presets = transience.presets("cpu")
    assert len(first.configs) > 60
    for name, config in first.configs.items():
        preset, _, seed = name.partition(",init_seed=")
        expected = replace(presets[preset].config, init_seed=int(seed))
        every = config.evaluation.every  # a part of the id in which shorter runs differ
        expected = replace(expected, evaluation=replace(expected.evaluation, every=every))
        assert config.run_id() == expected.run_id()
        assert config.n_steps >= expected.n_steps
    expected = coopetition.presets("cpu")["main"].config
    assert [config.init_seed for config in main.configs.values()] == [*range(5, 13)]
    assert main.configs["main,init_seed=5"].run_id() == expected.run_id()
    assert main.n_steps == expected.n_steps


def test_the_readme_states_the_estimates(nodes):
    text = (Path(plan.__file__).parent / "README.md").read_text()
    for name, node in nodes.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` | "))
        assert row.endswith(f"| {node.n_steps:,} | {plan.H200.seconds(node):.0f} s |")
        assert row.startswith(f"| `{name}` | {len(node.configs)} ")


def test_less_time_or_a_slower_device_leaves_nodes_out(nodes):
    candidates = plan.candidates("cpu")

    def names(minutes, gpu):
        return [node.name for node in plan.fitting(candidates, minutes, gpu)]

    assert names(9, plan.H200) == [*nodes]
    assert names(4, plan.H200) == ["default"]
    assert "default" not in names(9, plan.Gpu(1e11))
    assert names(1e9, plan.H200) == [node.name for node in candidates]


def test_the_curves_fit_into_sixteen_megabytes(nodes, tmp_path):
    """By the lines and descriptions of a smoke run with the evaluators of the plan."""
    run = train(transience.default("smoke"), tmp_path / "run", HERE)
    out = tmp_path / "curves"
    n_bytes = plan.export_curves(tmp_path, ["run"], out)
    description = (out / "run" / "run.json").stat().st_size
    line = (n_bytes - description) / len(run.metrics())
    total = sum(
        len(node.configs) * (description + line * (2 + node.n_steps / config.evaluation.every))
        for node in nodes.values()
        for config in [next(iter(node.configs.values()))]
    )
    assert total < 0.8 * plan.MAX_BYTES


class CountKernels(TorchDispatchMode):
    """Count operations that are no views."""

    def __init__(self):
        super().__init__()
        self.n_calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        aliases = [each.alias_info for each in func._schema.arguments if each.alias_info]
        self.n_calls["view" if any(not each.is_write for each in aliases) else "kernel"] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "model",
    [
        make_model(2),
        make_model(12, mlp_ratio=4),
        make_model(2, mlp_ratio=4, encoder="resnet"),
    ],
)
def test_kernels_are_counted(model):
    state = make_state(model, [RunSettings(seed, OptimConfig()) for seed in range(2)])
    step = repeated_step(state, 4)
    step()
    with CountKernels() as mode:
        step()
    assert plan.count_kernels(model) == pytest.approx(mode.n_calls["kernel"], rel=0.1)


class Process:
    """A sweep that takes longer than it may."""

    def __init__(self, command):
        self.signals = []
        Process.started = self

    def wait(self, timeout=None):
        if timeout is not None:
            raise subprocess.TimeoutExpired("sweep", timeout)
        return 128 + self.signals[-1]

    def send_signal(self, number):
        self.signals.append(number)


def test_the_time_ends_a_sweep_after_a_checkpoint(monkeypatch):
    """SIGTERM does so (`transformer.sweeps.local`)."""
    monkeypatch.setattr(subprocess, "Popen", Process)
    assert plan.sweep([], 1.0) == 128 + signal.SIGTERM
    assert Process.started.signals == [signal.SIGTERM]


def test_the_dry_run_prints_the_estimated_times(nodes, capsys):
    assert plan.main(["--dry-run"]) == 0
    printed = capsys.readouterr().out
    planned = [line.split()[0] for line in printed.splitlines() if line.endswith("yes")]
    assert planned == [*nodes]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_the_device_there_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="cuda"):
        plan.main(["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "curves")])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_plan_is_trained_at_scale_smoke_and_continues(tmp_path, capsys):
    file = tmp_path / "smoke.py"
    file.write_text("from tests.gpu.plan import make_plan\nPLAN = make_plan('smoke')\n")
    flags = ["--plan", str(file), "--device", "cpu", "--runs", str(tmp_path / "runs")]
    flags += ["--out", str(tmp_path / "curves")]
    assert plan.main([*flags, "--minutes", "0.3"]) != 0
    assert plan.main(flags) == 0
    runs = [run for node in plan.candidates("smoke")[:2] for run in node.configs]
    curves = {file.stem for file in (tmp_path / "curves").rglob("*.csv")}
    assert curves >= {*runs}
