"""Fits of several runs at once, and of some parameters only."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from coopetition.compare.estimate import fit
from coopetition.compare.posterior import seed_bootstrap
from coopetition.compare.recovery import simulate
from coopetition.tools.errors import UsageError

TRUTH = dict(icl_at=2e5, icl_width=5e4, ciwl_at=6e5, ciwl_width=1e5, loss=0.8)
FAST = {"n_screened": 256, "n_starts": 4}


def runs(n: int = 3):
    """That differ in when CIWL comes, and in noise."""
    return [
        replace(
            simulate("logistic_race", TRUTH | {"ciwl_at": 6e5 + 1e5 * k}, seed=k), source=f"run {k}"
        )
        for k in range(n)
    ]


@pytest.fixture(scope="module")
def together():
    return fit(runs(), "logistic_race", shared=("icl_at", "loss"), **FAST)


def test_what_is_shared_is_one_number_and_what_is_not_is_each_runs_own(together):
    assert {"icl_at", "loss", "run 0/ciwl_at", "run 2/icl_width"} <= {*together.parameters}
    assert "run 0/loss" not in together.parameters and "ciwl_at" not in together.parameters
    assert len(together.curves) == 9 and together.curves["run 1/icl"].r2 > 0.99
    assert together.parameters["icl_at"].value == pytest.approx(2e5, rel=0.02)
    for k in range(3):
        own = together.parameters[f"run {k}/ciwl_at"].value
        assert own == pytest.approx(6e5 + 1e5 * k, rel=0.02)


def test_in_a_plot_a_strategy_has_its_colour_and_a_run_its_dashes(together):
    lines = {
        line.get_label().partition(":")[0]: (line.get_color(), line.get_linestyle())
        for line in together.plot(ax=Figure().subplots()).get_lines()
        if "R^2" in str(line.get_label())
    }
    assert len({*lines.values()}) == len(lines) == 9
    assert lines["ICL, run 0"][0] == lines["ICL, run 2"][0] != lines["CIWL, run 0"][0]
    assert lines["ICL, run 1"][1] == lines["CIWL, run 1"][1] != lines["ICL, run 2"][1]


def test_sharing_makes_surer(together):
    alone = fit(runs()[0], "logistic_race", **FAST).parameters["loss"]
    shared = together.parameters["loss"]
    assert shared.high - shared.low < alone.high - alone.low


def test_with_nothing_shared_each_run_is_fitted_by_itself():
    joint = fit(runs(2), "logistic_race", **(FAST | {"n_screened": 2048}))
    for k, run in enumerate(runs(2)):
        alone = fit(run, "logistic_race", **FAST)
        for name, each in alone.parameters.items():
            assert joint.parameters[f"run {k}/{name}"].value == pytest.approx(each.value, rel=2e-3)


def test_runs_of_one_name_are_numbered():
    with pytest.raises(UsageError, match="no parameter 'losses'; it has icl_at"):
        fit(runs(2), "logistic_race", shared=("losses",))
    with pytest.raises(UsageError, match="run 0 and run 0 are the same curves"):
        fit([runs(1)[0], runs(1)[0]], "logistic_race")
    same = [replace(run, source="run, loss") for run in runs(2)]
    joint = fit(same, "logistic_race", shared=("loss",), n_screened=16, n_starts=1)
    assert {"run/ciwl_at", "run#2/ciwl_at"} <= {*joint.parameters}
    other = [replace(same[0], source="run 10"), replace(same[1], source="run 1")]
    joint = fit(other, "logistic_race", n_screened=16, n_starts=1)
    assert {"run 10/ciwl_at", "run 1/ciwl_at"} <= {*joint.parameters}
    sources = ("init_seed=5,data.mode=a, loss", "init_seed=5,data.mode=b, loss")
    varied = [replace(run, source=each) for run, each in zip(runs(2), sources, strict=True)]
    joint = fit(varied, "logistic_race", n_screened=16, n_starts=1)
    names = {f"init_seed=5+data.mode={mode}/ciwl_at" for mode in "ab"}
    assert names <= {*joint.parameters}


def test_the_bootstrap_over_seeds_is_of_what_is_shared(together):
    found = seed_bootstrap(together, n=20)
    assert {*found} == {"icl_at", "loss"}
    assert found["icl_at"].low <= found["icl_at"].value <= found["icl_at"].high
    assert found["icl_at"].high - found["icl_at"].low < 1e4
    with pytest.raises(UsageError, match="is of what several runs share"):
        seed_bootstrap(fit(runs()[0], "logistic_race", **FAST))


def test_what_is_fixed_stays_and_what_is_tied_follows():
    found = fit(runs()[0], "logistic_race", fixed={"loss": 0.8, "icl_width": "ciwl_width"}, **FAST)
    assert {free.name for free in found.problem.free} == {"icl_at", "ciwl_at", "ciwl_width"}
    fixed = found.parameters["loss"]
    assert (fixed.value, fixed.low, fixed.status) == (0.8, 0.8, "fixed")
    values = found.problem.values(found.place)[0]
    assert values[4] == 0.8 and values[1] == values[3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shared": ("loss",)}, "loss cannot be shared by one run"),
        ({"shared": ("loss",), "fixed": {"loss": 1.0}}, "loss cannot be shared and fixed"),
        ({"fixed": {"losses": 1.0}}, "no parameter 'losses'"),
        ({"fixed": {"icl_width": -1.0}}, "icl_width is -1; choose a number from 0 to 2e.06"),
        ({"fixed": {"loss": "icl_at"}}, "not free or of another unit; tie it to one of none"),
        ({"fixed": {"loss": "icl_ats"}}, "no parameter 'icl_ats'"),
        ({"fixed": {"loss": 7.0}}, "loss is 7; choose a number from 0 to 1"),
        ({"fixed": dict.fromkeys(TRUTH, 0.5)}, "every parameter is fixed"),
        ({"tolerance": 0.0}, "tolerance is 0"),
        ({"max_iterations": 0}, "max_iterations is 0"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line(settings, message):
    with pytest.raises(UsageError, match=message) as caught:
        fit(runs(1)[0], "logistic_race", **settings)
    assert "\n" not in str(caught.value)


def test_too_few_samples_for_the_numbers_are_refused():
    few = runs(1)[0].thinned(8).select(("ciwl",))
    with pytest.raises(UsageError, match="8 samples are too few for 11 numbers"):
        fit(few, "spline")
    with pytest.raises(UsageError, match="no curves are given"):
        fit([])
