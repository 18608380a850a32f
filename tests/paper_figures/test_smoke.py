"""Every figure of the coopetition paper, at scale smoke: from training to the picture."""

import csv
import json

import pytest

from coopetition.tools.errors import UsageError
from paper_figures.core.figure import figures_of, find_figure
from paper_figures.core.kept_data import index
from paper_figures.core.runs import all_found, kept_tables

OF_RUNS = [
    name
    for name, figure in figures_of("coopetition").items()
    if figure.needs and not figure.of_several_scales
]


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_RUNS)
def test_every_figure_is_drawn(smoke, tmp_path, name):
    figure = find_figure("coopetition", name)
    found = all_found(figure.needs, scale="smoke", data=smoke)
    assert all(found), "the plan makes all that is needed"
    drawn = figure.drawn(found)
    drawn.write(tmp_path, name)
    assert (tmp_path / f"{name}.png").stat().st_size
    record = json.loads((tmp_path / f"{name}.json").read_text())
    ids = {entry["run_id"] for entry in index(smoke)}
    runs = record["runs"] if "runs" in record else [record["run"]]
    assert runs and {run["run_id"] for run in runs} <= ids
    assert [claim["claim"] for claim in record["claims"]] == [c.text for c in figure.claims]
    with open(tmp_path / f"{name}.csv") as file:
        assert all(row["panel"] or row["curve"] for row in csv.DictReader(file))
    assert any(ax.has_data() for ax in drawn.drawing.axes)


def lines_of(ax) -> dict[str, list[float]]:
    return {line.get_label(): [float(y) for y in line.get_ydata()] for line in ax.get_lines()}


@pytest.mark.slow
def test_a_head_is_drawn_as_it_was_measured(smoke):
    table, *_ = kept_tables("mechanisms", "coopetition/main", scale="smoke", data=smoke)
    figure = find_figure("coopetition", "2").draw([table])
    own = table.select(evaluator="ciwl", layer=1, head=3)
    row_axes, copy_axes = figure.drawing.axes
    row = own.select(measure="query_row", what="target in pair 1").column("value")
    assert lines_of(row_axes)["head 3"] == pytest.approx(row) and len(row) == 5
    assert row.sum() == pytest.approx(1, abs=1e-4), "attention of the query to all tokens"
    copied = own.select(measure="copying").column("value")
    assert lines_of(copy_axes)["head 3"] == pytest.approx(copied) and len(copied) == 11


def test_tables_that_are_not_kept_are_told_with_what_makes_them():
    with pytest.raises(
        UsageError, match="no depths of preset .* --only 'depths_main_\\[0-9\\]\\*'` and"
    ):
        kept_tables("depths", "coopetition/main")
    with pytest.raises(UsageError, match="no run of seed 9 is kept"):
        kept_tables("mechanisms", "coopetition/main", 9)


@pytest.mark.slow
def test_make_trains_what_is_missing_keeps_it_and_draws(call, tmp_path):
    """Figure 8 takes five runs; a second call finds them made."""
    given = ("make", "coopetition", 8, "--scale", "smoke", "--runs", tmp_path / "runs")
    out = ("--out", tmp_path / "out")
    assert "rotary" in call("paper_figures", *given, "--dry-run")
    assert not (tmp_path / "runs" / "main_5").exists()
    told = call("paper_figures", *given, *out)
    assert "coopetition_8_smoke.png" in told
    kept = json.loads((tmp_path / "runs" / "kept" / "index.json").read_text())
    assert {entry["preset"] for entry in kept} == {
        f"coopetition/{name}" for name in ("main", "sinusoidal", "rotary")
    }
    (tmp_path / "out" / "coopetition_8_smoke.png").unlink()
    again = call("paper_figures", *given, *out)
    assert "started" not in again and (tmp_path / "out" / "coopetition_8_smoke.png").is_file()


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        (("coopetition", "16"), "is of no trained run; draw it without make"),
        (("coopetition", "99"), "no figure 99"),
        (("nature", "1"), "unknown paper 'nature'; choose one of"),
        (("comparison", "1"), "is of no trained run"),
        (("coopetition", "rates"), "is of runs of two scales; make them by sweeps"),
    ],
)
def test_what_make_cannot_do_is_refused(call, tmp_path, figure, told):
    assert told in call("paper_figures", "make", *figure, "--runs", tmp_path / "r", expect=2)
    assert not (tmp_path / "r").exists()
