"""Sweeps that are killed or interrupted end as one that is not."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.transformer.sweeps.conftest import NODES
from transformer.runs.folder import load_run
from transformer.sweeps.status import is_running, log_path, read_failure

KILLS = 20
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def contents(runs):
    """Return all files, without what depends on time and place.

    That is: the folder `.sweep`, locks of runs, seconds in metrics, sessions and the commit in
    manifests, and the path of the folder itself.
    """
    found = {}
    for path in sorted(runs.rglob("*")):
        name = str(path.relative_to(runs))
        if path.is_dir() or name.startswith(".sweep/") or path.name == ".lock":
            continue
        found[name] = path.read_bytes()
        if path.name == "metrics.jsonl":
            rows = map(json.loads, path.read_text().splitlines())
            found[name] = [row | {"seconds": None} for row in rows]
        if path.name == "manifest.json":
            text = path.read_text().replace(str(runs), "RUNS")
            found[name] = json.loads(text) | {"sessions": None, "git": None}
    return found


def start(plan_file, runs, *flags, **keywords):
    """Start a process that sweeps, with its output in a file beside the folder."""
    command = [sys.executable, "-m", "transformer", "sweep", str(plan_file), "--runs", str(runs)]
    command += ["--jobs", "2", "--device", "cpu", *flags]
    with open(output_path(runs), "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **keywords)


def output_path(runs):
    return runs.with_name(f"{runs.name}.output")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killing_at_random_moments_changes_nothing(plan_file, swept, tmp_path):
    """Kill the whole process group, as a machine that loses power does: 20 times."""
    expected, chance, kills, folders = contents(swept), random.Random(1), 0, 0
    begin = time.monotonic()
    assert start(plan_file, tmp_path / "once").wait() == 0
    length = time.monotonic() - begin
    while kills < KILLS:
        runs = tmp_path / str(folders)
        folders += 1
        for _ in range(4):
            process, begin = start(plan_file, runs, start_new_session=True), time.monotonic()
            try:
                process.wait(chance.uniform(0.2, 1) * length)
                length = min(length, time.monotonic() - begin)  # the machine is less busy now
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
        assert start(plan_file, runs).wait() == 0, output_path(runs).read_text()
        assert contents(runs) == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_an_interrupted_sweep_continues_to_the_same_end(plan_file, swept, tmp_path, number, code):
    runs = tmp_path / "runs"
    process = start(plan_file, runs)
    while not (runs / "first" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait() == code and "Traceback" not in output_path(runs).read_text()
    assert start(plan_file, runs).wait() == 0, output_path(runs).read_text()
    for node in NODES:  # the checkpoint where it stopped is an additional file
        for name, each in contents(swept / node).items():
            if "manifest" not in name:
                assert contents(runs / node)[name] == each, name


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_imports_ends_it_with_one_line(plan_file, tmp_path, number, code):
    runs = tmp_path / "runs"
    process = start(plan_file, runs, start_new_session=True)
    while "started" not in output_path(runs).read_text():
        time.sleep(0.02)
    os.killpg(process.pid, number)
    assert process.wait(120) == code
    output = output_path(runs).read_text()
    assert signal.Signals(number).name in output.splitlines()[-1] and "Traceback" not in output


def test_the_children_of_a_killed_sweep_stop_after_a_checkpoint(plan_file, tmp_path):
    plan, runs = tmp_path / "endless.py", tmp_path / "runs"
    plan.write_text(plan_file.read_text().replace("n_steps=60", "n_steps=10**8"))
    process = start(plan, runs, "--only", "long")
    metrics = runs / "long" / "metrics.jsonl"
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 10:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    while is_running(runs, "long"):
        time.sleep(0.05)
    run = load_run(runs / "long")
    assert run.steps()[-1] >= run.metrics()[-1]["step"]
    assert not read_failure(runs, "long") and "Traceback" not in log_path(runs, "long").read_text()
