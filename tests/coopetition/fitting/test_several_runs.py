"""Fits of several runs at once."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from coopetition.fitting.estimate import fit
from coopetition.fitting.simulation import simulate
from coopetition.tools.errors import UsageError

FAST = {"n_screened": 256, "n_starts": 4}
ONE_START = {"n_screened": 16, "n_starts": 1}


@pytest.fixture(scope="module")
def runs(truth):
    """Three runs that differ in when CIWL comes, and in noise."""
    times = (6e5, 7e5, 8e5)
    curves = [
        simulate("logistic_race", truth | {"ciwl_at": t}, seed=k) for k, t in enumerate(times)
    ]
    return [replace(each, source=f"run {k}") for k, each in enumerate(curves)]


@pytest.fixture(scope="module")
def together(runs):
    return fit(runs, "logistic_race", shared=("icl_at", "loss"), **FAST)


def test_shared_parameters_are_one_number_and_others_one_per_run(together):
    assert {"icl_at", "loss", "run 0/ciwl_at", "run 2/icl_width"} <= {*together.parameters}
    assert "run 0/loss" not in together.parameters and "ciwl_at" not in together.parameters
    assert len(together.curves) == 9 and together.curves["run 1/icl"].r2 > 0.99
    assert together.parameters["icl_at"].value == pytest.approx(2e5, rel=0.02)
    for k, time in enumerate((6e5, 7e5, 8e5)):
        assert together.parameters[f"run {k}/ciwl_at"].value == pytest.approx(time, rel=0.02)


def test_in_a_plot_a_strategy_has_its_colour_and_a_run_its_dashes(together):
    lines = {
        line.get_label().partition(":")[0]: (line.get_color(), line.get_linestyle())
        for line in together.plot(ax=Figure().subplots()).get_lines()
        if "R^2" in str(line.get_label())
    }
    assert len({*lines.values()}) == len(lines) == 9
    assert lines["ICL, run 0"][0] == lines["ICL, run 2"][0] != lines["CIWL, run 0"][0]
    assert lines["ICL, run 1"][1] == lines["CIWL, run 1"][1] != lines["ICL, run 2"][1]


def test_sharing_narrows_intervals(runs, together):
    alone = fit(runs[0], "logistic_race", **FAST).parameters["loss"]
    shared = together.parameters["loss"]
    assert shared.high - shared.low < alone.high - alone.low


def test_without_shared_parameters_each_run_is_fitted_as_alone(runs):
    joint = fit(runs[:2], "logistic_race", n_screened=2048, n_starts=4)
    for k, run in enumerate(runs[:2]):
        for name, each in fit(run, "logistic_race", **FAST).parameters.items():
            assert joint.parameters[f"run {k}/{name}"].value == pytest.approx(each.value, rel=2e-3)


@pytest.mark.parametrize(
    ("sources", "labels"),
    [
        (("run, loss", "run, loss"), ("run", "run#2")),
        (("run 10", "run 1"), ("run 10", "run 1")),
        (("seed=5,mode=a, loss", "seed=5,mode=b, loss"), ("seed=5+mode=a", "seed=5+mode=b")),
    ],
)
def test_runs_are_named_by_their_source(runs, sources, labels):
    named = [replace(run, source=source) for run, source in zip(runs, sources, strict=False)]
    joint = fit(named, "logistic_race", **ONE_START)
    assert {f"{label}/ciwl_at" for label in labels} <= {*joint.parameters}


def test_runs_that_cannot_be_fitted_together_are_refused(runs):
    with pytest.raises(UsageError, match="no parameter 'losses'"):
        fit(runs[:2], "logistic_race", shared=("losses",))
    with pytest.raises(UsageError, match="run 0 and run 0 are the same curves"):
        fit([runs[0], runs[0]], "logistic_race")
