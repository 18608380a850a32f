"""Simulated grids: the kept table, its exponents, and the predictions that were read off it."""

from dataclasses import replace

import numpy as np
import pytest

from coopetition.dynamics.optimisers import descent
from paper_figures.core.kept_data import read_rows
from paper_figures.studies.clocks import predictions, simulated
from paper_figures.studies.clocks.exponents import EVENTS, fit_exponents, observe
from paper_figures.studies.clocks.laws import LAWS, held_out_error
from paper_figures.studies.clocks.predictions import find_runs
from paper_figures.studies.clocks.scaling import clock_of, noise_level
from paper_figures.studies.clocks.simulated import CELLS, MODELS, simulate, simulated_exponents
from transformer.experiments.clocks import BASE, SEEDS

IDEAS = {
    "two cues": "cues",
    "two cues, class rows": "rows",
    "two cues, noisy entries": "entries",
    "toy by Adam": "toy",
    "loss-complexity race": "race",
}


@pytest.mark.parametrize("idea", IDEAS)
def test_predictions_are_the_exponents_of_the_kept_simulations(idea):
    (own,) = (each for each in predictions.predictions() if each.name == idea)
    starts = [name for name in MODELS if name.startswith(IDEAS[idea])]
    found = {name: simulated_exponents(name) for name in starts}
    for event in own.exponents:
        used = starts if event != "emergence" else starts[:1]
        for letter, (low, high) in own.exponents[event].items():
            values = [getattr(found[name][event], letter) for name in used]
            assert (low, high) == pytest.approx((min(values), max(values)), abs=0.0101)
    if own.name == "loss-complexity race":
        return  # its arms start at a later time than the fade at their temperature
    for arm, (a, b), base in (("rate_lowered", (1, 0), 10), ("batch_raised", (0, 1), 0.25)):
        factors = [base ** each["fade"].combination(a, b).value for each in found.values()]
        assert own.arms[arm] == pytest.approx((min(factors), max(factors)), rel=0.02)


def test_the_table_has_all_models_and_what_the_code_computes():
    rows = read_rows(simulated.PATH, needed="model")
    assert {row["model"] for row in rows} == {*MODELS}
    for name in ("cues, first start", "entries, first start"):
        run = simulate(MODELS[name], *BASE, SEEDS[0])
        for event in EVENTS:
            (found,) = observe([run], event)
            (kept,) = (
                row
                for row in rows
                if (row["model"], row["event"]) == (name, event)
                and (float(row["rate"]), int(row["batch"]), int(row["seed"])) == (*BASE, SEEDS[0])
            )
            assert float(kept["steps"]) == pytest.approx(found.steps, rel=1e-3)


def test_noisy_memories_of_classes_give_two_clocks():
    """The statements of docs/clocks.md."""
    found = simulated_exponents("noisy rows, first start")
    assert (found["emergence"].a, found["emergence"].b) == pytest.approx((1, 0.5), abs=0.06)
    assert found["fade"].a < 0.4 and found["fade"].b > 0.7
    others = [*MODELS.keys() - {"noisy rows, first start", "race"}]
    assert all(simulated_exponents(name)["fade"].a > 0.8 for name in others)
    rows = read_rows(simulated.PATH, needed="model")
    seen = [r for r in rows if r["model"] == "noisy rows, first start" and r["event"] == "fade"]
    fades = [simulated.observation_of(row) for row in seen]
    *rest, memory = (held_out_error(fades, law) for law in LAWS)
    assert memory < min(rest)
    quiet = [each for each in fades if noise_level(each.cell) == 0.25 and not each.is_censored]
    late = np.median([each.steps * clock_of(each.cell) for each in quiet])
    grid = [each for each in observe(find_runs("grid_*"), "fade")]
    measured = [e.steps * clock_of(e.cell) for e in grid if noise_level(e.cell) == 0.25]
    assert late / np.median(measured) == pytest.approx(2.2, abs=0.3)


def test_the_race_is_decided_by_the_temperature():
    """At the peak of the base run, CIWL has the lower free energy at a quarter of the heat."""
    race = MODELS["race"]
    for heat in (0.25, 0.1):
        steps, cold = race.accuracies(BASE[0] * heat, BASE[1], 32_000, 160, 5)
        own = np.interp(2560 / heat, steps, cold["flip"])  # rate x steps is that of the peak
        assert own < 0.5
    _, base = race.accuracies(*BASE, 32_000, 160, 5)
    assert base["flip"][16] > 0.7


def test_descent_on_two_cues_has_the_clock_of_the_flow():
    """Whatever the batch: its noise has no drift."""
    model = replace(MODELS["cues, first start"], make=descent, speed=2.0, kappa=0.5)
    cells = [cell for cell in CELLS if cell[1] != 512]
    runs = [simulate(model, *cell, seed) for cell in cells for seed in SEEDS]
    fade = fit_exponents(observe(runs, "ciwl_75"))
    assert (fade.a, fade.b) == pytest.approx((1, 0), abs=0.15)
