"""`plot` draws runs and ensembles, finished or not, and follows those that train."""

import json
import shutil

import pytest
from matplotlib.figure import Figure

from coopetition.plot.style import DASHES
from coopetition.tools.locks import hold
from transformer.runs.layout import LOCK, METRICS, STATUS


@pytest.fixture
def copies(smoke_run, tmp_path):
    """Make copies of the smoke run with only its first lines of metrics; gives all its lines."""

    def make(*numbers, status="finished"):
        paths = []
        for n in numbers:
            path = tmp_path / f"first_{n}"
            shutil.copytree(smoke_run.path, path)
            (path / METRICS).write_bytes(b"".join(lines[:n]))
            (path / STATUS).write_text(json.dumps({"status": status, "message": ""}))
            paths.append(path)
        return paths

    lines = smoke_run.metrics_path.read_bytes().splitlines(keepends=True)
    make.lines = lines
    return make


def test_several_runs_are_drawn_with_a_line_on_what_is_shown(call, smoke_run, copies, tmp_path):
    out = tmp_path / "runs.png"
    flags = ("--curves", "icl", "flip", "--metric", "accuracy", "--out", out)
    written, shown = call("transformer", "plot", smoke_run.path, *copies(3), *flags).splitlines()
    assert written == f"wrote {out}" and out.read_bytes().startswith(b"\x89PNG")
    assert "accuracy of icl, flip" in shown
    assert "smoke: step 300 of 300 (finished)" in shown and "first_3: step " in shown


def test_runs_of_an_ensemble_are_drawn(call, tmp_path):
    flags = ("--n-steps", 50, "--vary", "init_seed", 5, 6, "--execution", "eager", "--threads", 1)
    call("transformer", "train", "--preset", "smoke", "--out", tmp_path / "both", *flags)
    shown = call("transformer", "plot", tmp_path / "both", "--out", tmp_path / "both.pdf")
    assert "init_seed=5: step 50 of 50" in shown and "init_seed=6" in shown


def test_runs_without_measurements_wait(call, copies, tmp_path):
    few, enough = copies(1, 2)
    out = ("--out", tmp_path / "x.png")
    assert "first_1 has fewer than two" in call("transformer", "plot", few, *out, expect=2)
    shown = call("transformer", "plot", few, enough, *out)
    assert "first_2" in shown and "first_1" not in shown


def test_one_run_twice_and_no_run_are_mistakes(call, smoke_run, tmp_path):
    out = ("--out", tmp_path / "x.png")
    twice = call("transformer", "plot", smoke_run.path, smoke_run.path, *out, expect=2)
    assert str(smoke_run.path) in twice
    assert "folders" in call("transformer", "plot", *out, expect=2)


def test_a_run_is_followed_until_it_stops(call, copies, tmp_path, monkeypatch):
    (path,) = copies(0, status="running")
    drawn = []

    def write(n, status="running"):
        (path / METRICS).write_bytes(b"".join(copies.lines[:n]))
        (path / STATUS).write_text(json.dumps({"status": status, "message": ""}))

    def train(_):
        drawn.append((tmp_path / "x.svg").exists())
        moments = [(1,), (3,), None, (4,), (5, "finished")]
        if moment := moments[len(drawn) - 1]:
            write(*moment)

    monkeypatch.setattr("transformer.cli.plot.time.sleep", train)
    with hold(path / LOCK, Exception("in use")):
        shown = call("transformer", "plot", path, "--watch", "--out", tmp_path / "x.svg")
    assert drawn == [False, False, True, True, True]
    steps = [json.loads(copies.lines[n - 1])["step"] for n in (3, 4, 5)]
    lines = [line for line in shown.splitlines() if "step" in line]
    assert len(lines) == 3, "a picture for each change"
    assert all(f"step {step} of" in line for step, line in zip(steps, lines, strict=True))


def test_ctrl_c_ends_the_watch_and_leaves_the_picture(call, copies, tmp_path, monkeypatch):
    (path,) = copies(4, status="running")

    def press(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("transformer.cli.plot.time.sleep", press)
    with hold(path / LOCK, Exception("in use")):
        flags = ("--watch", "--out", tmp_path / "x.svg")
        assert "interrupted" in call("transformer", "plot", path, *flags, expect=130)
    assert "<svg" in (tmp_path / "x.svg").read_text()


def test_curves_of_a_run_have_labels_and_a_legend(smoke_run):
    ax = smoke_run.curves("loss").plot(ax=Figure().subplots())
    assert ax.get_ylabel() == "loss" and ax.get_xlabel()
    assert {"ICL", "CIWL", "train"} <= {text.get_text() for text in ax.get_legend().get_texts()}


def test_runs_have_dashes_or_thin_lines(smoke_run):
    from coopetition.plot.fits import plot_measured

    curves = smoke_run.curves().select(("icl", "ciwl"))
    for n in (2, len(DASHES) + 1):
        runs = {f"run {k}": curves for k in range(n)}
        ax = plot_measured(runs, ax=Figure().subplots())
        drawn = [line for line in ax.get_lines() if len(line.get_xdata())]
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert len(drawn) == 2 * n and labels[:2] == ["ICL", "CIWL"]
        assert labels[2:] == ([*runs] if n <= len(DASHES) else [])
        assert len({line.get_color() for line in drawn}) == 2
