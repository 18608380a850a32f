"""Figures are found by their files, and called by what --list prints."""

from types import SimpleNamespace

import pytest

import paper_figures
from coopetition.tools.errors import UsageError
from paper_figures.core import figure as figures
from paper_figures.core.figure import Figure, figures_of, find_figure, papers


@pytest.fixture(autouse=True)
def nothing_remembered():
    figures_of.cache_clear()
    yield
    figures_of.cache_clear()


def every_figure():
    return [each for paper in papers() for each in figures_of(paper).values()]


def test_every_figure_lies_with_its_paper_under_one_name():
    assert set(papers()) >= {"coopetition", "theory"}
    for paper in papers():
        own = figures_of(paper)
        assert own and {each.paper for each in own.values()} == {paper}
        modules = [each.draw.__module__ for each in own.values()]
        assert len(set(modules)) == len(modules), "one file a figure"
        names = [name for each in own.values() for name in {each.slot, each.number}]
        assert len(set(names)) == len(names)


def test_a_figure_is_called_by_slot_or_number():
    for each in every_figure():
        assert find_figure(each.paper, each.slot) is find_figure(each.paper, each.number) is each
    slots = [str(number) for number in range(1, 19)]
    assert list(figures_of("coopetition")) == ["composition", "rates", "seeds", *slots]
    with pytest.raises(UsageError, match="no figure 19; choose one of composition, rates, seeds"):
        find_figure("coopetition", "19")


def test_the_runs_that_figures_need_are_kept():
    for need in (need for each in every_figure() for need in each.needs):
        if not need.optional:
            assert need.found()


def test_the_list_tells_seeds_by_scale_and_what_is_not_made(monkeypatch):
    figure = find_figure("coopetition", "13")
    main = [SimpleNamespace(init_seed=seed) for seed in (7, 5)]
    one = main[1:]
    monkeypatch.setattr(Figure, "kept_at", lambda self: {"cpu": [main, one], "paper": [main, []]})
    told = figure.status()
    expected = "cpu 5, of some 7; paper 5 7 (1 of 2 not made)"
    assert (told["status"], told["seeds"]) == ("kept", expected)
    monkeypatch.setattr(Figure, "kept_at", lambda self: {})
    assert (figure.status()["status"], figure.status()["seeds"]) == ("not made", "")


def test_a_figure_is_added_by_one_file(tmp_path, monkeypatch):
    """In a paper's folder of its own, and outside the package at that."""
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Figures of a letter."""\n')
    (folder / "helper.py").write_text("X = 1\n")
    (folder / "curve.py").write_text(
        "from paper_figures.core.figure import Figure\n"
        "from paper_figures.core.figure import FigureResult, blank\n\n\n"
        "def draw():\n"
        "    drawing = blank(2, 2)\n"
        "    drawing.subplots().plot([1, 2])\n"
        '    return FigureResult(drawing, [("a", "b", 0.0, 1.0)])\n\n\n'
        'FIGURE = Figure("letters", "s2", "S2", "a line", draw)\n'
    )
    monkeypatch.setattr(paper_figures, "__path__", [*paper_figures.__path__, str(tmp_path)])
    assert papers()["letters"] == "Figures of a letter."
    added = find_figure("letters", "S2")
    assert isinstance(added, Figure) and list(figures.figures_of("letters")) == ["s2"]
    paths = added.drawn([]).write(tmp_path / "out", "letters_s2")
    assert all(path.stat().st_size for path in paths)
