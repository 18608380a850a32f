"""Figures and the demo's report, from the kept runs."""

import csv

import numpy as np
import pytest

from coopetition import read_draw, two_strategies
from coopetition.model.problem import project
from coopetition.tools.errors import UsageError
from paper_figures.coopetition import figure_1, figure_5, figure_16, figure_17
from paper_figures.demo import _report
from paper_figures.published import SEEDS, published_draw
from paper_figures.sources import kept_runs
from paper_figures.theory import (
    critical_sets,
    interventions,
    laws,
    order_parameters,
    phases,
    times,
)
from tests.conftest import SHARED
from transformer.config import RunConfig
from transformer.experiments.presets import PRESETS

SHORT = {"n_screened": 64, "n_starts": 2, "max_iterations": 3}


@pytest.mark.parametrize("preset", ["omniglot", "glyphs"])
def test_kept_runs_are_of_their_preset(preset):
    expected = PRESETS[preset].make("cpu")
    runs = kept_runs(preset)
    assert len(runs) >= 3
    for run in runs:
        kept = run.provenance["config"]
        assert "path" not in kept["data"]["exemplars"]
        config = RunConfig.from_dict(_with_path(kept))
        assert run.provenance["run_id"] == config.run_id()
        assert (config.model, config.optim) == (expected.model, expected.optim)
        assert config.data == expected.data and config.evaluation == expected.evaluation
        assert run.n_sequences >= expected.n_steps * expected.data.batch_size


def _with_path(kept):
    exemplars = kept["data"]["exemplars"]
    if exemplars["kind"] == "OmniglotConfig":
        exemplars = exemplars | {"path": ""}
    return kept | {"data": kept["data"] | {"exemplars": exemplars}}


def test_a_kept_run_can_lead():
    seeds = [run.init_seed for run in kept_runs("omniglot", first=7)]
    assert seeds[0] == 7 and len(set(seeds)) == len(seeds)
    with pytest.raises(UsageError, match="no run of seed 99"):
        kept_runs("omniglot", first=99)


def test_figure_1_draws_every_evaluator_of_every_run():
    runs = kept_runs("omniglot")
    result = figure_1.draw(runs)
    (ax,) = result.figure.axes
    drawn = {line.get_label() for line in ax.get_lines()}
    assert {"train", "ICL", "CIWL", "Flip (ICL over CIWL)"} <= drawn
    assert len({row[:2] for row in result.numbers}) == 4 * len(runs)


def test_figure_5_has_toy_transformer_and_fit(tmp_path):
    run = kept_runs("glyphs")[0]
    result = figure_5.draw_run(run, figure_5.fit_run(run, **SHORT))
    paths = result.write(tmp_path, "f")
    assert {path.suffix for path in paths} == {".png", ".pdf", ".csv", ".json"}
    with open(tmp_path / "f.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["panel"] for row in rows} == {"a toy", "b transformer", "c fitted", "c observed"}
    observed = [float(r["y"]) for r in rows if (r["panel"], r["curve"]) == ("c observed", "icl")]
    curve = run.curves["loss"]
    assert observed == pytest.approx(curve.values["icl"][-len(observed) :], rel=1e-4)
    first = float(next(r["x"] for r in rows if r["panel"] == "c observed"))
    assert first >= figure_5.LEAD * run.timeline().emergence
    assert result.provenance["toy"]["stopped_at"] == 9620


def test_figures_16_and_17_show_what_was_published():
    """10 of 12 draws show transience with mu1 = 0.1, none without."""
    assert figure_16.draw().provenance["fates"] == {"icl_transient": 10, "never": 2}
    persistent = figure_17.draw()
    assert persistent.provenance["fates"] == {"icl_persistent": 10, "never": 2}
    assert len(persistent.figure.axes) == 12


def test_published_draws_are_the_ones_given_out():
    path = SHARED / "reference" / "minimal_model_draws.npz"
    if not path.exists():
        pytest.skip(f"no published draws at {path}")
    for seed in SEEDS:
        _, u, w = project(two_strategies(), read_draw(path, seed))
        _, expected_u, expected_w = project(two_strategies(), published_draw(seed))
        np.testing.assert_allclose(u, expected_u, rtol=1e-12)
        np.testing.assert_allclose(w, expected_w, rtol=1e-12)


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
    result = module.draw(**sizes)
    assert result.numbers and result.findings
    assert all(ax.has_data() for ax in result.figure.axes)
    assert len(result.write(tmp_path, "f")) == 4


def test_the_report_tells_runs_fit_and_seeds():
    run = kept_runs("glyphs")[0]
    report = _report(run, figure_5.fit_run(run, **SHORT), False, 12.0)
    assert "In-context learning emerged and then faded." in report
    assert f"Of {len(kept_runs('glyphs'))} runs" in report
    assert "12,800 classes of procedural glyphs" in report and "R2" in report
