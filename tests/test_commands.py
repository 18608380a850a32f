"""The commands as their users call them: outputs, exit codes, one-line errors."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from coopetition.model.draws import random_draw
from coopetition.studies.phases import PhaseDiagram
from coopetition.tools.files import write_npz
from coopetition.tools.progress import ProgressReport
from paper_figures.published import SEEDS, published_draw
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


def test_solve_takes_any_named_model():
    for name, dims in (("no_sharing", 6), ("induction_head", 3), ("three_strategies", 5)):
        flags = ["--model", name, "--max-steps", 20, "--json", "--dims", *[3] * dims]
        assert json.loads(call("coopetition", "solve", *flags))["model"]["factors"]
    flags = ["--model", "induction_head", "--alpha", "0.1"]
    assert "induction_head has no alpha" in call("coopetition", "solve", *flags, expect=2)
    error = call("coopetition", "solve", "--dims", 3, 3, expect=2)
    assert "--dims has 2 numbers" in error and error.count("\n") == 1


@pytest.mark.slow
def test_published_draws_of_both_kinds_are_solved(tmp_path):
    """The two commands for all 12 seeds, on a file of the form that the draws are given in."""
    arrays = {}
    for seed in SEEDS:
        draw = published_draw(seed)
        arrays |= {f"seed{seed}/initial/{k}": v for k, v in draw.initial.items()}
        arrays |= {f"seed{seed}/target/{k}": v for k, v in draw.target.items()}
    write_npz(tmp_path / "draws.npz", **arrays)
    stopped = {"0": {}, "0.1": {}}
    for mu1, threshold in (("0", "1e-3"), ("0.1", "1e-6")):
        for seed in SEEDS:
            flags = ["--seed", seed, "--mu1", mu1, "--threshold", threshold, "--method", "descent"]
            text = call("coopetition", "solve", "--draws", tmp_path / "draws.npz", *flags, "--json")
            stopped[mu1][seed] = json.loads(text)["stopped_at"]
    published = {0: 8834, 1: 14482, 2: None, 3: 6138, 4: 9306, 5: 5104, 7: 9620}
    assert {seed: stopped["0.1"][seed] for seed in published} == published
    assert [seed for seed in SEEDS if stopped["0"][seed] is None] == [2, 9]


def test_phases_prints_the_contract(tmp_path):
    flags = ["--cells", 40, "--draws", 4, "--steps", 300, "--json"]
    flags += ["--out", tmp_path / "d.npz", "--plot", tmp_path / "d.png"]
    result = json.loads(call("coopetition", "phases", *flags))
    assert result["cells"] == 48 == sum(result["fates"].values())  # 10 points make no grid; 12 do
    assert result["seconds"] > 0
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert PhaseDiagram.load(tmp_path / "d.npz").fates.size == 48


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--x", "beta", "0", "1"], "no parameter 'beta'"),
        (["--x", "alpha", "1", "0"], "alpha from 1.0 to 0.0"),
        (["--x", "mu1", "0", "1"], "both axes are mu1"),
        (["--y", "dim_d", "0", "9"], "dim_d from 0.0"),
        (["--cells", "0"], "--cells is 0"),
        (["--cells", str(10**12)], "too many"),
        (["--seed", "-1"], "seed=-1"),
        (["--model", "no_competition"], "no parameter 'alpha'"),
        (["--draws", "0"], "--draws is 0"),
        (["--draws", "100000", "--cells", "100000"], "n_draws=100000 do not fit"),
        (["--steps", "0"], "n_steps=0"),
        (["--step", "nan"], "step is nan"),
        (["--model", "four"], "model 'four' is unknown"),
        (["--plot", "x.foo"], "x.foo"),
    ],
)
def test_phases_refuses_in_one_line(flags, names):
    error = call("coopetition", "phases", *flags, expect=2)
    assert names in error and error.count("\n") == 1


def test_derive_prints_proved_statements():
    text = call("coopetition", "derive", "induction_head")
    assert "[proved]" in text and "NOT PROVED" not in text and "slope_u_a" in text
    assert "$$" in call("coopetition", "derive", "induction_head", "--latex")
    assert "model 'nothing' is unknown" in call("coopetition", "derive", "nothing", expect=2)


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
        (["--preset"], "'--preset'"),
        (["--preset", "smoke", "--device", "cpu:x"], "'cpu:x'"),
        (["--preset", "smoke", "--init-seed", str(10**30)], "three different"),
        (["--preset", "omniglot"], "Omniglot path is missing"),
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
    flags += ["--execution", "eager"]
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


def test_progress_is_timed_from_the_first_step_on(monkeypatch, capsys):
    """That of a program which compiles for a minute, then does a step a second."""
    clock = iter([0.0, 60.0, *[61.0] * 9])
    monkeypatch.setattr("coopetition.tools.progress.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("coopetition.tools.progress.LINE_EVERY_S", 0.0)
    with ProgressReport("train", 101, "steps") as progress:
        progress.advance()
        progress.advance()
    assert "2/101 steps, 1 steps/s, ETA 1:39" in capsys.readouterr().err


def test_a_dry_run_says_what_a_run_takes_and_starts_nothing(tmp_path):
    flags = ["--preset", "smoke", "--out", tmp_path / "run", "--dry-run", "--threads", 1]
    report = json.loads(call("transformer", "train", *flags, "--json"))
    assert {"steps", "parameters", "memory_mib", "predicted_time"} <= set(report)
    assert not (tmp_path / "run").exists()


def test_an_ensemble_tells_of_all_its_runs_when_one_diverges(tmp_path):
    flags = ["--preset", "smoke", "--out", tmp_path / "runs", "--threads", 1, "--n-steps", 50]
    flags += ["--vary", "optim.learning-rate", "1e-3", "1e9"]
    command = [sys.executable, "-m", "transformer", "train", *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 1
    assert "1e-3" in done.stdout
    assert "finished" in done.stdout
    assert "diverged" in done.stdout
    assert "the loss of step 2 is not finite" in done.stderr.splitlines()[-1]
