"""Training that is killed or interrupted at awkward moments."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition.tools.errors import UserError
from tests.transformer.conftest import HERE, assert_same_run, short_config, tiny_config
from transformer.config import OptimConfig
from transformer.runs.folder import create_ensemble, load_run, load_runs
from transformer.runs.recovery import read_statuses
from transformer.runs.train import resume, train_together


def start(*words) -> subprocess.Popen:
    command = [sys.executable, "-m", "transformer", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def start_smoke(folder) -> subprocess.Popen:
    flags = ("--threads", 1, "--device", "cpu")
    return start("train", "--preset", "smoke", "--out", folder, *flags)


def wait_for_lines(folder, count: int, process: subprocess.Popen, seconds=120):
    """Wait until a run has so many lines of metrics."""
    path, end = folder / "metrics.jsonl", time.monotonic() + seconds
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)


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
    for begin, count in ((start_smoke, 1), (lambda folder: start("resume", folder), 4)):
        process = begin(folder)
        wait_for_lines(folder, count, process)
        process.kill()
        process.communicate()
        assert load_run(folder).current_status()["status"] == "killed"
    process = start("resume", folder)
    output = process.communicate()
    assert process.returncode == 0, output
    assert load_run(folder).current_status()["status"] == "finished"
    assert_same_run(whole_smoke, load_run(folder))


@pytest.mark.slow
def test_sigint_writes_a_checkpoint_and_exits_with_its_code(whole_smoke, tmp_path):
    folder = tmp_path / "run"
    process = start_smoke(folder)
    wait_for_lines(folder, 2, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in stderr, stderr
    run = load_run(folder)
    status = read_statuses([run])[0]
    assert status["status"] == "interrupted" and 50 <= status["step"] < 300
    resume(folder)
    for step in set(run.steps()) - set(whole_smoke.steps()):
        run.checkpoint_path(step).unlink()  # the one more that the interruption made
    assert_same_run(whole_smoke, run)


class Killed(BaseException):
    """Nothing more is written after it."""


@contextlib.contextmanager
def killed_when(is_due: Callable[[tuple], bool]):
    """Raise `Killed` from the first operation on files for whose arguments `is_due`, and later."""
    is_dead = False

    def mortal(function):
        def call(*arguments):
            nonlocal is_dead
            if is_dead := is_dead or is_due(arguments):
                raise Killed
            return function(*arguments)

        return call

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
        for name in ("replace", "unlink", "fsync"):
            patch.setattr(os, name, mortal(getattr(os, name)))
        yield


def nth(count: int, suffix: str = "") -> Callable[[tuple], bool]:
    """The nth operation, or the nth that puts a file of such a name in place."""
    left = count

    def is_due(arguments) -> bool:
        nonlocal left
        left -= not suffix or (len(arguments) == 2 and str(arguments[1]).endswith(suffix))
        return left <= 0

    return is_due


KEPT = st.sampled_from([("all", "last"), ("2", "last"), ("1", "all"), ("all", "all")])


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=30)
@given(keep=KEPT, half=st.booleans(), kills=st.lists(st.integers(1, 60), min_size=1, max_size=3))
def test_runs_that_are_killed_anywhere_end_as_others_do(keep, half, kills):
    """Two runs together; killed between any two operations on files, while resumed too."""
    config = short_config(keep=keep, keep_half=half)
    configs = {"a": config, "b": replace(config, init_seed=9)}
    with tempfile.TemporaryDirectory() as folder:
        uncut = train_together(configs, Path(folder) / "whole", HERE)
        runs = Path(folder) / "runs"
        for count, operation in enumerate(kills):
            with killed_when(nth(operation + 12 * (count == 0))):  # the first makes the folders
                resume(runs) if count else train_together(configs, runs, HERE)
        for one, other in zip(uncut, resume(runs), strict=True):
            assert_same_run(one, other)


def test_an_ensemble_that_is_killed_before_its_first_state_starts_anew(tmp_path):
    """And again, with the metrics emptied for the new start."""
    config = short_config()
    configs = {"a": config, "b": replace(config, init_seed=9)}
    uncut = train_together(configs, tmp_path / "whole", HERE)
    with killed_when(nth(1, "state/step_000000002.safetensors")):
        train_together(configs, tmp_path / "runs", HERE)
    with killed_when(nth(1, "a/manifest.json")):
        resume(tmp_path / "runs")
    assert load_run(tmp_path / "runs" / "a").metrics() == []
    for one, other in zip(uncut, resume(tmp_path / "runs"), strict=True):
        assert_same_run(one, other)


def diverging() -> dict:
    """Runs of which the first diverges at step 2, which is noticed at step 7."""
    tiny = tiny_config()
    wild = replace(tiny, optim=OptimConfig(algorithm="sgd", learning_rate=1e30))
    a, b = (replace(tiny, optim=OptimConfig(algorithm="sgd"), init_seed=n) for n in (5, 9))
    return {"wild": wild, "a": a, "b": b}


@pytest.fixture(scope="module")
def beside_one_that_diverged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diverging") / "runs"
    with pytest.raises(UserError, match="wild: the loss of step"):
        train_together(diverging(), folder, HERE)
    return load_runs(folder)


@pytest.mark.parametrize(
    ("suffix", "count"),
    [
        ("checkpoints/step_000000020.safetensors", 1),  # with the state in place
        ("wild/status.json", 2),  # just when it is to be recorded as diverged
        ("wild/manifest.json", 2),  # just after
        ("checkpoints/step_000000010.safetensors", 1),
        ("checkpoints/step_000000040.safetensors", 1),
        ("a/status.json", 2),  # with all done
    ],
)
def test_others_continue_where_they_were_after_one_diverged(
    beside_one_that_diverged, tmp_path, suffix, count
):
    create_ensemble(tmp_path / "runs", diverging(), HERE)
    with killed_when(nth(count, suffix)):
        resume(tmp_path / "runs")
    with pytest.raises(UserError, match="wild: the loss of step"):
        resume(tmp_path / "runs")
    for one, other in zip(beside_one_that_diverged, load_runs(tmp_path / "runs"), strict=True):
        assert_same_run(one, other)
        assert one.current_status()["status"] == other.current_status()["status"]


def test_an_ensemble_computes_as_the_runs_that_live(beside_one_that_diverged, tmp_path):
    """Not as the first, which has diverged and whose record no longer changes."""
    shutil.copytree(beside_one_that_diverged[0].shared, tmp_path / "runs")
    for n_steps, threads in ((41, 2), (42, None)):
        with pytest.raises(UserError, match="wild: the loss of step"):
            resume(tmp_path / "runs", n_steps=n_steps, threads=threads)
    assert [run.machine.threads for run in load_runs(tmp_path / "runs")] == [1, 2, 2]
