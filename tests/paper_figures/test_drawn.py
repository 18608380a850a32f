"""What the figures draw, and the numbers that they write."""

import csv

import pytest

from paper_figures.coopetition import figure_1, figure_5, figure_16, figure_17
from paper_figures.core.figure import find_figure
from paper_figures.core.runs import all_found, kept_runs
from paper_figures.theory import (
    critical_sets,
    interventions,
    laws,
    order_parameters,
    phases,
    times,
)

SHORT = {"n_screened": 16, "n_starts": 1, "max_iterations": 1}


def rows_of(result, folder):
    """The numbers as a reader of the CSV gets them."""
    paths = result.write(folder, "f")
    assert {path.suffix for path in paths} == {".png", ".pdf", ".csv", ".json"}
    assert all(path.stat().st_size for path in paths)
    with open(folder / "f.csv") as file:
        return list(csv.DictReader(file))


def test_figure_1_draws_every_evaluator_of_every_run():
    runs = kept_runs("coopetition/main")
    result = figure_1.FIGURE.drawn(all_found(figure_1.FIGURE.needs))
    ax = result.drawing.axes[-1]
    drawn = {line.get_label() for line in ax.get_lines()}
    names = {"train", "ICL", "CIWL", "Flip (ICL over CIWL)"}
    assert {f"{name} (n = {len(runs)})" for name in names} <= drawn
    own = [row for row in result.numbers if row[:2] == ("b", "Flip (ICL over CIWL), highest")]
    assert max(y for *_, y in own) == pytest.approx(max(r.timeline().flip_peak for r in runs))
    sequences = [row for row in result.numbers if row[0] == "a"]
    assert len(sequences) == 4 * (3 + 2 + 1), "drawings, labels and the answer of four evaluators"
    assert (
        len(result.findings) == len(runs)
        and "coopetition/main_5, in its own sequences: emergence 2.24e+05" in result.findings[0]
    )


def test_figure_5_has_toy_transformer_and_fit(tmp_path):
    run = kept_runs("glyphs")[0]
    result = figure_5.draw_run(run, figure_5.fit_run(run, **SHORT))
    rows = rows_of(result, tmp_path)
    assert {row["panel"] for row in rows} == {"a toy", "b transformer", "c fitted", "c observed"}
    observed = [float(r["y"]) for r in rows if (r["panel"], r["curve"]) == ("c observed", "icl")]
    losses = run.curves("loss").values["icl"]
    assert observed == pytest.approx(losses[-len(observed) :], rel=1e-4)
    first = float(next(r["x"] for r in rows if r["panel"] == "c observed"))
    assert first >= figure_5.LEAD * run.timeline().emergence
    assert result.provenance["toy"]["stopped_at"] == 9620


def test_figures_16_and_17_show_what_was_published():
    """10 of 12 draws show transience with mu1 = 0.1, none without."""
    assert figure_16.draw().provenance["fates"] == {"icl_transient": 10, "never": 2}
    persistent = figure_17.draw()
    assert persistent.provenance["fates"] == {"icl_persistent": 10, "never": 2}
    assert len(persistent.drawing.axes) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "sizes"),
    [
        (order_parameters, {}),
        (laws, {}),
        (critical_sets, {}),
        (phases, {"n": 6, "n_draws": 2, "n_predicted": 3}),
        (times, {"n_draws": 4}),
        (interventions, {"n_draws": 8, "n_map": 3}),
    ],
)
def test_theory_figures_are_drawn_with_their_numbers(module, sizes, tmp_path):
    result = module.FIGURE.drawn([], **sizes)
    assert rows_of(result, tmp_path) and result.findings
    assert all(ax.has_data() for ax in result.drawing.axes)


def letters(drawing) -> list[str]:
    """Those that the titles of panels begin with."""
    titles = (ax.get_title(loc="left") for ax in drawing.axes)
    return [title.split()[0] for title in titles if title[1:3] == "  "]


def test_every_panel_has_a_letter_of_its_own():
    for name in ("1", "4", "6"):
        figure = find_figure("coopetition", name)
        found = letters(figure.drawn(all_found(figure.needs)).drawing)
        assert sorted(found) == sorted({*found}) and found


def test_a_panel_without_runs_says_so():
    """Those of twelve layers are not made yet."""
    figure = find_figure("coopetition", "6")
    main, matched, *_ = all_found(figure.needs)
    panels = figure.drawn([main, matched, [], []]).drawing.axes
    assert len(panels) == 2
    assert ["no run yet" in ax.get_title(loc="left") for ax in panels] == [False, True]


def test_legends_of_figure_4_tell_whose_sequences_they_count():
    """The axes count our own, which are fewer; a cross of the paper has its curve's colour."""
    figure = find_figure("coopetition", "4")
    alone, *others = figure.drawn(all_found(figure.needs)).drawing.axes
    for ax in others:
        assert "the paper's" in ax.get_legend().get_title().get_text()
        assert ax.get_legend().get_texts()
    crosses = {line.get_color() for line in alone.get_lines() if line.get_marker() == "x"}
    labelled = [line for line in alone.get_lines() if "the paper's" in str(line.get_label())]
    assert [line.get_color() for line in labelled] == ["grey"] and len(crosses) >= 2
