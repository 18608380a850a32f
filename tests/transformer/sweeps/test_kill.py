"""Sweeps that are killed or interrupted, and what they make in the end."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.transformer.sweeps.conftest import NODES

KILLS = 20


def contents(runs):
    """All files but what time and place decide.

    That is: the folder `.sweep` (locks, logs, why nodes failed), locks of runs, seconds in metrics,
    sessions and the commit in manifests, and the path of the folder itself.
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


def start(plan_file, runs, **keywords):
    """A process that sweeps, and says so in a file beside the folder."""
    command = [sys.executable, "-m", "transformer", "sweep", str(plan_file), "--runs", str(runs)]
    command += ["--jobs", "2", "--device", "cpu"]
    with open(said_in(runs), "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **keywords)


def said_in(runs):
    return runs.with_name(f"{runs.name}.said")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killing_at_random_moments_changes_nothing(plan_file, swept, tmp_path):
    """With the whole process group, as a machine that loses power does: 20 times."""
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
        assert start(plan_file, runs).wait() == 0, said_in(runs).read_text()
        assert contents(runs) == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_in_good_order(plan_file, swept, tmp_path, number, code):
    runs = tmp_path / "runs"
    process = start(plan_file, runs)
    while not (runs / "first" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    code_found, said = process.wait(), said_in(runs).read_text()
    assert code_found == code and "start it again to go on" in said and "Traceback" not in said
    assert start(plan_file, runs).wait() == 0, said_in(runs).read_text()
    for node in NODES:  # but for the checkpoints of where it stopped
        for name, each in contents(swept / node).items():
            if "manifest" not in name:
                assert contents(runs / node)[name] == each, name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_processes_are_still_importing_is_told_in_a_line(
    plan_file, tmp_path, number, code
):
    runs = tmp_path / "runs"
    process = start(plan_file, runs, start_new_session=True)
    while "started" not in said_in(runs).read_text():
        time.sleep(0.02)
    os.killpg(process.pid, number)
    assert process.wait(120) == code
    last = said_in(runs).read_text().splitlines()[-1]
    assert last.endswith(f"stopped by {signal.Signals(number).name}; start it again to go on")
    assert "Traceback" not in said_in(runs).read_text()
