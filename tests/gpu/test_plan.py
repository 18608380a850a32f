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

from coopetition.tools.errors import UsageError, UserError
from tests.gpu import plan
from tests.transformer.conftest import (
    BATCH,
    CONTEXT,
    HERE,
    N_FEATURES,
    CountCalls,
    make_state,
    short_config,
)
from tests.transformer.model.textbook import make_model
from transformer.config import OptimConfig
from transformer.data.exemplar_sets import Exemplars, RunExemplars
from transformer.data.sequences import Sequences
from transformer.experiments import coopetition, transience
from transformer.measures.metrics import evaluate_runs
from transformer.runs.layout import ENSEMBLE
from transformer.runs.train import train
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
    """Count kernels of a step, and of a one-piece evaluation of two runs with two exemplar sets."""
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


def test_a_sweep_stops_when_the_plan_is_killed(tmp_path):
    """The system closes the plan's end of the pipe that is the sweep's standard input."""
    assert plan.run_for(["bash", "-c", "[ -p /dev/stdin ]"], 60) == 0
    (tmp_path / "sleeper.py").write_text("open('alive', 'w')\nimport time\ntime.sleep(60)")
    command = [sys.executable, "-c", plan.TRAINER.replace('"transformer"', '"sleeper"')]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tmp_path) as process:
        while not (tmp_path / "alive").exists() and process.poll() is None:
            time.sleep(0.02)
    assert process.returncode == -signal.SIGTERM


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


def test_the_dry_run_shows_a_folder_of_another_run(tmp_path, capsys):
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / ENSEMBLE).write_text("{}")
    assert plan.main(["--dry-run", "--runs", str(tmp_path)]) == 0
    _, first, *_ = lines = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "default" and "failed" in first
    assert any(line.startswith("default: ") for line in lines)


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
    """Also where they have the same name."""
    runs, curves = tmp_path / "runs", tmp_path / "curves"
    train(short_config(), runs / "default", HERE)
    assert plan.export_curves(runs, ["default"], curves)
    plan.check_curves(runs, ["default", "main"], curves)
    (file,) = curves.glob("default/*.csv")
    with pytest.raises(UsageError, match=file.name):
        plan.check_curves(tmp_path / "nothing", ["default", "main"], curves)
    train(short_config(init_seed=9), tmp_path / "others" / "default", HERE)
    with pytest.raises(UsageError, match=file.name):
        plan.check_curves(tmp_path / "others", ["default", "main"], curves)
    file.unlink()  # what is beside it says of which run it is
    with pytest.raises(UsageError, match=file.stem):
        plan.check_curves(tmp_path / "nothing", ["default"], curves)


@pytest.fixture
def run_plan(tmp_path, monkeypatch):
    """Run the plan with a sweep that only ends with a code; return the exit code and its words."""
    monkeypatch.chdir(tmp_path)

    def run(code, *flags):
        words = []
        monkeypatch.setattr(plan, "run_for", lambda command, _: words.extend(command) or code)
        return plan.main(["--device", "cpu", *flags]), words

    return run


def test_a_trial_has_folders_of_its_own(run_plan, capsys):
    _, words = run_plan(0)
    _, quick_words = run_plan(0, "--quick")
    folders = [each[each.index("--runs") + 1] for each in (words, quick_words)]
    assert folders == ["runs/gpu", "runs/gpu_quick"]
    assert str(plan.QUICK) in quick_words and str(plan.FILE) in words


def test_flags_are_passed_to_the_sweep(run_plan):
    for flags in ([], ["--retry"]):
        _, words = run_plan(0, "--only", "default", *flags)
        assert words[words.index("--only") + 1] == "default"
        assert ("--retry" in words) == bool(flags)


@pytest.mark.parametrize("code", [0, 1, 2, 129, 130, 137, 139, 143])
def test_the_exit_code_is_that_of_the_sweep(code, run_plan, capsys, monkeypatch):
    """Wrong flags end it at once; a crash is no stop; too large curves are no failure of it."""
    assert run_plan(code)[0] == code
    output = capsys.readouterr().out
    assert ("stopped" in output) == (code in (129, 130, 137, 143))
    assert ("curves" in output) == (code != 2)
    monkeypatch.setattr(plan, "export_curves", lambda *_: plan.MAX_BYTES + 1)
    assert run_plan(code)[0] == (code or 1)
    assert (f"{plan.MAX_BYTES:,}" in capsys.readouterr().err) == (code != 2)


def test_curves_that_cannot_be_replaced_after_the_sweep_are_no_wrong_flags(run_plan, monkeypatch):
    def refuse(*_):
        raise UsageError("curves of another run")

    monkeypatch.setattr(plan, "export_curves", refuse)
    with pytest.raises(UserError, match="another run") as raised:
        run_plan(0)
    assert raised.value.exit_code == 1


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
