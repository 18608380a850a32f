"""Processes that are killed or interrupted, at awkward moments."""

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from coopetition.tools.errors import UserError
from tests.transformer.conftest import HERE, assert_same_run, tiny_config
from transformer.config import OptimConfig
from transformer.runs.folder import create_ensemble, create_run, load_run, load_runs
from transformer.runs.loop import resume, train, train_together


def start_smoke(folder) -> subprocess.Popen:
    command = [sys.executable, "-m", "transformer", "train", "--preset", "smoke"]
    command += ["--out", str(folder), "--threads", "1", "--device", "cpu"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)


def lines_in(path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="module")
def whole_smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke") / "run"
    process = start_smoke(folder)
    output = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return load_run(folder)


@pytest.mark.slow
def test_sigkill_and_resume_are_bitwise(whole_smoke, tmp_path):
    """Killed before its first checkpoint, then again between two later ones."""
    folder = tmp_path / "run"
    process = start_smoke(folder)
    wait_for(lambda: lines_in(folder / "metrics.jsonl") >= 1, process)
    process.kill()
    process.communicate()
    assert load_run(folder).status()["status"] == "killed"
    command = [sys.executable, "-m", "transformer", "resume", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: lines_in(folder / "metrics.jsonl") >= 4, process)
    process.kill()
    process.communicate()
    subprocess.run(command, check=True, capture_output=True)
    assert load_run(folder).status()["status"] == "finished"
    assert_same_run(whole_smoke, load_run(folder))


@pytest.mark.slow
def test_sigint_checkpoints_and_exits_with_its_code(whole_smoke, tmp_path):
    folder = tmp_path / "run"
    process = start_smoke(folder)
    wait_for(lambda: lines_in(folder / "metrics.jsonl") >= 2, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    run = load_run(folder)
    status = run.status()
    assert status["status"] == "interrupted"
    assert 50 <= status["step"] < 300
    resume(folder)
    for step in set(run.steps()) - set(whole_smoke.steps()):
        run.checkpoint_path(step).unlink()  # the one more that the interruption made
    assert_same_run(whole_smoke, run)


def resume_and_die(folder, suffix: str, count: int) -> None:
    """Go on in another process, which is killed before it puts a file in place the nth time."""
    code = f"""
import os, pathlib
from transformer.runs.loop import resume
replace, left = os.replace, {count}
def dying(source, target):
    global left
    if str(target).endswith({suffix!r}):
        left -= 1
        if left == 0:
            os._exit(9)
    replace(source, target)
os.replace = dying
resume(pathlib.Path({str(folder)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 9, done.stderr


@pytest.mark.slow
def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path):
    """The process dies with the temporary file complete but not yet in its place."""
    whole = train(tiny_config(), tmp_path / "whole", HERE)
    run = create_run(tmp_path / "run", whole.config, HERE)
    resume_and_die(run.path, "step_000000020.safetensors", 1)
    assert run.steps() == [10]
    assert list(run.path.rglob(".*.tmp"))
    resume(run.path)
    assert_same_run(whole, run)
    assert not list(run.path.rglob(".*.tmp"))


def diverging() -> dict:
    """Runs of which the first diverges at step 2; that is seen at step 7."""
    tiny = tiny_config()
    wild = replace(tiny, optim=OptimConfig(algorithm="sgd", learning_rate=1e30))
    others = [replace(tiny, optim=OptimConfig(algorithm="sgd"), init_seed=n) for n in (5, 9)]
    return {"wild": wild, "a": others[0], "b": others[1]}


@pytest.fixture(scope="module")
def beside_one_that_diverged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diverging") / "runs"
    with pytest.raises(UserError, match="wild: the loss of step"):
        train_together(diverging(), folder, HERE)
    return load_runs(folder)


def test_an_ensemble_computes_as_the_runs_that_live(beside_one_that_diverged, tmp_path):
    """Not as the first, which has diverged and whose record no longer changes."""
    shutil.copytree(beside_one_that_diverged[0].shared, tmp_path / "runs")
    for n_steps, threads in ((41, 2), (42, None)):
        with pytest.raises(UserError, match="wild: the loss of step"):
            resume(tmp_path / "runs", n_steps=n_steps, threads=threads)
    assert [run.machine.threads for run in load_runs(tmp_path / "runs")] == [1, 2, 2]


@pytest.mark.parametrize(
    ("suffix", "count"),
    [
        ("checkpoints/step_000000020.safetensors", 1),  # with the state in place
        *(
            pytest.param(*moment, marks=pytest.mark.slow)
            for moment in (
                ("wild/status.json", 2),  # just when it is to be recorded as diverged
                ("wild/manifest.json", 2),  # just after
                ("checkpoints/step_000000010.safetensors", 1),
                ("checkpoints/step_000000040.safetensors", 1),
                ("a/status.json", 2),  # with all done
            )
        ),
    ],
)
def test_others_go_on_where_they_were_after_one_diverged(
    beside_one_that_diverged, tmp_path, suffix, count
):
    create_ensemble(tmp_path / "runs", diverging(), HERE)
    resume_and_die(tmp_path / "runs", suffix, count)
    with pytest.raises(UserError, match="wild: the loss of step"):
        resume(tmp_path / "runs")
    for one, other in zip(beside_one_that_diverged, load_runs(tmp_path / "runs"), strict=True):
        assert_same_run(one, other)
        assert one.status()["status"] == other.status()["status"]
