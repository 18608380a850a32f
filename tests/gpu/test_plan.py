"""The plan of runs for some minutes of a GPU: its time, memory and curves, tried on the CPU."""

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coopetition.tools.errors import UsageError
from tests.gpu import plan
from tests.transformer.conftest import BATCH, CONTEXT, HERE, N_FEATURES, CountCalls, make_state
from tests.transformer.model.textbook import make_model
from transformer.config import OptimConfig
from transformer.data.exemplar_sets import Exemplars, RunExemplars
from transformer.data.sequences import Sequences
from transformer.experiments import coopetition, transience
from transformer.measures.metrics import evaluate_runs
from transformer.runs.loop import train
from transformer.sweeps.train import Train
from transformer.training.cost import memory_bytes
from transformer.training.execution import repeated_step
from transformer.training.step import RunSettings

MEMORY = 139 * 2**30  # of an H200
README = (plan.FILE.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def nodes():
    return {name: node for name, node in plan.PLAN.nodes.items() if isinstance(node, Train)}


def test_the_plan_fits_into_nine_minutes_and_the_memory(nodes):
    assert 0.5 * 540 < sum(map(plan.H200.seconds, nodes.values())) <= 540
    for node in nodes.values():
        configs = [*node.configs.values()]
        d_features = configs[0].data.exemplars.feature_count()
        assert sum(memory_bytes(configs, d_features, plan.GPU).values()) < MEMORY / 2


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


def test_the_runs_that_need_no_features_come_first():
    names = [*plan.PLAN.nodes]
    assert names.index("default") < names.index("features") < names.index("main")


def test_the_readme_states_the_estimates():
    for name, node in plan.PLAN.nodes.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` | "))
        assert row.endswith(f"| {plan.H200.seconds(node):.0f} s |")
        if isinstance(node, Train):
            assert f"| {node.n_steps:,} |" in row
            assert row.startswith(f"| `{name}` | {len(node.configs)} ")


def test_no_node_at_scale_gpu_fits_into_nine_minutes():
    """From 20 minutes to 17 hours, as the README says."""
    seconds = [plan.H200.seconds(node) for node in plan.stacks(transience.presets("gpu"))]
    assert "from 20 minutes to 17 hours" in README
    assert (min(seconds) // 60 // 10 * 10, round(max(seconds) / 3600)) == (20, 17)


def test_the_curves_fit_into_sixteen_megabytes(nodes, tmp_path):
    """By the lines and descriptions of a short run with the evaluators of the plan."""
    config = transience.default("smoke")
    often = replace(config.evaluation, every=1)
    run = train(replace(config, n_steps=3, evaluation=often), tmp_path / "run", HERE)
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


@pytest.mark.parametrize(
    "model",
    [
        make_model(2),
        make_model(12, mlp_ratio=4),
        make_model(2, mlp_ratio=4, encoder="resnet"),
    ],
)
def test_kernels_are_counted(model):
    """Of a step, and of an evaluation of two runs with two sets of exemplars, in one piece."""
    state = make_state(model, [RunSettings(seed, OptimConfig()) for seed in range(2)])
    step = repeated_step(state, 4)
    step()
    with CountCalls() as mode:
        step()
    assert plan.count_kernels(model) == pytest.approx(mode.n_kernels, rel=0.1)
    d = N_FEATURES[model.encoder]
    sets = RunExemplars([Exemplars(torch.zeros(1, 1, d), 0.5, torch.zeros(d)) for _ in range(2)])
    zeros = torch.zeros(CONTEXT + 1, BATCH, dtype=torch.int64)
    sequences = Sequences(zeros, zeros[1:], zeros[0])
    with CountCalls() as mode:
        evaluate_runs(state.parameters, model, sets, [sequences] * 2)
    n_kernels = plan.count_forward_kernels(model) + 2 * plan.GATHER_KERNELS + plan.METRIC_KERNELS
    assert n_kernels == pytest.approx(mode.n_kernels, rel=0.1)


# how a sweep is stopped; small shell scripts stand for it


def shell(text):
    return ["bash", "-c", f"{text}; while :; do touch alive; sleep 0.05; done"]


@pytest.fixture
def send(tmp_path, monkeypatch):
    """Send a signal to this process when the script has begun."""
    monkeypatch.chdir(tmp_path)

    def send(number):
        while not Path("alive").exists():
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident, number)

    return lambda number: threading.Thread(target=send, args=[number]).start()


def test_a_sweep_that_ends_by_itself_is_left_alone():
    assert plan.run_for(["bash", "-c", "exit 3"], 60) == 3


def test_when_the_time_is_over_a_sweep_is_asked_to_stop():
    assert plan.run_for(["sleep", "60"], 0.1) == 128 + signal.SIGTERM


def test_a_sweep_that_does_not_stop_is_killed_with_its_processes(monkeypatch, send):
    monkeypatch.setattr(plan, "STOP_S", 0.1)
    send(signal.SIGTERM)
    [*_, loop] = shell("")
    assert plan.run_for(["bash", "-c", f"trap '' TERM; (true{loop}) & wait"], 60) == 137
    Path("alive").unlink()
    time.sleep(0.15)
    assert not Path("alive").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_to_the_sweep(number, send):
    send(number)
    assert plan.run_for(shell(f"trap 'exit {40 + number}' {number}"), 60) == 40 + number


def test_the_dry_run_prints_the_estimated_times_of_the_chosen_nodes(tmp_path, capsys):
    flags = ["--dry-run", "--runs", str(tmp_path)]
    for only, expected in (
        ([], ["default", "features", "main", "features_1600"]),
        (["--only", "default"], ["default"]),
        (["--only", "main"], ["features", "main"]),
    ):
        assert plan.main([*flags, *only]) == 0
        _, *rows, _ = capsys.readouterr().out.splitlines()
        assert [row.split()[0] for row in rows] == expected


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--minutes", "0"], "--minutes"),
        (["--minutes", "-3"], "--minutes"),
        (["--minutes", "nan"], "--minutes"),
        (["--minutes", "inf"], "--minutes"),
        (["--only", "nothing"], "nothing"),
        (["--out", str(Path(__file__)), "--device", "cpu"], "test_plan.py"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(flags, named, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(UsageError, match=named):
        plan.main(["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "curves"), *flags])
    assert not [*tmp_path.iterdir()]


def test_curves_of_other_runs_are_not_replaced(tmp_path):
    runs, file = tmp_path / "runs", tmp_path / "curves" / "default" / "a.csv"
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(UsageError, match="a.csv"):
        plan.check_curves(runs, ["default", "main"], tmp_path / "curves")
    (runs / "default" / "a").mkdir(parents=True)
    plan.check_curves(runs, ["default", "main"], tmp_path / "curves")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_the_device_there_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="cuda"):
        plan.main(["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "curves")])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_user_stops_the_plan_and_continues_it(tmp_path):
    """At scale smoke, from another folder, with relative paths."""
    command = ["bash", str(plan.FILE.with_suffix(".sh")), "--quick", "--device", "cpu"]
    command += ["--runs", "runs", "--out", "curves"]

    def start():
        environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=tmp_path, env=environment)

    process = start()
    while process.poll() is None and not [*tmp_path.glob("runs/default/*/metrics.jsonl")]:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 128 + signal.SIGINT
    assert start().wait() == 0
    runs = [run for node in plan.candidates("smoke")[:2] for run in node.configs]
    curves = {file.stem for file in (tmp_path / "curves").rglob("*.csv")}
    assert curves >= {*runs}
