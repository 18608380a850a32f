"""Progress is reported in plain lines where there is no terminal."""

import subprocess
import sys

import pytest

import coopetition as co
from coopetition.tools.console import (
    SWITCH,
    ProgressReport,
    add_progress_switch,
    map_in_processes,
    print_progress,
)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until its time is set; every `advance` prints a line."""
    now = [0.0]
    monkeypatch.setattr("coopetition.tools.console.time.monotonic", lambda: now[0])
    monkeypatch.setattr("coopetition.tools.console.LINE_EVERY_S", 0.0)
    return now


@pytest.fixture
def switch(monkeypatch):
    """The switch of progress, which is restored after the test."""
    monkeypatch.setenv(SWITCH, "1")


def test_the_rate_counts_from_the_first_step(clock, capsys):
    """A program compiles for a minute, then does a step a second."""
    with ProgressReport("train", 101, "steps") as progress:
        for clock[0] in (60.0, 61.0):
            progress.advance()
    assert "2/101 steps, 1 steps/s, ETA 0:01:39" in capsys.readouterr().err


def test_no_line_is_printed_twice(clock, capsys):
    with ProgressReport("train", 2, "steps") as progress:
        progress.advance()
        progress.advance()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len({line.split(",")[0] for line in lines}) == 2
    with ProgressReport("train", 2, "steps"):
        pass
    assert capsys.readouterr().err.startswith("train: 0/2 steps")


def test_progress_can_be_switched_off_and_on(capsys, switch):
    for shown in (False, True):
        co.show_progress(shown)
        print_progress("a line")
        with ProgressReport("train", 1, "steps") as progress:
            progress.advance()
        error = capsys.readouterr().err
        assert (error == "") is not shown
    assert "a line\n" in error and "train: 1/1" in error


def test_other_processes_obey_the_switch(switch):
    co.show_progress(False)
    code = "from coopetition.tools.console import print_progress; print_progress('a line')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stderr


@add_progress_switch
def report(n_jobs, *, progress=True):
    """Print four lines of progress: here, in a part of the work, and in processes."""
    print_progress("begin")
    if n_jobs > 1:
        report(1)
    assert [*map_in_processes(print_progress, ["one", "two"], n_jobs)] == [None] * 2


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_keyword_switches_off_the_progress_of_one_call(n_jobs, capfd, switch):
    report(n_jobs, progress=False)
    assert not capfd.readouterr().err
    report(n_jobs)
    shown = capfd.readouterr().err.split()
    assert sorted(shown) == sorted(["begin", "one", "two"] * n_jobs)
    co.show_progress(False)
    report(n_jobs, progress=True)
    assert not capfd.readouterr().err


def test_a_failed_call_without_progress_leaves_that_of_others(capfd, switch):
    with pytest.raises(TypeError):
        report("two", progress=False)
    report(1)
    assert capfd.readouterr().err


def test_a_part_of_reported_work_is_silent_unless_it_takes_long(capsys, monkeypatch):
    with ProgressReport("recover", 5, "problems") as outer:
        outer.advance()
        with ProgressReport("fit", 2, "starts") as inner:
            inner.advance()
        assert "fit" not in capsys.readouterr().err
        monkeypatch.setattr("coopetition.tools.console.LINE_EVERY_S", 0.0)
        with ProgressReport("fit", 2, "starts") as inner:
            inner.advance()
        assert "recover 2/5: fit: 1/2 starts" in capsys.readouterr().err


@pytest.mark.parametrize("total", [10**15, 10**20, 10**30])
def test_a_length_beyond_all_times_does_not_end_the_work(total, clock, capsys):
    with ProgressReport("train", total, "steps") as progress:
        for _ in range(3):
            clock[0] += 1.0
            progress.advance()
    assert f"/{total}" in capsys.readouterr().err
