"""Figures of what models do: from training, at scale smoke, to the picture."""

import csv
import json
from pathlib import Path

import pytest

from coopetition.tools.errors import UsageError
from paper_figures.cli import main
from paper_figures.figure import figures_of, find_figure
from paper_figures.keep import keep_finished
from paper_figures.needs import Tables
from paper_figures.sources import index, kept_tables, path_of
from transformer.experiments.plans import load_plan

FIGURES = [
    name
    for name, figure in figures_of("coopetition").items()
    if name == "18" or any(isinstance(need, Tables) for need in figure.needs)
]
NEEDED = ["*_main_5", "no_previous_token", "three_heads_ablated"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """What is kept of a sweep at scale smoke."""
    folder = tmp_path_factory.mktemp("mechanisms")
    plan, data = load_plan("coopetition", "smoke").select(NEEDED), folder / "data"
    for node in plan.nodes.values():
        node.work(folder, "cpu", 1)
    data.mkdir()
    (data / "coopetition").mkdir()
    (data / "index.json").write_text("[]")
    keep_finished(plan, folder, "coopetition", "smoke", data)
    return data


@pytest.fixture
def kept(swept, monkeypatch) -> Path:
    """The same, where figures look for it."""
    monkeypatch.setattr("paper_figures.sources.DATA", swept)
    monkeypatch.setattr("paper_figures.sources.index", lambda: index(swept))
    monkeypatch.setattr("paper_figures.sources.path_of", lambda entry: path_of(entry, swept))
    return swept


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_of_models_is_drawn(kept, tmp_path, name):
    given = ["coopetition", name, "--scale", "smoke", "--out", str(tmp_path)]
    assert main(given) == 0
    stem = f"coopetition_{name}_smoke"
    assert (tmp_path / f"{stem}.png").stat().st_size
    record = json.loads((tmp_path / f"{stem}.json").read_text())
    ids = {entry["run_id"] for entry in index(kept)}
    assert {run["run_id"] for run in record.get("runs", [record.get("run")])} <= ids
    with open(tmp_path / f"{stem}.csv") as file:
        assert {row["panel"] for row in csv.DictReader(file)}


def lines_of(ax) -> dict[str, list[float]]:
    return {line.get_label(): [float(y) for y in line.get_ydata()] for line in ax.get_lines()}


def test_a_head_is_drawn_as_it_was_measured(kept):
    (table,) = kept_tables("mechanisms", "coopetition/main", scale="smoke")
    figure = find_figure("coopetition", "2").draw([table])
    own = table.select(evaluator="ciwl", layer=1, head=3)
    row_axes, copy_axes = figure.drawing.axes
    row = own.select(measure="query_row", what="target in pair 1").column("value")
    assert lines_of(row_axes)["head 3"] == pytest.approx(row) and len(row) == 5
    assert row.sum() == pytest.approx(1, abs=1e-4), "attention of the query to all tokens"
    copied = own.select(measure="copying").column("value")
    assert lines_of(copy_axes)["head 3"] == pytest.approx(copied) and len(copied) == 11


def test_tables_that_are_not_kept_are_told_with_what_makes_them(kept):
    with pytest.raises(UsageError, match="no depths of preset .* --only 'depths_main_\\*'` and"):
        kept_tables("depths", "coopetition/main", scale="smoke")
    with pytest.raises(UsageError, match="no run of seed 9 is kept"):
        kept_tables("mechanisms", "coopetition/main", 9, "smoke")


@pytest.mark.parametrize("flag", [["--preset", "glyphs"], ["--retrain"]])
def test_a_figure_of_models_is_not_drawn_from_curves_alone(call, flag):
    told = call("paper_figures", "coopetition", 2, *flag, expect=2)
    assert f"figure coopetition 2 is of models, not of curves alone; leave out {flag[0]}" in told
