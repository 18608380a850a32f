"""Figures are found by their files, called by what --list prints, and drawn."""

import csv
import subprocess
import sys

import pytest

import paper_figures
from coopetition.plot.style import label_of
from coopetition.tools.errors import UsageError
from paper_figures.core.figure import Figure, figures_of, find_figure, papers
from paper_figures.core.plotting import SHOWN_EVALUATORS, draw_by_setting, draw_settings
from paper_figures.core.runs import Runs, find_needs, kept_runs
from paper_figures.core.verdicts import (
    claims_table,
    explanations,
    papers_with_claims,
    verdict_counts,
)

HEAVY = ("torch", "scipy", "sympy", "pandas", "numba", "matplotlib")


@pytest.fixture(autouse=True)
def clear_cache():
    figures_of.cache_clear()
    yield
    figures_of.cache_clear()


def every_figure():
    return [figure for paper in papers() for figure in figures_of(paper).values()]


def test_a_figure_is_called_by_slot_or_number_which_are_unique_in_its_paper():
    for paper in papers():
        figures = figures_of(paper).values()
        assert {figure.paper for figure in figures} == {paper}
        names = [name for each in figures for name in {each.slot, each.number}]
        assert len(set(names)) == len(names)
        for each in figures:
            assert find_figure(paper, each.slot) is find_figure(paper, each.number) is each
    slots = [str(number) for number in range(1, 19)]
    assert list(figures_of("coopetition")) == ["composition", "rates", "seeds", *slots]
    with pytest.raises(UsageError, match="19.*composition, rates, seeds"):
        find_figure("coopetition", "19")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--list"], ["make", "--help"], ["theory", "-h"]]
)
def test_help_and_list_import_nothing_heavy(arguments):
    code = (
        "import sys\nfrom paper_figures.cli import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        f"sys.exit(' '.join({{*{HEAVY}}} & {{*sys.modules}}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_runs_that_figures_need_are_kept():
    """But for the transience paper, whose runs are still being made."""
    figures = [each for each in every_figure() if each.paper != "transience"]
    for need in (need for each in figures for need in each.needs):
        assert need.optional or need.find()


def test_the_list_shows_seeds_by_scale_and_what_is_missing(monkeypatch):
    kept = {"main": {"cpu": {5, 7}, "paper": {5, 7}}, "one_layer": {"cpu": {5}}}
    monkeypatch.setattr(
        Runs, "seeds", lambda need, scale: kept[need.preset.split("/")[1]].get(scale, set())
    )
    status = find_figure("coopetition", "13").status
    assert status()["seeds by scale"] == "cpu 5 7; paper 5 7 (1 of 2 missing)"
    kept["main"].clear()
    assert status()["seeds by scale"] == "missing"


def test_a_figure_is_added_by_one_file(tmp_path, monkeypatch):
    """In a folder of its own, even outside the package."""
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Figures of a letter."""\n')
    (folder / "helper.py").write_text("X = 1\n")
    (folder / "figure_s2_curve.py").write_text(
        "from paper_figures.core.claims import Claim, Reading\n"
        "from paper_figures.core.figure import Figure, FigureResult, blank\n\n\n"
        "def draw():\n"
        "    drawing = blank(2, 2)\n"
        "    drawing.subplots().plot([1, 2])\n"
        '    return FigureResult(drawing, [("a", "b", 0.0, 1.0)])\n\n\n'
        'CLAIM = Claim("it rises", lambda: [Reading("x", True)], contradiction="it falls")\n'
        'FIGURE = Figure(__name__, "a line", draw, (), (CLAIM,), "S2")\n'
    )
    monkeypatch.setattr(paper_figures, "__path__", [*paper_figures.__path__, str(tmp_path)])
    assert papers()["letters"] == "Figures of a letter."
    added = find_figure("letters", "S2")
    assert isinstance(added, Figure) and list(figures_of("letters")) == ["s2"]
    paths = added.render([]).write(tmp_path / "out", added.stem())
    assert {path.suffix for path in paths} == {".png", ".pdf", ".csv", ".json"}
    assert all(path.stat().st_size for path in paths)
    assert (tmp_path / "out" / "letters_s2.csv").read_text() == "panel,curve,x,y\na,b,0,1\n"
    assert "letters" in papers_with_claims()
    assert "| S2 | it rises | toy | reproduced |" in claims_table("letters")
    assert "of the paper: 1," in verdict_counts("letters") and explanations("letters") == ""


def test_runs_of_another_paper_are_drawn_with_all_their_seeds():
    needs = (Runs("transience/depth_2"),)
    figure = Figure("any.transience.figure_4", "depth", draw_by_setting(("2 layers",)), needs)
    result = figure.render(find_needs(needs))
    assert result.drawing.axes[0].get_title(loc="left") == "2 layers (n = 3)"
    assert {"ICL, lowest", "IWL, highest"} <= {curve for _, curve, *_ in result.numbers}
    assert [run["config"]["init_seed"] for run in result.provenance["runs"]] == [5, 6, 7]


def test_settings_with_different_numbers_of_runs_share_a_legend():
    runs = kept_runs("glyphs")
    (legend,) = draw_settings({"one": runs[:1], "all": runs}).drawing.legends
    expected = [label_of(name) for name in SHOWN_EVALUATORS]
    assert [text.get_text() for text in legend.get_texts()] == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slot", "sizes"),
    [
        ("1", {}),
        ("2", {}),
        ("3", {}),
        ("4", {"n": 6, "n_draws": 2, "n_predicted": 3}),
        ("5", {"n_draws": 4}),
        ("6", {"n_draws": 8, "n_map": 3}),
    ],
)
def test_theory_figures_are_drawn_with_their_numbers(slot, sizes, tmp_path):
    result = find_figure("theory", slot).render([], **sizes)
    result.write(tmp_path, "f")
    with open(tmp_path / "f.csv") as file:
        assert list(csv.DictReader(file))
    assert result.findings and all(ax.has_data() for ax in result.drawing.axes)
