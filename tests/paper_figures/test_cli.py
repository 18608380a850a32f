"""`python -m paper_figures`."""

import json
import signal
import subprocess
import sys

import pandas as pd
import pytest

from coopetition.tools.errors import UsageError
from paper_figures.core.build import sweep_of
from paper_figures.core.figure import figures_of, find_figure, papers
from paper_figures.core.plotting import as_trial
from paper_figures.core.runs import all_found, kept_runs
from transformer.experiments.plans import load_plan


def test_a_figure_is_written_whole(call, tmp_path):
    assert "coopetition 5" in call("paper_figures", "--list")
    call("paper_figures", "coopetition", 1, "--out", tmp_path)
    for kind, start in {"png": b"\x89PNG", "pdf": b"%PDF", "csv": b"panel", "json": b"{"}.items():
        assert (tmp_path / f"coopetition_1.{kind}").read_bytes().startswith(start)
    assert len(json.loads((tmp_path / "coopetition_1.json").read_text())["runs"]) >= 3


def test_what_cannot_be_drawn_is_refused(call, tmp_path):
    (tmp_path / "file").write_text("")
    for arguments, names in (
        (("coopetition", 19), "no figure 19"),
        (("coopetition", 1, "--out", tmp_path / "file"), "file is a file; give a folder"),
        (("nature", 1), "'nature'"),
        (("--list", "more"), "Unrecognized options: more"),
        (("pages", "more"), "Unrecognized options: more"),
        (("--all", "--jobs", 0), "--jobs is 0; choose a whole number of at least 1"),
        (("coopetition", 11, "--scale", "paper"), "coopetition 11 needs is not kept at scale"),
        (("coopetition", 8, "--scale", "paper", "--init-seed", 6), "no run of seed 6 is kept"),
        (("within_class", 1, "--scale", "paper"), "make within_class 1 --scale paper --runs"),
        (("coopetition", 16, "--init-seed", 5), "is of no trained run; it takes only --out"),
        (("preset", "nothing"), "preset 'nothing' is unknown"),
        (("preset", "glyphs", "--init-seed", 99), "no run of seed 99 is kept"),
        (("preset", "glyphs", "--scale", "paper"), "preset glyphs --scale paper --retrain"),
        (("coopetition", "rates", "--scale", "paper"), "is of runs of two scales; leave out"),
        (("coopetition", 5, "--scale", "smoke"), "--scale smoke is for trying"),
        (("preset", "glyphs", "--scale", "smoke"), "--scale smoke is for trying"),
        (("keep", tmp_path, "--scale", "smoke"), "--scale smoke is for trying"),
        (("keep", tmp_path, "--paper", "nature"), "--paper nature is unknown"),
    ):
        assert names in call("paper_figures", *arguments, expect=2)


def test_what_is_missing_is_told_beside_the_figure(call, tmp_path):
    told = call("paper_figures", "coopetition", 6, "--out", tmp_path)
    assert "not kept at scale cpu: coopetition/deep, coopetition/deep_matched\n" in told


def test_files_tell_what_else_than_the_default_was_drawn(call, tmp_path):
    for more in ((), ("--init-seed", 6), ("--scale", "paper")):
        call("paper_figures", "coopetition", 13, *more, "--out", tmp_path)
    call("paper_figures", "preset", "coopetition/one_layer", "--out", tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "coopetition_13.png",
        "coopetition_13_init_6.png",
        "coopetition_13_paper.png",
        "coopetition_one_layer.png",
    }


def test_a_preset_is_drawn_as_it_was_measured(call, tmp_path):
    call("paper_figures", "preset", "glyphs", "--out", tmp_path)
    rows = pd.read_csv(tmp_path / "glyphs.csv").set_index("curve")
    runs = kept_runs("glyphs")
    last = [run.curves("in_context_accuracy").values["icl"][-1] for run in runs]
    assert rows.loc["ICL, highest"].y.iloc[-1] == pytest.approx(max(last))
    assert "IWL" not in rows.index, "these runs did not measure it"


def test_no_half_of_a_figure_is_written(call, tmp_path):
    (tmp_path / "theory_2.csv").mkdir()
    assert "theory_2.csv" in call("paper_figures", "theory", 2, "--out", tmp_path, expect=2)
    assert [path.name for path in tmp_path.iterdir()] == ["theory_2.csv"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_that_is_kept_is_drawn_at_once(call, tmp_path):
    told = call("paper_figures", "--all", "--out", tmp_path)
    figures = [each for paper in papers() for each in figures_of(paper).values()]
    made = {each.stem for each in figures if each.status()["status"] != "not made"}
    names = {f"{each.paper} {each.slot}" for each in figures if each.stem not in made}
    lacking = [line for line in told.splitlines() if line.endswith("not made")]
    assert {line.removesuffix("not made").strip() for line in lacking} == names
    assert made <= {path.stem for path in tmp_path.glob("*.png")}
    assert "coopetition_5_paper" in {path.stem for path in tmp_path.glob("*.pdf")}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_interrupt_ends_drawing_all_with_its_workers(tmp_path):
    command = [sys.executable, "-m", "paper_figures", "--all", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("draw: "):
            break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)  # all of it takes minutes
    assert process.returncode == 130
    assert told.splitlines()[-1] == "python -m paper_figures: interrupted"
    assert "Traceback" not in told


def test_what_is_not_kept_is_told_with_the_remedy_first(call):
    told = call("paper_figures", "preset", "smoke", expect=2)
    assert "preset smoke --scale cpu --retrain" in told and len(told) < 400


@pytest.mark.parametrize("command", [[], ["make"]])
def test_a_paper_whose_runs_alone_are_there_is_told_so(call, tmp_path, command):
    runs = ["--runs", tmp_path] if command else []
    told = call("paper_figures", *command, "transience", 6, *runs, expect=2)
    assert "not made yet" in told and "sweep transience" in told and "unknown" not in told


def test_the_verdicts_on_a_figures_claims_are_printed(call, tmp_path):
    told = call("paper_figures", "coopetition", 13, "--out", tmp_path).splitlines()
    claims = json.loads((tmp_path / "coopetition_13.json").read_text())["claims"]
    assert claims
    for each in claims:
        assert f"{each['verdict']}: {each['claim']}" in told


def test_make_takes_part_of_what_a_figure_needs(tmp_path):
    figure = find_figure("coopetition", "8")
    of_all = load_plan("coopetition", "smoke").select(
        sweep_of(figure, tmp_path, scale="smoke").only
    )
    runs = {name for name in of_all.nodes if name.startswith(("main_", "rotary", "sinusoidal"))}
    for asked, expected in (
        ({"seeds": (6,)}, {name for name in runs if name.endswith("_6")}),
        ({"only": ("main_*",)}, {name for name in runs if name.startswith("main_")}),
        ({"only": ("main_*",), "seeds": (5, 6)}, {"main_5", "main_6"}),
    ):
        assert {*sweep_of(figure, tmp_path, scale="smoke", **asked).only} == expected != set()
    for asked in ({"seeds": (99,)}, {"only": ("deep",)}):
        with pytest.raises(UsageError, match="main_5"):
            sweep_of(figure, tmp_path, scale="smoke", **asked)


def test_a_trial_is_marked_and_reports_nothing():
    figure = find_figure("coopetition", "13")
    real = figure.drawn(all_found(figure.needs))
    assert real.findings and real.provenance["claims"] and "events" in real.provenance["runs"][0]
    trial = as_trial(real)
    assert "smoke" in trial.drawing.get_suptitle()
    assert "claims" not in trial.provenance
    assert all("events" not in run for run in trial.provenance["runs"])
    assert not any(finding in trial.findings for finding in real.findings)
    assert trial.numbers == real.numbers
