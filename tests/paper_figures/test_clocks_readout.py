"""The relation of signal detection: exact for two cues, measured in all kept runs."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.fitting.curves import Curves
from coopetition.model.two_cues import TwoCues
from paper_figures.core.figure import find_figure
from paper_figures.core.kept_data import load_index, read_rows
from paper_figures.studies.clocks import readout_fits
from paper_figures.studies.clocks.readout import GROUPS, predict, readout_table, relation, relations

noise = st.floats(0.0, 2)
strength = st.floats(-1.5, 1.5)


@given(noise, noise, strength, strength)
def test_two_cues_obey_the_relation_whatever_their_noise(sigma, nu, x, y):
    found = TwoCues(sigma, nu).accuracies(x, y)
    predicted = predict(found["train"], found["flip"], 10**12)
    for name, each in predicted.items():
        assert each == pytest.approx(found[name], abs=1e-7)


def test_the_error_of_exact_accuracies_is_that_of_finite_samples():
    t, rng, n = np.linspace(0, 1, 400), np.random.default_rng(0), 500
    exact = TwoCues(0.5, 0.4).accuracies(3 * t * (1 - t) + 0.3, 1.5 * t)
    seen = {name: rng.binomial(n, each) / n for name, each in exact.items()}
    found = relation(Curves(t, seen), n)
    for name in ("icl", "ciwl"):
        assert found.rmse[name] == pytest.approx(found.noise[name], rel=0.15)
    assert found.r2["ciwl"] > 0.95
    wrong = relation(Curves(t, seen | {"icl": np.full(400, 0.5)}), n)
    assert np.isnan(wrong.r2["icl"]) and wrong.rmse["icl"] > 5 * wrong.noise["icl"]


def test_the_table_has_every_kept_run():
    found = relations()
    assert {*found} == {*GROUPS}
    assert sum(map(len, found.values())) == len(load_index())
    rows = readout_table().splitlines()
    assert len(rows) == 2 + len(GROUPS)


def test_figures_draw_the_relation_and_the_fates():
    readout = find_figure("clocks", "2").render([])
    assert {panel for panel, *_ in readout.numbers} == {*GROUPS}
    fates = find_figure("clocks", "3").render([], n_levels=2)
    end = {(row, x): y for panel, row, x, y in fates.numbers if panel.startswith("b")}
    assert end["nu 0.30", 1.5] < 0.5 < end["nu 1.50", 0.3]
    assert end["nu 0.30", 0.3] == pytest.approx(0.5)


def test_the_fitted_noise_of_icl_rises_with_the_variation_within_classes():
    """In each seed; that of CIWL does so less."""
    rows = read_rows(readout_fits.PATH, needed="theory")
    levels = readout_fits.noise_by_level([each for each in rows if each["theory"] == "two_cues"])
    assert [*levels] == [0.6, 0.67, 0.74, 0.81]
    sigma, nu = (np.array([own[name] for own in levels.values()]) for name in ("sigma", "nu"))
    assert (np.diff(sigma, axis=0) > 0).all()
    ratios = sigma[-1] / sigma[0]
    assert (ratios.min(), ratios.max()) == pytest.approx((1.6, 2.6), abs=0.15)
    assert (nu[-1] / nu[0] < 1.35).all()


def test_the_best_theory_of_each_group_is_that_of_the_page():
    """By BIC above the lowest, summed over runs."""
    head, _, *lines = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in readout_fits.fits_table().splitlines()
    )
    above = {
        line[0].strip("`"): dict(zip(head[2:-2], map(float, line[2:-2]), strict=True))
        for line in lines
    }
    best = [min(above, key=lambda name: above[name][group]) for group in readout_fits.GROUPS]
    race = "logistic_race"
    assert best == [race, race, "subcircuits", race, "two_cues"]
    worst = {max(above, key=lambda name: above[name][group]) for group in readout_fits.GROUPS}
    assert worst == {"subcircuits_no_decay"}
    lead = {group: above["toy"][group] - above["two_cues"][group] for group in readout_fits.GROUPS}
    assert min(lead["main task at the paper's rate"], lead["glyphs"]) > 100
    assert lead["classes with variation"] < -500 and abs(lead["demo"]) < 50


def test_every_run_of_the_fits_is_fitted_to_every_theory(tmp_path, monkeypatch):
    rows = read_rows(readout_fits.PATH, needed="theory")
    counts = Counter(row["theory"] for row in rows)
    assert counts == dict.fromkeys(readout_fits.THEORIES, len([*readout_fits._runs()]))
    (run,) = (run for _, run in readout_fits._runs() if run.name == "demo_5")
    monkeypatch.setattr(readout_fits, "_runs", lambda: [("demo", run)])
    readout_fits.fit_runs(["logistic_race"], tmp_path / "fits.csv")
    (own,) = read_rows(tmp_path / "fits.csv", needed="theory")
    (kept,) = (row for row in rows if (row["run"], row["theory"]) == ("demo_5", "logistic_race"))
    assert float(own["bic"]) == pytest.approx(float(kept["bic"]), abs=0.2)
