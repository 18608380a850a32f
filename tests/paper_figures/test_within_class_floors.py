"""Error floors on the trainer's own data, beside kept runs, and in docs/two_cues.md."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from coopetition.model.exemplar_noise import error_floors
from paper_figures.core.kept_data import read_rows
from paper_figures.studies.clocks import readout_fits
from paper_figures.studies.within_class import floors as module
from paper_figures.studies.within_class.levels import measured_gap
from transformer.data.evaluators import draw_evaluation_sets
from transformer.data.exemplar_sets import load_exemplars
from transformer.experiments.presets import PRESETS, with_data

# relative error of a count: its standard deviation is 0.03 over 50 other seeds (0.025 for classes,
# with a bias of -0.03), so that correct floors fail with at most 1 seed in 2,000
SPREAD = 0.12


@pytest.fixture(scope="module")
def floors():
    return module.floors_by_level()


@pytest.fixture(scope="module")
def runs():
    return module.runs_by_level()


@pytest.mark.parametrize("evaluator", ["train", "icl", "flip"])
def test_the_nearest_exemplar_errs_on_the_trainers_data_as_often_as_the_floor_says(
    evaluator, floors
):
    """More sequences and classes than in runs, at the level with most errors."""
    config = PRESETS["within_class/main_0.81"].config("cpu")
    evaluation = replace(config.evaluation, n_sequences=100_000, n_classes=4000)
    config = replace(config, evaluation=evaluation)
    drawn = draw_evaluation_sets(config)[evaluator]
    features = load_exemplars(config.data.exemplars).features(drawn.exemplars)
    distance = (features[:2] - features[2]).pow(2).sum(-1)
    answer = drawn.labels.gather(0, distance.argmin(0)[None])[0]
    error = float((answer != drawn.target).float().mean())
    assert error == pytest.approx(floors[0.81].nearest, rel=SPREAD)


def test_known_classes_err_on_the_trainers_data_as_often_as_the_floor_says():
    """Class vectors are the means of 200 exemplars, of which the query is one: 3 % fewer errors."""
    noise, d, n_exemplars = 1.2, 16, 200
    config = PRESETS["within_class/ciwl_only_0.81"].config("cpu")
    exemplars = replace(config.data.exemplars, noise=noise, n_classes=2000, n_exemplars=n_exemplars)
    evaluation = replace(
        config.evaluation, n_sequences=100_000, n_classes=2000, n_exemplars=n_exemplars
    )
    config = replace(with_data(config, exemplars=exemplars), evaluation=evaluation)
    drawn, loaded = draw_evaluation_sets(config)["ciwl"], load_exemplars(exemplars)
    classes = loaded.values.float().mean(1)
    distance = (classes[drawn.labels] - loaded.features(drawn.exemplars[2])).pow(2).sum(-1)
    answer = drawn.labels.gather(0, distance.argmin(0)[None])[0]
    error = float((answer != drawn.target).float().mean())
    assert error == pytest.approx(error_floors(noise, d).ciwl, rel=SPREAD)


def test_the_difference_of_floors_rises_with_noise_and_their_ratio_falls(floors):
    assert [*floors] == [0.6, 0.67, 0.74, 0.81]
    nearest, ciwl = np.array([(each.nearest, each.ciwl) for each in floors.values()]).T
    assert (np.diff(nearest - ciwl) > 0).all() and (np.diff(nearest / ciwl) < 0).all()
    assert max(ciwl / nearest) == pytest.approx(0.062, abs=5.01e-4)
    assert 1000 * max(ciwl) == pytest.approx(1.5, abs=0.05), "errors in an evaluation"


def test_runs_are_as_far_from_their_floors_as_the_page_says(floors, runs):
    def factors(mode, floor, errors):
        return [
            error / getattr(floors[level], floor)
            for level, own in runs[mode].items()
            for error in errors(own)
        ]

    def lowest(own):
        return [1 - max(run.curves().values["icl"]) for run in own]

    for low, high, found in (
        (1.5, 4.3, factors("icl_only", "nearest", lambda own: module.final_errors(own, "icl"))),
        (6, 22, factors("main", "nearest", lowest)),
        (11, 1200, factors("main", "ciwl", lambda own: module.final_errors(own, "ciwl"))),
    ):
        assert (min(found), max(found)) == pytest.approx((low, high), rel=0.05)
    ends = [np.median(module.final_errors(own, "ciwl")) for own in runs["main"].values()]
    assert (np.diff(ends) < 0).all(), "CIWL errs less with more noise"
    gaps = [measured_gap(run) for run in runs["main"][0.6]]
    assert None in gaps and min(filter(None, gaps)) == pytest.approx(42_000, rel=0.01)


def test_the_fade_comes_sooner_with_noise_but_not_significantly(runs):
    """By an exact permutation test, over the runs that ever prefer ICL."""
    fades = [(level, run.timeline().fade) for level, own in runs["main"].items() for run in own]
    levels, times = zip(*(each for each in fades if each[1] is not None), strict=True)
    assert len(fades) - len(times) == 5 and {*levels} == {0.6, 0.67, 0.74}
    rank = spearmanr(levels, times).statistic
    shuffled = [spearmanr(levels, each).statistic for each in permutations(times)]
    assert rank == pytest.approx(-0.59, abs=0.005)
    assert np.mean(np.array(shuffled) <= rank + 1e-12) == pytest.approx(0.09, abs=0.005)


def test_fitted_noise_differs_from_the_computed_one_as_the_page_says(floors):
    rows = read_rows(readout_fits.PATH, needed="theory")
    fitted = readout_fits.noise_by_level([row for row in rows if row["theory"] == "two_cues"])
    for name, low, high in (("sigma", 1.3, 3.0), ("nu", 1.0, 1.4)):
        ratios = [
            each / getattr(floors[level], name)
            for level, own in fitted.items()
            for each in own[name]
        ]
        assert (min(ratios), max(ratios)) == pytest.approx((low, high), abs=0.05)


def test_icl_delays_ciwl_less_with_noise_as_the_page_says(runs):
    alone, main = (
        np.array([module.ciwl_times(own) for own in runs[mode].values()])
        for mode in ("ciwl_only", "main")
    )
    assert alone.shape == main.shape == (4, 3)
    assert alone.max() / alone.min() < 1.4 and (np.diff(np.median(alone, axis=1)) > 0).all()
    delays = main / alone
    assert (delays[0].min(), delays[-1].max()) == pytest.approx((4.8, 2.0), abs=0.05)
    ends = {
        mode: np.array([module.final_errors(own, name) for own in runs[mode].values()])
        for mode, name in (("icl_only", "icl"), ("ciwl_only", "ciwl"))
    }
    assert (ends["ciwl_only"].max(axis=1) < ends["icl_only"].min(axis=1)).all()
    differences = np.median(ends["icl_only"], axis=1) - np.median(ends["ciwl_only"], axis=1)
    assert (np.diff(differences) > 0).all()
    assert (100 * differences[[0, -1]]).tolist() == pytest.approx([1.3, 4.0], abs=0.1)


def test_modes_that_are_not_kept_are_named_in_the_tables(monkeypatch, runs):
    kept = runs | {"ciwl_only": {0.67: runs["ciwl_only"][0.67]}}
    monkeypatch.setattr(module, "runs_by_level", lambda: kept)
    for table in (module.floors_table, module.delays_table):
        assert table().count("not measured") == 3
