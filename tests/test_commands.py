"""The commands as their users call them: outputs, exit codes, one-line errors."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from coopetition.draws import random_draw
from coopetition.files import write_npz
from tests.conftest import REFERENCE


def call(*arguments, expect=0):
    """Standard output of a command, after checking its exit code."""
    program, *rest = map(str, arguments)
    command = [sys.executable, "-m", program, *rest]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == expect, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done.stdout if expect == 0 else done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished smoke run."""
    folder = tmp_path_factory.mktemp("run") / "smoke"
    call("transformer", "train", "--preset", "smoke", "--out", folder, "--threads", 1)
    return folder


def test_solve_prints_the_contract(tmp_path):
    draw = random_draw(3, {"a": 3, "b": 3, "c": 3, "d": 4})
    arrays = {f"seed9/initial/{k}": v for k, v in draw.initial.items()}
    arrays |= {f"seed9/target/{k}": v for k, v in draw.target.items()}
    write_npz(tmp_path / "draws.npz", **arrays)
    flags = ["--draws", tmp_path / "draws.npz", "--seed", 9, "--json", "--max-steps", 500]
    flags += ["--out", tmp_path / "t.npz", "--plot", tmp_path / "t.png"]
    result = json.loads(call("coopetition", "solve", *flags))
    assert {"stopped_at", "status", "losses", "events"} <= set(result)
    assert {"icl", "ciwl", "competition", "total"} == set(result["losses"])
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    for method in ("descent", "flow"):
        text = call("coopetition", "solve", "--method", method, "--dims", 3, 3, 3, 4)
        assert "status" in text


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--alpha", "nan"], "alpha is nan"),
        (["--mu1", "-1"], "mu1 is -1.0"),
        (["--dims", "3", "0", "3", "3"], "dimension of factor b is 0"),
        (["--seed", "-4"], "seed=-4"),
        (["--seed", "x"], "'x'"),
        (["--step", "0"], "step is 0.0"),
        (["--draws", "nowhere.npz"], "nowhere.npz does not exist"),
        (["--method", "magic"], "magic"),
        (["--nonsense", "3"], "--nonsense"),
        (["--plot", "x.foo"], "x.foo"),
        (["--out", "."], "'.' is not the name of a file"),
        (["--max-steps", str(10**9)], "max_steps is 1000000000"),
        (["--initial-scale", "nan"], "initial_scale is nan"),
    ],
)
def test_solve_refuses_in_one_line(flags, names):
    error = call("coopetition", "solve", *flags, expect=2)
    assert names in error and error.count("\n") == 1


def test_fit_prints_the_contract(tmp_path):
    path = REFERENCE / "figure_5b_loss.csv"
    flags = ["--from", "3.5e6", "--starts", 2, "--json", "--out", tmp_path / "fit.json"]
    result = json.loads(call("coopetition", "fit", path, *flags))
    assert set(result["curves"]) == {"train", "icl", "ciwl"}
    assert all({"r2", "rmse"} <= set(curve) for curve in result["curves"].values())
    assert "mu1" in result["parameters"]
    assert "expected at least 20" in call("coopetition", "fit", path, "--from", "2e7", expect=2)
    assert "does not exist" in call("coopetition", "fit", tmp_path / "x.csv", expect=2)
    short = tmp_path / "short.csv"
    short.write_text("sequences,train,icl\n1,2,3\n2,3,4\n")
    assert "no curve ciwl" in call("coopetition", "fit", short, expect=2)
    assert "plain columns" in call(
        "coopetition", "fit", path, "--metric", "in_context_loss", expect=2
    )
    assert "--from nan" in call("coopetition", "fit", path, "--from", "nan", expect=2)
    assert "A run folder, or a CSV" in call("coopetition", "fit", expect=2)


def test_a_run_is_trained_shown_evaluated_and_exported(run, tmp_path):
    status = json.loads(call("transformer", "show", run, "--json"))
    assert (status["status"], status["step"]) == ("finished", 300)
    assert status["latest_checkpoint"].endswith("step_000000300.safetensors")
    newest = json.loads(call("transformer", "evaluate", run, "--json"))
    assert newest["step"] == 300
    assert set(newest["evaluators"]) == {"train", "icl", "ciwl", "flip", "iwl"}
    last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][-1]
    assert newest["evaluators"]["icl"]["loss"] == last["icl/loss"]
    earlier = json.loads(call("transformer", "evaluate", run, "--json", "--step", 50))
    assert earlier["step"] == 50 and earlier != newest
    assert "[50, 100" in call("transformer", "evaluate", run, "--step", 7, expect=2)
    call("transformer", "export", run, "--out", tmp_path / "curves.csv")
    with open(tmp_path / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["icl/loss"]) == pytest.approx(last["icl/loss"], rel=1e-4)
    assert str(run) not in (tmp_path / "curves.json").read_text()
    assert "own folder" in call(
        "transformer", "export", run, "--out", run / "manifest.csv", expect=2
    )
    assert "must end in .csv" in call(
        "transformer", "export", run, "--out", tmp_path / "c.json", expect=2
    )
    assert "7 samples" in call("coopetition", "fit", run, "--json", expect=2)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--preset", "nothing"], "'nothing'"),
        (["--preset", "smoke", "--nonsense", "1"], "--nonsense"),
        (["--preset", "smoke", "--model.n-heads", "7"], "n_heads=7"),
        (["--preset", "smoke", "--data.burstiness", "2"], "burstiness=2"),
        (["--preset", "smoke", "--data.exemplars.n-classes", "1"], "n_classes=1"),
        (["--preset", "smoke", "--device", "abacus"], "'abacus'"),
        (["--preset", "smoke", "--threads", "0"], "threads=0"),
        (["--preset"], "preset None"),
        (["--preset", "smoke", "--device", "cpu:x"], "'cpu:x'"),
        (["--preset", "smoke", "--init-seed", str(10**30)], "three different"),
        (["--preset", "omniglot"], "Omniglot path ''"),
        (["--preset", "omniglot", "--data.exemplars.path", "nowhere"], "'nowhere'"),
    ],
)
def test_train_refuses_in_one_line_and_leaves_nothing(flags, names, tmp_path):
    out = tmp_path / "run"
    error = call("transformer", "train", *flags, "--out", out, expect=2)
    assert names in error and error.count("\n") == 1
    assert not out.exists()


def test_what_is_no_run_is_refused(tmp_path, run):
    for command in ("resume", "show", "evaluate"):
        assert "not a run folder" in call("transformer", command, tmp_path, expect=2)
    assert "exists already" in call("transformer", "train", "--out", run, expect=2)
    assert "unknown command" in call("transformer", "dance", expect=2)


def test_bench_prints_the_contract():
    flags = ["--n-classes", 64, "--runs", 2, "--repeats", 1, "--threads", 1, "--json"]
    result = json.loads(call("transformer", "bench", *flags))
    assert result["milliseconds_per_step"] > result["floor_milliseconds"] > 0
    assert "n_classes=0" in call("transformer", "bench", "--n-classes", 0, expect=2)


def test_figures_are_written_whole(tmp_path):
    assert "coopetition 5" in call("paper_figures", "--list")
    call("paper_figures", "coopetition", 1, "--out", tmp_path)
    for kind, start in {"png": b"\x89PNG", "pdf": b"%PDF", "csv": b"panel", "json": b"{"}.items():
        assert (tmp_path / f"coopetition_1.{kind}").read_bytes().startswith(start)
    runs = json.loads((tmp_path / "coopetition_1.json").read_text())["runs"]
    assert len(runs) >= 3
    assert "no figure 2" in call("paper_figures", "coopetition", 2, expect=2)
    assert "Omniglot path" in call(
        "paper_figures", "coopetition", 1, "--retrain", "--out", tmp_path, expect=2
    )


@pytest.mark.slow
def test_the_quick_demo_runs_through(tmp_path):
    report = call("coopetition", "demo", "--quick", "--out", tmp_path / "demo", "--threads", 1)
    assert "Strategy coopetition" in report
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"report.md", "demo.png", "demo.pdf", "demo.csv", "demo.json"} <= names


def test_importing_the_theory_is_light():
    """No torch, and under half a second more than numpy and scipy (best of five)."""
    code = """
import sys, time
import numpy, scipy
start = time.perf_counter()
import coopetition
seconds = time.perf_counter() - start
assert "torch" not in sys.modules and "matplotlib" not in sys.modules
print(seconds)
"""
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(5)]
    assert np.min([float(run.stdout) for run in runs]) < 0.5
