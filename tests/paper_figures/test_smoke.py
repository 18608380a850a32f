"""Every figure of the papers, at scale smoke: from training to the picture."""

import csv
import json

import pytest

from paper_figures.core.figure import figures_of, find_figure
from paper_figures.core.kept_data import load_index
from paper_figures.core.runs import find_needs, kept_tables

DATA = {"coopetition": "smoke", "transience": "smoke_transience"}  # fixtures
OF_RUNS = [
    (paper, slot)
    for paper in DATA
    for slot, figure in figures_of(paper).items()
    if figure.needs and not figure.of_several_scales
]


@pytest.mark.slow
@pytest.mark.timeout(600)  # the first figure of a paper trains its runs
@pytest.mark.parametrize(("paper", "slot"), OF_RUNS)
def test_every_figure_is_drawn(request, tmp_path, paper, slot):
    data = request.getfixturevalue(DATA[paper])
    figure = find_figure(paper, slot)
    found = find_needs(figure.needs, scale="smoke", data=data)
    assert not figure.missing(found), "the plan makes all that is needed"
    result = figure.render(found)
    result.write(tmp_path, slot)
    assert (tmp_path / f"{slot}.png").stat().st_size
    record = json.loads((tmp_path / f"{slot}.json").read_text())
    ids = {entry["run_id"] for entry in load_index(data)}
    runs = record["runs"] if "runs" in record else [record["run"]]
    assert runs and {run["run_id"] for run in runs} <= ids
    assert [claim["claim"] for claim in record["claims"]] == [c.text for c in figure.claims]
    with open(tmp_path / f"{slot}.csv") as file:
        assert all(row["panel"] or row["curve"] for row in csv.DictReader(file))
    assert any(ax.has_data() for ax in result.drawing.axes)


@pytest.mark.slow
def test_a_head_is_drawn_as_it_was_measured(smoke):
    table, *_ = kept_tables("coopetition/main", "mechanisms", scale="smoke", data=smoke)
    own = table.select(evaluator="ciwl", layer=1, head=3)
    row = own.select(measure="query_row", what="target in pair 1").column()
    copied = own.select(measure="copying").column()
    assert (len(row), len(copied)) == (5, 11)
    assert row.sum() == pytest.approx(1, abs=1e-4), "attention of the query to all tokens"
    drawing = find_figure("coopetition", "2").draw([table]).drawing
    for ax, expected in zip(drawing.axes, (row, copied), strict=True):
        lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
        assert [*lines["head 3"]] == pytest.approx(expected)


@pytest.mark.slow
def test_make_trains_what_is_missing_keeps_it_and_draws(call, tmp_path):
    """Figure 8 takes five runs; a second call finds them made."""
    given = ("make", "coopetition", 8, "--scale", "smoke", "--runs", tmp_path / "runs")
    out = ("--out", tmp_path / "out")
    assert "rotary" in call("paper_figures", *given, "--dry-run")
    assert not (tmp_path / "runs" / "main_5").exists()
    assert "coopetition_8_smoke.png" in call("paper_figures", *given, *out)
    kept = json.loads((tmp_path / "runs" / "kept" / "index.json").read_text())
    assert {entry["preset"] for entry in kept} == {
        f"coopetition/{name}" for name in ("main", "sinusoidal", "rotary")
    }
    (tmp_path / "out" / "coopetition_8_smoke.png").unlink()
    again = call("paper_figures", *given, *out)
    assert "started" not in again and (tmp_path / "out" / "coopetition_8_smoke.png").is_file()
