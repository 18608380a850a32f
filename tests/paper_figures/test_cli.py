"""`python -m paper_figures`."""

import json
import signal
import subprocess
import sys
from functools import partial

import pandas as pd
import pytest

from coopetition.tools.errors import UsageError
from paper_figures.cli import main
from paper_figures.core.build import sweep_flags
from paper_figures.core.figure import figures_of, find_figure, papers
from paper_figures.core.runs import find_needs, kept_runs
from transformer.experiments.plans import load_plan


def test_a_figure_is_written_whole_and_its_verdicts_are_printed(call, tmp_path):
    assert "coopetition 13" in call("paper_figures", "--list")
    printed = call("paper_figures", "coopetition", 13, "--out", tmp_path)
    for kind, start in {"png": b"\x89PNG", "pdf": b"%PDF", "csv": b"panel", "json": b"{"}.items():
        assert (tmp_path / f"coopetition_13.{kind}").read_bytes().startswith(start)
    record = json.loads((tmp_path / "coopetition_13.json").read_text())
    assert len(record["runs"]) >= 3 and record["claims"]
    assert all(f"\n{each['verdict']}: {each['claim']}" in printed for each in record["claims"])
    assert "(ours 4.91M, published 5M)" in printed


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("coopetition", 19), "no figure 19"),
        (("nature", 1), "'nature'"),
        (("--list", "more"), "more"),
        (("--all", "--jobs", 0), "--jobs"),
        (("coopetition", 11, "--scale", "paper"), "make coopetition 11 --scale paper --runs"),
        (("coopetition", 8, "--scale", "paper", "--init-seed", 9), "seed 9"),
        (("coopetition", 16, "--init-seed", 5), "--out"),
        (("coopetition", "rates", "--scale", "paper"), "leave out --scale"),
        (("coopetition", 5, "--scale", "smoke"), "smoke"),
        (("clocks", 1, "--scale", "paper"), "cpu, smoke"),
        (("preset", "nothing"), "'nothing'"),
        (("preset", "glyphs", "--init-seed", 99), "99"),
        (("preset", "glyphs", "--scale", "paper"), "train --preset glyphs"),
        (("keep", "runs", "--paper", "nature"), "--paper nature"),
        (("results", "--paper", "theory"), "--paper theory"),
        (("make", "coopetition", 16, "--runs", "r"), "without make"),
        (("make", "nature", 1, "--runs", "r"), "'nature'"),
        (("make", "coopetition", "rates", "--runs", "r"), "two scales"),
    ],
)
def test_what_cannot_be_done_is_refused(call, tmp_path, monkeypatch, arguments, names):
    monkeypatch.chdir(tmp_path)
    error = call("paper_figures", *arguments, expect=2)
    assert names in error and len(error) < 500
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_written_are_refused_and_no_half_is_left(call, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "theory_2.csv").mkdir()
    for out, name in ((tmp_path / "file", "file"), (tmp_path, "theory_2.csv")):
        assert name in call("paper_figures", "theory", 2, "--out", out, expect=2)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "theory_2.csv"}


def test_names_of_files_say_what_else_than_the_default_was_drawn(call, tmp_path):
    for more in (("--init-seed", 6), ("--scale", "paper")):
        call("paper_figures", "coopetition", 13, *more, "--out", tmp_path)
    printed = call("paper_figures", "preset", "glyphs", "--out", tmp_path)
    assert all(str(run.path) in printed for run in kept_runs("glyphs"))
    names = {"coopetition_13_init_6.png", "coopetition_13_paper.png", "glyphs.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == names
    rows = pd.read_csv(tmp_path / "glyphs.csv").set_index("curve")
    last = [run.curves().values["icl"][-1] for run in kept_runs("glyphs")]
    assert rows.loc["ICL, highest"].y.iloc[-1] == pytest.approx(max(last))
    assert "IWL" not in rows.index, "these runs did not measure it"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_figures_with_runs_are_drawn_at_once(call, tmp_path):
    printed = call("paper_figures", "--all", "--out", tmp_path)
    figures = [each for paper in papers() for each in figures_of(paper).values()]
    made = {each.stem() for each in figures if each.status()["seeds by scale"] != "missing"}
    names = {f"{each.paper} {each.slot}" for each in figures if each.stem() not in made}
    missing = [line for line in printed.splitlines() if line.endswith("missing")]
    assert {line.removesuffix("missing").strip() for line in missing} == names
    assert made <= {path.stem for path in tmp_path.glob("*.png")}
    assert "coopetition_5_paper" in {path.stem for path in tmp_path.glob("*.pdf")}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_interrupt_ends_drawing_all_with_its_workers(tmp_path):
    command = [sys.executable, "-m", "paper_figures", "--all", "--out", str(tmp_path)]
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # background jobs ignore it
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heeds)
    for line in process.stderr:
        if line.startswith("draw: "):
            break
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)  # all of it takes minutes
    assert process.returncode == 130
    assert "interrupted" in printed.splitlines()[-1] and "Traceback" not in printed


def test_make_takes_a_part_of_what_a_figure_needs(tmp_path):
    figure = find_figure("coopetition", "8")
    everything = load_plan("coopetition", "smoke").select(
        sweep_flags(figure, tmp_path, scale="smoke").only
    )
    runs = {name for name in everything.nodes if name.startswith(("main_", "rotary", "sinusoidal"))}
    for asked, expected in (
        ({"seeds": (6,)}, {name for name in runs if name.endswith("_6")}),
        ({"only": ("main_*",)}, {name for name in runs if name.startswith("main_")}),
        ({"only": ("main_*",), "seeds": (5, 6)}, {"main_5", "main_6"}),
    ):
        assert {*sweep_flags(figure, tmp_path, scale="smoke", **asked).only} == expected != set()
    for asked in ({"seeds": (99,)}, {"only": ("deep",)}):
        with pytest.raises(UsageError, match="main_5"):
            sweep_flags(figure, tmp_path, scale="smoke", **asked)


def test_a_trial_is_marked_and_reports_nothing():
    figure = find_figure("coopetition", "13")
    real = figure.render(find_needs(figure.needs))
    trial = real.as_trial()
    assert "smoke" in trial.drawing.get_suptitle() and trial.numbers == real.numbers
    assert {"claims", "runs"} <= real.provenance.keys() - trial.provenance.keys()
    assert not {*real.findings} & {*trial.findings}


@pytest.mark.parametrize("command", [("make",), ("coopetition",), ("keep",), ("preset",)])
def test_help_names_arguments_and_shows_each_default_once(capsys, command):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    text = capsys.readouterr().out
    assert "STR STR" not in text and "None" not in text
    names = {"make": ("PAPER", "FIGURE"), "coopetition": ("FIGURE",), "keep": ("RUNS",)}
    assert all(name in text for name in names.get(command[0], ("NAME",)))
