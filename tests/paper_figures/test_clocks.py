"""Exponents of simulated events, verdicts on predictions, and the study at scale smoke."""

import json
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import spearmanr

from coopetition.fitting.curves import Curves
from coopetition.tools.errors import UsageError
from paper_figures.core.figure import find_figure
from paper_figures.core.runs import find_needs, kept_runs
from paper_figures.studies.clocks import (
    forecasts,
    large_batch,
    laws,
    page_clocks,
    predicted_steps,
    predictions,
    proportions,
    scaling,
    states,
)
from paper_figures.studies.clocks.exponents import (
    CLOCKS,
    EVENTS,
    OF_ICL,
    Interval,
    Observation,
    cells_of,
    clock_spread,
    event_steps,
    fit_exponents,
    has_icl,
    observe,
    tobit,
)
from paper_figures.studies.clocks.laws import POWER, SIGNAL_TO_NOISE
from paper_figures.studies.comparison.compare_theories import all_runs
from paper_figures.studies.comparison.kept_forecasts import (
    EventForecasts,
    crps_difference,
    score,
    task_of,
)
from paper_figures.studies.within_class import floors
from transformer.experiments.clocks import BASE, BASE_STEPS, FIRST, LATER, MAIN, PEAK, SEEDS
from transformer.experiments.plans import load_plan
from transformer.experiments.presets import PRESETS
from transformer.measures.timeline import timeline

ROOT = Path(__file__).parents[2]
CELLS = (*FIRST, *LATER)
EXPONENTS = (0.7, 1.0)


def simulate(rng, *, of_cells=0.0, of_runs=0.0, horizon=math.inf):
    """Events at 9,000 steps of the base run, with noise of cells and runs in their logarithms."""
    found, offsets = [], dict(zip(SEEDS, 0.2 * rng.standard_normal(3), strict=True))
    for rate, batch in CELLS:
        cell = of_cells * rng.standard_normal()
        logs = math.log(rate / BASE[0]), math.log(batch / BASE[1])
        for seed, offset in offsets.items():
            noise = offset + cell + of_runs * rng.standard_normal()
            steps = 9000 * math.exp(noise - np.dot(EXPONENTS, logs))
            end = horizon * 32_000 * (rate / BASE[0]) ** -0.75 * BASE[1] / batch
            found.append(Observation(rate, batch, seed, min(steps, end), steps > end))
    return found


def test_known_exponents_are_recovered():
    found = fit_exponents(simulate(np.random.default_rng(0)))
    assert (found.a, found.b) == pytest.approx(EXPONENTS)
    assert found.spread == pytest.approx(1)
    both = found.combination(1, 2)
    assert (both.value, both.low, both.high) == pytest.approx((2.7,) * 3)


@pytest.mark.parametrize(
    ("of_cells", "of_runs", "horizon"),
    [(0.1, 0.15, math.inf), (0.0, 0.15, math.inf), (0.2, 0.1, math.inf), (0.1, 0.15, 0.5)],
)
def test_intervals_cover_the_true_exponents(of_cells, of_runs, horizon):
    """About 95 of 100 intervals hold, also where cells deviate; fewer than 88 do once in 200."""
    rng = np.random.default_rng(1)
    noise = {"of_cells": of_cells, "of_runs": of_runs, "horizon": horizon}
    simulated = [simulate(rng, **noise) for _ in range(100)]
    found = [fit_exponents(each) for each in simulated]
    for combination in ((1, 0), (0, 1), (1, 1)):
        true = float(np.dot(EXPONENTS, combination))
        intervals = [each.combination(*combination) for each in found]
        assert np.mean([each.low <= true <= each.high for each in intervals]) >= 0.88
        error = np.std([each.value for each in intervals], ddof=1) / 10
        assert np.mean([each.value for each in intervals]) == pytest.approx(true, abs=4 * error)
    n_censored = sum(event.is_censored for each in simulated for event in each)
    assert horizon == math.inf or n_censored > 50


@given(st.integers(0, 10**6), st.floats(0.5, 2))
def test_the_coefficients_of_censored_values_are_the_most_likely(seed, limit):
    from scipy.special import log_ndtr

    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(40), rng.standard_normal(40)])
    y = x @ [0.5, 1.0] + 0.5 * rng.standard_normal(40)
    censored = y > limit
    y = np.minimum(y, limit)
    coefficients, deviation = tobit(x, y, censored)

    def log_likelihood(c):
        z = (y - x @ c) / deviation
        return np.sum(np.where(censored, log_ndtr(-z), -(z**2) / 2))

    best = log_likelihood(coefficients)
    for step in 1e-3 * np.array([[1, 0], [0, 1], [1, 1], [-1, 1]]):
        assert best >= max(log_likelihood(coefficients + step), log_likelihood(coefficients - step))


def test_the_clock_of_the_events_has_the_least_spread():
    observed = simulate(np.random.default_rng(2), of_runs=0.1)
    spreads = {name: clock_spread(observed, clock) for name, clock in CLOCKS.items()}
    free = fit_exponents(observed).spread
    assert free < min(spreads.values()) and free == pytest.approx(1.1, abs=0.03)
    assert clock_spread(observed, EXPONENTS) == pytest.approx(free, rel=0.02)
    assert min(spreads, key=lambda name: spreads[name]) == "sequences"


def test_too_few_events_give_no_exponents():
    observed = simulate(np.random.default_rng(0))
    assert fit_exponents([]) is None and clock_spread([], (0, 1)) is None
    assert fit_exponents([each for each in observed if each.batch == 32]) is None
    assert fit_exponents(observed[:5]) is None
    corners = [each for each in observed if each.cell in {(6e-4, 32), (2.4e-3, 32), (6e-4, 8)}]
    found = fit_exponents(corners)
    assert found.b == pytest.approx(1) and math.isnan(found.combination(0, 1).low)


# --- laws


def simulate_memory(rng, a=1000.0, b2=5000.0, of_runs=0.1):
    """Return times at which a signal exceeds its noise, by the definition of the law."""
    found = []
    for rate, batch in CELLS:
        r, b = rate / BASE[0], batch / BASE[1]
        level, clock = r / math.sqrt(b), r * math.sqrt(b)
        for seed in SEEDS:
            noise = math.exp(of_runs * rng.standard_normal() + 0.1 * (seed - 6))
            tau = brentq(lambda x: x - math.sqrt(a**2 + b2 * level * x), a, 1e9)  # noqa: B023
            steps = noise * tau / clock
            found.append(Observation(rate, batch, seed, steps, False))
    return found


def test_both_times_and_seeds_are_recovered():
    made = simulate_memory(np.random.default_rng(0), of_runs=1e-3)
    found = laws.fit_law(made, SIGNAL_TO_NOISE)
    assert found.times == pytest.approx([1000, 5000], rel=0.01)
    assert found.offsets == pytest.approx({5: -0.1, 6: 0.0, 7: 0.1}, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_law_that_made_the_times_describes_unseen_cells_better(seed):
    rng = np.random.default_rng(seed)
    for made, true, other in (
        (simulate_memory(rng), SIGNAL_TO_NOISE, POWER),
        (simulate(rng, of_runs=0.1), POWER, SIGNAL_TO_NOISE),
    ):
        errors = [laws.held_out_error(made, law) for law in (true, other)]
        assert errors[0] < errors[1] and errors[0] < 1.2


def test_times_of_equal_noise_are_equal_in_the_clock_of_the_scaling_rule():
    made = simulate_memory(np.random.default_rng(0), of_runs=0)
    times: dict[tuple[float, int], list[float]] = {}
    for each in made:
        key = scaling.noise_level(each.cell), each.seed
        times.setdefault(key, []).append(each.steps * scaling.clock_of(each.cell))
    assert max(map(len, times.values())) > 1
    assert all(max(own) == pytest.approx(min(own)) for own in times.values())


@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_predicted_steps_are_judged_within_a_factor(measured, expected):
    ratio = max(measured, expected) / min(measured, expected)
    assume(abs(ratio - predicted_steps.FACTOR) > 1e-9)
    judge, is_near = predicted_steps.judge_steps, ratio < predicted_steps.FACTOR
    assert judge(measured, expected, 1e6) == ("holds" if is_near else "contradicted")
    assert judge(math.inf, 2e6, 1e6) == "undecided"
    assert judge(measured, 2e6, 1e6) == judge(math.inf, expected, 1e6) == "contradicted"


@given(st.floats(0.1, 1e4), st.floats(0.1, 1e4), st.floats(0, 10))
def test_a_signal_exceeds_the_noise_that_has_been_walked(a, b2, level):
    tau = laws.signal_time(a, b2, level)
    assert tau**2 == pytest.approx(a**2 + b2 * level * tau)
    assert laws.signal_time(a, b2, 0.0) == pytest.approx(a)


def test_steps_are_judged_when_all_seeds_are_there():
    for seeds, verdict in ((SEEDS[:2], "2 of 3 seeds"), (SEEDS, "contradicted")):
        kept = {"grid_0.0003_32": [Run(3e-4, 32, seed) for seed in seeds]}
        table = predicted_steps.steps_table(predicted_steps.CELLS, lambda n: kept.get(n, []))  # noqa: B023
        rows = table.splitlines()[2:]
        assert verdict in rows[0] and all("0 of 3 seeds" in each for each in rows[1:])


def test_an_error_needs_cells_that_determine_the_law():
    made = simulate_memory(np.random.default_rng(0))
    few = [each for each in made if each.cell in {(6e-4, 32), (2.4e-3, 32), (6e-4, 8)}]
    assert laws.held_out_error(few, POWER) is None
    assert laws.held_out_error(few, SIGNAL_TO_NOISE) < 1.3
    equal = [each for each in made if each.cell in {(6e-4, 32), (2.4e-3, 512)}]
    assert laws.held_out_error(equal, laws.SCALING) is None
    assert laws.held_out_error(equal, laws.CONSTANT) < 1.3


def test_a_run_that_ends_before_the_event_counts_only_if_the_law_expects_it():
    made = simulate_memory(np.random.default_rng(0), of_runs=0)
    for factor, expected in ((0.5, 1.0), (2.0, 2 ** (3 / len(made)) ** 0.5)):
        ended = [
            replace(each, steps=factor * each.steps, is_censored=True)
            if each.cell == (2.4e-3, 8)
            else each
            for each in made
        ]
        found = laws.held_out_error(ended, SIGNAL_TO_NOISE)
        assert found == pytest.approx(expected, abs=0.02)


def test_predicted_steps_are_those_of_the_first_cells():
    """As they were when the predictions were committed.

    In arms the noise level is 1 until `since`, so tau^2 = A^2 + B^2 (since + level (tau - since)).
    """
    runs = [
        run
        for run in predictions.find_runs("grid_*")
        if (run.learning_rate, run.batch_size) in FIRST
    ]
    for each in predictions.read_predictions(predicted_steps.ARMS)["predicted"]:
        cell, since = (each["rate"], each["batch"]), PEAK * BASE_STEPS
        for event in ("fade", "ciwl_90"):
            a, b2 = laws.fit_law(observe(runs, event), SIGNAL_TO_NOISE).times
            level = scaling.noise_level(cell)
            tau = laws.signal_time(math.sqrt(a**2 + b2 * since * (1 - level)), b2, level)
            assert (tau - since) / scaling.clock_of(cell) == pytest.approx(each[event], abs=1)
    for each in predictions.read_predictions(predicted_steps.CELLS)["predicted"]:
        cell = each["rate"], each["batch"]
        level = scaling.noise_level(cell)
        levels = [level / 2, 2 * level] if level == 0.125 else [level]
        for event in ("emergence", "peak", "fade", "ciwl_90"):
            times = [median_clock_time(runs, event, level) for level in levels]
            expected = float(np.exp(np.mean(np.log(times)))) / scaling.clock_of(cell)
            assert each[event] == pytest.approx(expected, abs=1)


def test_predictions_for_larger_batches_follow_from_the_law():
    """As they were when the predictions were committed."""
    default = large_batch.find_transience_runs("default")
    (base,) = {(run.learning_rate, run.batch_size) for run in default}
    assert base == BASE
    expected = large_batch.predicted_steps(default, predictions.find_runs("grid_*"))
    rows = predictions.read_predictions(large_batch.PATH)["predicted"]
    assert {each["clock"] for each in rows} == {*expected} - {"steps"}
    for each in rows:
        assert (each["rate"], each["batch"]) == large_batch.CELL
        for event, steps in expected[each["clock"]].items():
            assert each[event] == pytest.approx(steps, abs=1)


def test_events_of_icl_are_judged_when_all_seeds_are_there():
    """The default run does what a clock without batch sizes says."""
    default = large_batch.find_transience_runs("default")
    for runs, verdict in ((default[:2], "2 of 3 seeds"), (default, "holds")):
        table = predicted_steps.steps_table(
            large_batch.PATH,
            lambda name: runs,  # noqa: B023
            large_batch.median_transience_steps,
            tuple(large_batch.IN_GRID),
        )
        rows = {row.split(" | ")[0].strip("| "): row for row in table.splitlines()[2:]}
        assert rows["rate x steps"].count(verdict) == 3
    assert rows["signal to noise"].count("contradicted") == 3


@pytest.mark.parametrize(
    ("onset", "nearer", "factors"),
    [
        (1400, "signal to noise", ("1.06", "1.28")),
        (1200, "sequences", ("1.09", "1.24")),
        (math.inf, None, ()),
    ],
)
def test_the_nearer_onset_breaks_a_tie(onset, nearer, factors):
    law, other = large_batch.TIED
    text = large_batch.break_tie({"onset": onset, "peak": 2200, "half_decay": 6000}, 10_000)
    assert ("onset" in text.split(".")[0]) == math.isfinite(onset)
    assert "peak, half_decay" in text.split(".")[0]
    assert all(factor in text for factor in factors)
    for name in (law, other):
        assert (f"so *{name}* describes" in text) == (name == nearer)


def test_without_a_tie_none_is_broken():
    text = large_batch.break_tie({"onset": 1600, "peak": 4000, "half_decay": 9000}, 10_000)
    assert "no tie" in text and "describes" not in text
    assert "decides nothing" in large_batch.tie_sentence([])


@pytest.mark.parametrize("change", [{"fad": 1}, {"fade": None}, {"fade": None, "fad": 1}])
def test_predictions_of_unknown_or_missing_events_are_refused(monkeypatch, change):
    first = {"rate": 6e-4, "batch": 32, "fade": 6000, "peak": 3000}
    changed = {name: value for name, value in (first | change).items() if value is not None}
    for rows in ([first, changed], [changed, first]):
        monkeypatch.setattr(
            predicted_steps,
            "read_predictions",
            lambda path: {"predicted": rows},  # noqa: B023
        )
        with pytest.raises(UsageError, match=r"scaling\.toml.*, fade"):
            predicted_steps.steps_table(predicted_steps.CELLS, lambda name: [])


def median_clock_time(runs, event, level):
    return np.median(
        [
            scaling.clock_of(each.cell) * (math.inf if each.is_censored else each.steps)
            for each in observe(runs, event)
            if scaling.noise_level(each.cell) == level
        ]
    )


def test_the_power_law_is_that_of_the_exponents():
    """Without censored runs both are least squares; with them they differ by degrees of freedom."""
    rng = np.random.default_rng(0)
    for horizon, tolerance in ((math.inf, 1e-3), (0.5, 0.03)):
        made = simulate(rng, of_runs=0.15, horizon=horizon)
        expected = fit_exponents(made)
        found = laws.fit_law(made, POWER).parameters[1:]
        assert found == pytest.approx([expected.a, expected.b], abs=tolerance)


# --- runs


@dataclass
class Run:
    """A run whose Flip rises, peaks and fades at given shares of its length."""

    learning_rate: float = BASE[0]
    batch_size: int = BASE[1]
    init_seed: int = 5
    n_steps: int = 32_000
    fade: float = 9000.0
    height: float = 0.8
    n_evaluated: int = 1000
    provenance: dict = field(init=False)

    def __post_init__(self):
        self.provenance = {"step": self.n_steps}

    def curves(self, metric="in_context_accuracy"):
        steps = np.linspace(0, self.n_steps, 201)
        at = np.log(np.maximum(steps, 1) / self.fade)
        rise = 1 / (1 + np.exp(-8 * (at + math.log(6))))
        fall = 1 / (1 + max(2 * self.height - 1, 0.2) * np.exp(4 * at))
        flip = self.height * rise * fall  # one half at the fade
        ciwl = 0.5 + 0.5 / (1 + np.exp(-2 * at))
        values = {"flip": flip, "icl": np.maximum(0.5, flip), "ciwl": ciwl}
        return Curves(steps * self.batch_size, values, metric=metric)

    def timeline(self):
        return timeline(self.curves())


def test_events_are_counted_in_steps():
    for batch in (8, 128):
        events = event_steps(Run(batch_size=batch))
        assert events["fade"] == pytest.approx(9000, rel=0.02)
        assert events["emergence"] == pytest.approx(9000 / 6, rel=0.1)
        assert events["emergence"] < events["peak"] < events["fade"]
        assert events["ciwl_75"] == pytest.approx(9000, rel=0.02)
        assert events["ciwl_90"] > events["ciwl_75"]


def test_a_run_that_ends_too_early_is_censored_and_one_without_icl_has_no_fade():
    short, without = Run(n_steps=6000), Run(height=0.4, init_seed=6)
    (own,) = observe([short, without], "fade")
    assert (own.steps, own.is_censored, own.seed) == (6000, True, 5)
    assert [each.is_censored for each in observe([short, without], "ciwl_75")] == [True, False]
    assert not observe([without], "emergence")


# --- predictions


def test_every_prediction_is_of_an_event_and_an_arm_of_the_plan():
    ideas, text = predictions.predictions(), predictions.rule_text(predictions.PATH)
    names = [each.name for each in ideas]
    assert len({*names}) == len(names) >= 8 and text
    for each in ideas:
        assert each.derivation and (each.exponents or each.arms)
        assert {*each.measured} <= {"of_edge", "label_growth"}
        assert {*each.exponents} <= {*EVENTS} and {*each.arms} <= {*predictions.ARMS}
        for own in (each.arms, each.measured, *each.exponents.values()):
            assert all(low <= high for low, high in own.values())
        named = {name for own in each.exponents.values() for name in own}
        assert named <= {*predictions.COMBINATIONS}
    for arm, control in predictions.CONTROLS.items():
        assert {f"clocks/{arm}", f"clocks/{control}"} <= {*PRESETS}


@pytest.mark.parametrize(
    ("found", "predicted", "verdict"),
    [
        (Interval(1.0, 0.9, 1.1), (1, 1), "holds"),
        (Interval(1.08, 1.0, 1.16), (1, 1), "holds"),
        (Interval(0.7, 0.6, 0.8), (1, 1), "contradicted"),
        (Interval(0.85, 0.8, 0.92), (1, 1), "undecided"),
        (Interval(1.0, 0.5, 1.5), (1, 1), "undecided"),
        (Interval(0.5, 0.4, 0.6), (0, 1), "holds"),
        (Interval(0.5, 0.4, 0.6), (-math.inf, 0.2), "contradicted"),
        (Interval(0.5, math.nan, math.nan), (0, 1), "undecided"),
        (Interval(1.0, 0.9, math.inf), (0, 0.5), "contradicted"),
        (Interval(1.0, 0.9, math.inf), (0, math.inf), "undecided"),
    ],
)
def test_an_interval_decides_a_prediction(found, predicted, verdict):
    assert predictions.judge(found, predicted, 0.1, 0.4) == verdict


def find_simulated(fades):
    """A finder of runs by preset, with the fades of all seeds."""

    def find(name):  # fmt: skip
        if name == "grid_*":
            return [
                Run(rate, batch, seed, fade=9000 * (rate / 6e-4) ** -0.7 * 32 / batch,
                    n_steps=round(32_000 * (rate / 6e-4) ** -0.75 * 32 / batch))
                for rate, batch in CELLS for seed in SEEDS
            ]  # fmt: skip
        known = fades.get(name)
        if known is None:
            return []
        return [
            Run(init_seed=seed, fade=known * (1 + 0.02 * seed), n_steps=80_000) for seed in SEEDS
        ]

    return find


def test_arms_are_compared_with_their_controls_seed_by_seed():
    find = find_simulated({"restarted": 7600, "rate_lowered": 33_000, "batch_raised": 200_000})
    factors = predictions.arm_factors(find)
    assert {*factors} == {"rate_lowered", "batch_raised"}
    lowered = factors["rate_lowered"]
    assert 10**lowered.value == pytest.approx(33 / 7.6, rel=0.05)
    assert lowered.high - lowered.low < 0.05, "seeds that differ in both cancel"
    assert factors["batch_raised"].high == math.inf
    assert predictions.judge_factor(lowered, (10, 10)) == "contradicted"
    assert predictions.judge_factor(lowered, (1, 10)) == "holds"


def test_the_sgd_run_is_that_with_the_highest_peak():
    runs = {"sgd_0.1_32": 0.6, "sgd_0.3_32": 0.9, "sgd_0.3_128": 0.7}

    def find(name):
        return [Run(height=runs[name], init_seed=5)] if name in runs else []

    small, large = predictions.chosen_sgd(find)
    assert (small[0].height, large[0].height) == (0.9, 0.7)
    runs.update({"sgd_0.1_32": 0.4, "sgd_0.3_32": 0.45})
    assert predictions.chosen_sgd(find) == ([], [])


def test_the_page_says_what_is_measured_and_who_is_contradicted():
    find = find_simulated({"restarted": 7600, "rate_lowered": 33_000})
    rows = page_clocks.exponents_table(find).splitlines()
    table = {row.split(" | ")[0].strip("| "): row for row in rows}
    assert "a = 0.7" in table["**measured**"] and "b = 1.00" in table["**measured**"]
    assert table["gradient flow"].count("contradicted") == len(EVENTS)
    assert table["first experiment"].count("holds") == 1, "the fade"
    spreads = page_clocks.spreads_table(find).splitlines()
    assert len(spreads) == 2 + len(CLOCKS) + 1 + 2
    assert "Of 42 runs" in page_clocks.counts(find)
    arms = page_clocks.arms_table(find).splitlines()
    row = next(line for line in arms if "`rate_lowered`" in line)
    assert "4.3" in row and "contradicted" in row


def test_without_runs_the_page_has_the_predictions_alone():
    def find(name):
        return []

    assert page_clocks.counts(find) == page_clocks.spreads_table(find) == page_clocks.NOT_KEPT
    table = page_clocks.exponents_table(find)
    assert "not measured" in table and "contradicted" not in table and "a = 1, b = 0" in table
    assert "contradicted" not in page_clocks.arms_table(find)
    assert not states.cell_states("smoke")


@dataclass
class Table:
    """Columns that were measured of a run."""

    run: Run
    columns: dict

    def select(self, **wanted):
        assert wanted == {"part": "all"}
        return self

    def column(self, name):
        return np.array(self.columns[name])


def test_states_are_compared_with_what_is_predicted_of_them(monkeypatch):
    steps = [100.0, 3000.0, 6000.0, 20_000.0]
    run = Run()
    data = {"exemplars": {"n_classes": 6400}}
    run.provenance["config"] = {"data": data, "model": {"d_model": 64}}
    growth = 6400 * 64 * 6e-4**2 * np.array(steps)
    means = [9.0, 1.0, 9.0, 9.0]
    tables = {
        "gradients": {"loss": [2.0] * 4, "squared_mean": means, "variance": [96.0] * 4},
        "sharpness": {"of_edge": [9.0, 0.8, 1.2, 7.0]},
        "weight_norms": {"labels": np.sqrt(3 + 0.7 * growth)},
    }  # fmt: skip

    def kept(preset, kind, **where):
        return [Table(run, {"step": steps} | tables[kind])]

    monkeypatch.setattr(states, "kept_tables", kept)
    cells = states.cell_states()
    assert len(cells) == 6
    first = cells[0]
    assert (first.gradient_over_loss, first.noise_over_signal) == (1.0, 3.0), "near the peak"
    assert first.of_edge == pytest.approx(1.0), "while ICL is preferred"
    assert first.label_growth == pytest.approx(0.7)
    assert page_clocks.states_table().count("holds") == 2
    tables["weight_norms"]["labels"] = np.sqrt(3 + 5 * growth)
    assert page_clocks.states_table().count("contradicted") == 1


def simulated_runs():
    runs = find_simulated({})("grid_*")
    for run in runs:
        run.record = dict
    return runs


def test_times_of_all_runs_are_drawn_in_the_clock_of_the_scaling_rule():
    runs = simulated_runs()
    result = find_figure("clocks", "4").draw(runs)
    assert len({curve for panel, curve, *_ in result.numbers if panel == "a Flip"}) == len(CELLS)
    drawn = sorted((x, y) for panel, curve, x, y in result.numbers if curve == "fade")
    expected = sorted(
        (scaling.noise_level(each.cell), each.steps * scaling.clock_of(each.cell))
        for each in observe(runs, "fade")
        if not each.is_censored
    )
    assert expected and np.array(drawn) == pytest.approx(np.array(expected))
    assert all("a + 2b = " in finding for finding in result.findings)


def test_the_figure_draws_every_cell_in_every_clock():
    result = find_figure("clocks", "1").draw(simulated_runs())
    names = {(panel, curve) for panel, curve, *_ in result.numbers}
    of_clock = {panel for panel, _ in names if panel != "e exponents"}
    assert len(of_clock) == len(CLOCKS)
    assert sum(panel.startswith("b") for panel, _ in names) == len(CELLS)
    assert {event for panel, event in names if panel == "e exponents"} >= {"emergence", "fade"}
    assert all("a = " in finding for finding in result.findings)


# --- forecasts by the clocks


def events_of_cells(exponents, known_exponents):
    """Runs of all cells, whose fade and known part follow exact power laws."""
    runs = [Run(rate, batch, seed) for rate, batch in CELLS for seed in SEEDS]

    def sequences(steps, own):
        laws = (
            steps * (run.learning_rate / BASE[0]) ** -own[0] * (run.batch_size / BASE[1]) ** -own[1]
            for run in runs
        )
        return np.array([*laws]) * [run.batch_size for run in runs]

    known = sequences(2000, known_exponents)
    empty = np.zeros(len(runs))
    return runs, EventForecasts(
        tuple(str(k) for k in range(len(runs))), known, 1e3 * known, sequences(9000, exponents),
        *[empty] * 4,
    )  # fmt: skip


@pytest.fixture
def log_strengths(monkeypatch):
    """Logarithms of the ratio of strengths, in the runs of all cells; none in the last cell."""
    logs = np.random.default_rng(0).uniform(0.2, 2, 3 * len(CELLS))
    logs[-3:] = math.nan
    monkeypatch.setattr(forecasts, "log_strengths", lambda runs, given: logs[: len(runs)])
    return logs


def test_the_rule_of_strengths_forecasts_what_keeps_it(log_strengths, monkeypatch):
    runs, given = events_of_cells((0, 0), (0, 0))
    has_rule = ~np.isnan(log_strengths)
    ratios = np.where(has_rule, 1 + 1.6 * log_strengths, 5.0)
    given = replace(given, measured=ratios * given.known_until)
    monkeypatch.setattr(forecasts, "held_out_events", lambda runs, event: given)
    for kind, other in forecasts.WITHOUT_STRENGTHS.items():
        found, plain = (forecasts.forecast_cells(runs, given, each) for each in (kind, other))
        assert found.value[has_rule] == pytest.approx(given.measured[has_rule])
        assert found.value[~has_rule] == pytest.approx(plain.value[~has_rule])
        assert plain.crps[has_rule].mean() > 0.1 > found.crps[has_rule].max()
    found = forecasts.forecast_other_runs([], runs, "fade", forecasts.BY_STRENGTHS)
    assert found.value[has_rule] == pytest.approx(given.measured[has_rule])


@pytest.mark.parametrize("groups", [range(42), [k // 3 for k in range(42)]])
def test_the_rule_of_strengths_is_fitted_to_neither_run_that_it_compares(log_strengths, groups):
    _, given = events_of_cells((0.3, 0.9), (0.6, 0.6))
    moved = replace(given, measured=np.where(np.array(groups) == groups[0], 9, 1) * given.measured)
    one, other = (forecasts.expected_ratios(each, log_strengths, groups) for each in (given, moved))
    is_own = np.array(groups) == groups[0]
    is_unused = is_own | is_own[:, None]
    assert one[is_unused] == pytest.approx(other[is_unused], nan_ok=True)
    is_used = ~is_unused & np.isfinite(log_strengths)
    assert (one[is_used] != other[is_used]).any()


def test_strengths_are_those_of_the_last_part_that_is_known():
    steps = np.linspace(0, 100, 101)
    for icl, ciwl, expected in ((1, 0.5, math.log(2)), (0.5, 1, None), (1, -0.5, None)):
        is_late = steps >= 80
        values = {
            "train": np.where(is_late, ndtr(icl + ciwl), 0.3),
            "flip": np.where(is_late, ndtr(icl - ciwl), 0.3),
        }
        run = Run()
        run.curves = lambda: Curves(2 * steps, values)  # noqa: B023
        for known in (120.0, 159.9, 199.0):
            given = replace(_first(events_of_cells((0, 0), (0, 0))[1], 1), known_until=[known])
            (found,) = forecasts.log_strengths([run], given)
            if known < 199 or expected is None:
                assert math.isnan(found)
            else:
                assert found == pytest.approx(expected)


@pytest.mark.parametrize("exponents", [(0.3, 0.9), (0.6, 0.6)])
def test_the_clocks_forecast_what_keeps_them(exponents):
    """The ratio of other runs misleads if its exponents differ from those of the rise."""
    runs, given = events_of_cells(exponents, (0.6, 0.6))
    for kind in (forecasts.CORRECTED, forecasts.BY_CLOCK):
        found = forecasts.forecast_cells(runs, given, kind)
        assert found.value == pytest.approx(given.measured) and found.crps == pytest.approx(0)
    plain = score([forecasts.forecast_cells(runs, given, forecasts.AS_OTHERS)])
    assert plain.factor == pytest.approx(1) if exponents == (0.6, 0.6) else plain.factor > 1.2


def test_what_has_happened_is_not_forecast(log_strengths):
    runs, given = events_of_cells((0.3, 0.9), (0.6, 0.6))
    is_early = (
        given.measured <= np.quantile(given.measured / given.known_until, 0.3) * given.known_until
    )
    early = replace(given, measured=np.where(is_early, 0.9 * given.known_until, given.measured))
    for kind in forecasts.KINDS:
        found = forecasts.forecast_cells(runs, early, kind)
        assert 0 < len(found.runs) == (~is_early).sum() < len(runs)
        assert (found.value > found.known_until).all() and (found.low > found.known_until).all()


def test_a_forecast_uses_no_run_of_its_own_cell(log_strengths):
    runs, given = events_of_cells((0.3, 0.9), (0.6, 0.6))
    own = np.array([(run.learning_rate, run.batch_size) == CELLS[0] for run in runs])
    moved = replace(given, measured=np.where(own, given.measured / 2, given.measured))
    for kind in forecasts.KINDS:
        one, other = (forecasts.forecast_cells(runs, each, kind) for each in (given, moved))
        assert one.value[own] == pytest.approx(other.value[own])
        assert kind == forecasts.AS_OTHERS or one.value[~own] != pytest.approx(other.value[~own])
    assert forecasts.forecast_cells(runs[:6], _first(given, 6), forecasts.CORRECTED) is None


def _first(given, n):
    arrays = ("known_until", "end", "measured", "value", "low", "high", "crps")
    return EventForecasts(given.runs[:n], *(getattr(given, name)[:n] for name in arrays))


# --- larger batches in the paper's main run


def test_proportions_are_ratios_to_emergence():
    events = timeline(Run().curves())
    found = proportions.proportions(events)
    assert found["fade"] == pytest.approx(6, rel=0.1) and found["emergence"] == events.emergence
    without_icl = proportions.proportions(timeline(Run(height=0.4).curves()))
    assert {*without_icl.values()} == {math.inf}


@pytest.mark.parametrize(("late", "expected"), [(1.0, "has the"), (2.0, "does not have the")])
def test_larger_batches_are_judged_by_the_ratios(monkeypatch, late, expected):
    runs = {"paper": 3.4, "cpu": 6.0}

    def times(ratio):
        return {"emergence": 0.5, "fade": ratio, "ciwl_90": 1.5 * ratio}

    larger = [Run(init_seed=seed, fade=late * 3.4) for seed in SEEDS]
    monkeypatch.setattr(proportions, "kept_runs", lambda preset, scale: [Run(fade=runs[scale])])
    monkeypatch.setattr(proportions, "_in_millions", lambda own: [times(run.fade) for run in own])
    table = proportions.proportions_table(larger)
    assert expected in table and "emergence holds" in table
    assert ("fade is contradicted" in table) == (late == 2.0)
    assert "not measured" in proportions.proportions_table([])
    assert "proportions." not in proportions.proportions_table(larger[:2]), "a seed is missing"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_study_runs_from_training_to_the_figure(smoke_clocks, tmp_path):
    """In twenty steps nothing is learnt: events are those of noise, or absent."""
    plan = load_plan("clocks", "smoke")
    find = partial(predictions.find_runs, scale="smoke", data=smoke_clocks)
    assert len(find("grid_*")) == 3 * len(CELLS)
    assert all(len(find(arm)) == 3 for arm in predictions.CONTROLS)
    figure = find_figure("clocks", "1")
    result = figure.render(find_needs(figure.needs, scale="smoke", data=smoke_clocks))
    result.write(tmp_path, "clocks")
    record = json.loads((tmp_path / "clocks.json").read_text())
    assert len(record["runs"]) == 42 and "sharpness" in plan.nodes
    assert "42 runs" in page_clocks.counts(find)
    assert page_clocks.exponents_table(find) and page_clocks.arms_table(find)
    assert page_clocks.spreads_table(find) != page_clocks.NOT_KEPT
    assert len(states.cell_states("smoke", smoke_clocks)) == 6


def check_states():
    """Check the statements on gradient noise, sharpness and label rows."""
    cells = {(each.rate, each.batch): each for each in states.cell_states()}
    noise = {cell: each.noise_over_signal for cell, each in cells.items()}
    assert (min(noise.values()), max(noise.values())) == pytest.approx((4, 420), rel=0.1)
    assert min(noise, key=noise.__getitem__)[1] == 512
    edges = [each.of_edge for each in cells.values()]
    assert (min(edges), max(edges)) == pytest.approx((0.005, 0.08), rel=0.1)
    growth = [each.label_growth for each in cells.values()]
    assert (min(growth), max(growth)) == pytest.approx((0.4, 1.5), rel=0.05)
    assert sum(not 0.5 <= each <= 2 for each in growth) == 1


def check_sgd():
    """Check that no run of SGD prefers ICL, and what it learns."""
    small, large = (predictions.find_runs(f"sgd_*_{batch}") for batch in (32, 128))
    assert len(small) == len(large) == 9 and not any(map(has_icl, small))
    assert sum(run.provenance["status"] == "diverged" for run in small + large) == 2
    assert sum(map(has_icl, large)) == 1
    accuracies = [run.curves().values["ciwl"] for run in small]
    assert min(max(each) for each in accuracies) >= 0.9
    assert max(each[-1] for each in accuracies) < 0.75
    assert page_clocks.arms_table().count("no ICL at batch 32") == 2


def check_equal_noise(runs):
    """Check the statements on noise levels."""
    ratios = {event: scaling.equal_noise_ratios(runs, event) for event in EVENTS}
    middle = {event: float(np.median(own)) for event, own in ratios.items()}
    obeyed = ("peak", "fade", "ciwl_90")
    assert all(abs(middle[event] - 1) < 0.155 for event in obeyed)
    assert middle["emergence"] == pytest.approx(1.3, abs=0.05)
    assert 2.1 < 1 / min(ratios["fade"]) < 2.25 and 2.5 < 1 / min(ratios["ciwl_75"]) < 3.1
    fitted = {event: fit_exponents(observe(runs, event)).combination(1, 2) for event in EVENTS}
    assert all(fitted[event].low < 2 < fitted[event].high for event in obeyed)
    assert fitted["emergence"].high < 2
    cells = cells_of(runs)
    early = scaling.median_steps(cells[2.4e-3, 512], "emergence")
    assert early == pytest.approx(140, abs=5)
    for cell, low, high in (((1.5e-4, 512), 1.9, 2.1), ((6e-4, 8), 8.5, 9.5)):
        fade, rise = (scaling.median_steps(cells[cell], event) for event in ("fade", "emergence"))
        assert low < fade / rise < high
    missing = {(cell, r.init_seed) for cell, own in cells.items() for r in own if not has_icl(r)}
    quiet = {(cell, 7) for cell in cells if cell[1] == 512 or cell == (1.5e-4, 128)}
    noisy = {each for each in missing if scaling.noise_level(each[0]) > 3}
    assert len(quiet) == 4 and len(noisy) == 5 and missing == quiet | noisy


def check_predicted_steps():
    """Check the statements on predictions, and on the arms that they are about."""
    arms = predicted_steps.steps_table(predicted_steps.ARMS).splitlines()[2:]
    lowered, raised = arms[1:]
    assert lowered.count("holds") == 2 and raised.count("holds") == 1
    assert "contradicted" in arms[0] and not any("contradicted" in each for each in arms[1:])
    factors = predictions.arm_factors(predictions.find_runs)
    expected = {
        "rate_lowered": 4.8,
        "batch_raised": 0.39,
        "labels_frozen": 3.5,
        "labels_tripled": 1.02,
        "beta2_0.99": 2.4,
        "beta2_0.9999": 0.94,
        "epsilon_0.001": 1.04,
    }
    found = {arm: 10 ** factors[arm].value for arm in expected}
    assert found == pytest.approx(expected, rel=0.02)
    unchanged = ("labels_tripled", "beta2_0.9999", "epsilon_0.001")
    assert all(factors[arm].low < 0 < factors[arm].high for arm in unchanged)
    assert factors["beta2_0.99"].low > np.log10(1.5)
    (diffusion,) = (each for each in predictions.predictions() if each.name == "label diffusion")
    frozen = predictions.judge_factor(factors["labels_frozen"], diffusion.arms["labels_frozen"])
    assert frozen == "contradicted"


def check_proportions():
    """Check the statements on the paper's proportions."""
    slow, fast, larger = (
        proportions.medians(proportions.proportions(run.timeline()) for run in runs)
        for runs in (
            kept_runs("coopetition/main", scale="paper"),
            kept_runs("coopetition/main"),
            predictions.find_runs(MAIN),
        )
    )
    expected = predictions.read_predictions(proportions.PATH)["predicted"]
    found = {**larger, "emergence": larger["emergence"] / 1e6}
    assert all(1 / 1.2 < found[name] / expected[name] < 1.2 for name in expected)
    assert "does not have the paper's proportions" in proportions.proportions_table()
    assert larger["ciwl_90"] / slow["ciwl_90"] == pytest.approx(1.4, abs=0.05)
    exact = {"emergence": fast["emergence"] / 1e6 * 8 ** (1 - 0.59)}
    exact |= {name: fast[name] / 8 ** (0.9 - 0.59) for name in ("fade", "ciwl_90")}
    assert all(exact[name] == pytest.approx(expected[name], rel=0.025) for name in expected)


def check_laws(runs):
    """Check the statements on laws of time."""
    for own in (runs, laws.main_runs()):
        for event in EVENTS:
            observed = observe(own, event)
            constant, power, rule, total, memory = (
                laws.held_out_error(observed, law) for law in laws.LAWS
            )
            assert event == "ciwl_90" or memory == pytest.approx(total, rel=0.07)
            assert event != "ciwl_90" or memory < 0.97 * min(constant, rule, total)
            if own is not runs:
                assert power is None and (constant < 1.05 * memory) == (event != "ciwl_90")
            else:
                assert rule < 1.055 * power
    ratios = {event: laws.noise_ratio(observe(runs, event)) for event in OF_ICL}
    assert ratios["fade"].low > max(ratios["emergence"].high, ratios["peak"].high)


def check_forecasts(runs):
    """Check the statements on forecasts."""
    grid = forecasts.runs_with_known_part(runs)
    others = forecasts.runs_with_known_part(all_runs())
    cells = np.array([str((run.learning_rate, run.batch_size)) for run in grid])
    page = (ROOT / "docs" / "clocks_predictions.md").read_text()
    for event, within, between, other_less in (
        ("crossing", 0.81, -0.12, 0.01),
        ("fade", 0.74, -0.06, 0.04),
    ):
        given = forecasts.held_out_events(grid, event)
        found = {kind: forecasts.forecast_cells(grid, given, kind) for kind in forecasts.KINDS}
        plain, corrected, clock, strengths, both = found.values()
        assert max(corrected.crps.mean(), clock.crps.mean()) < 0.62 * plain.crps.mean()
        assert both.crps.mean() < 0.4 * plain.crps.mean()
        assert both.crps.mean() == min(each.crps.mean() for each in found.values())
        assert crps_difference(strengths, plain) == pytest.approx((-0.01, 0.03), abs=0.0051)
        names = [run.name for run in grid]
        own = cells[[names.index(name) for name in both.runs]]
        for kind, each in ((forecasts.CORRECTED, corrected), (forecasts.BY_CLOCK, clock)):
            less = each.crps - both.crps
            means = [less[own == cell].mean() for cell in {*own}]
            mean, error = np.mean(means), np.std(means, ddof=1) / math.sqrt(len(means))
            change, error_of_runs = crps_difference(both, each)
            numbers = f"{-change:.2f} ± {error_of_runs:.2f} | {mean:.2f} ± {error:.2f}"
            assert len(means) == 13 and f"| {event} | {kind} | {numbers} |" in page
            is_clear = (event, kind) == ("fade", forecasts.CORRECTED)
            assert mean > 3 * error if is_clear else mean < 2 * error
        logs, is_future = forecasts.log_strengths(grid, given), given.measured > given.known_until
        c = (np.diag(forecasts.expected_ratios(given, logs, cells)) - 1) / logs
        low, high = (1.25, 1.4) if event == "crossing" else (1.45, 1.7)
        assert (c > low).all() and (c < high).all()
        assert np.isfinite(logs).all()
        seen = np.minimum(given.measured, given.end) / given.known_until
        values = np.array([np.log(seen), logs])
        means = {cell: values[:, is_future & (cells == cell)].mean(axis=1) for cell in {*cells}}
        left = values - np.transpose([means[cell] for cell in cells])
        assert np.corrcoef(left[:, is_future])[0, 1] == pytest.approx(within, abs=0.005)
        assert np.corrcoef(np.transpose([*means.values()]))[0, 1] == pytest.approx(
            between, abs=0.006
        )
        across = [
            forecasts.forecast_other_runs(grid, others, event, kind)
            for kind in (forecasts.BY_STRENGTHS, forecasts.AS_OTHERS)
        ]
        assert crps_difference(*across) == pytest.approx((-other_less, 0.03), abs=0.0051)
        own = forecasts.held_out_events(others, event)
        logs = forecasts.log_strengths(others, own)
        c = (np.diag(forecasts.expected_ratios(own, logs, range(len(logs)))) - 1) / logs
        assert np.isnan(logs).sum() == 1 and np.nanmin(c) > 1.45 and np.nanmax(c) < 1.7
    runs = floors.runs_by_level()
    alone, main = (
        [time for own in runs[mode].values() for time in floors.ciwl_times(own)]
        for mode in ("ciwl_only", "main")
    )
    assert spearmanr(alone, main).statistic == pytest.approx(-0.54, abs=0.005)
    rows = [row.split(" | ") for row in forecasts.forecasts_table().splitlines()[2:]]
    coverage = [int(row[7].removesuffix(" %")) for row in rows]
    assert (min(coverage), max(coverage)) == (77, 89)
    rates = Counter((task_of(run.name), run.learning_rate) for run in others)
    assert rates["main task", 1e-5] == 3 and rates["main task", 1e-4] == 13 and len(rates) == 4


def test_the_kept_runs_show_what_the_page_says():
    """The statements of docs/clocks.md."""
    runs = predictions.find_runs("grid_*")
    assert len({(run.learning_rate, run.batch_size) for run in runs}) == 14

    def least(event: str) -> str:
        spreads = {name: clock_spread(observe(runs, event), c) for name, c in CLOCKS.items()}
        return min(spreads, key=lambda name: spreads[name] or math.inf)

    assert least("fade") == least("ciwl_90") == "sequences"
    assert least("emergence") == least("peak") == "rate x steps x sqrt(batch)"
    risen = {
        (rate, batch): [
            has_icl(run) for run in runs if (run.learning_rate, run.batch_size) == (rate, batch)
        ]
        for rate, batch in ((2.4e-3, 8), (2.4e-3, 32))
    }
    assert [sum(each) for each in risen.values()] == [0, 1]
    missing = [run.init_seed for run in runs if run.batch_size == 512 and not has_icl(run)]
    assert len(missing) == 3 and len(set(missing)) == 1

    check_forecasts(runs)
    check_predicted_steps()
    check_proportions()
    check_laws(runs)
    check_equal_noise(runs)
    check_states()
    check_sgd()

    found = page_clocks.exponents()
    two = [(round(each.a, 2), round(each.b, 2)) for each in (found["emergence"], found["fade"])]
    assert two == [(0.63, 0.58), (0.29, 0.90)]
    ideas = {each.name: each for each in predictions.predictions()}

    def verdicts(name: str) -> dict[str, str]:
        predicted = ideas[name].exponents
        return {e: predictions.judge_exponents(found[e], predicted[e]) for e in predicted}

    definite = {
        name: {verdicts(name)["fade"], verdicts(name)["ciwl_90"]}
        for name, each in ideas.items()
        if {"fade", "ciwl_90"} <= {*each.exponents}
        and all(
            low == high for e in ("fade", "ciwl_90") for low, high in each.exponents[e].values()
        )
    }
    assert len(definite) > 3 and all("contradicted" in own for own in definite.values())
    for name, each in ideas.items():
        own = each.exponents.get("emergence", {})
        if {"a", "b"} <= {*own} and all(low == high for low, high in own.values()):
            assert verdicts(name)["emergence"] == "contradicted", name
    adam, emergence = ideas["Adam in noise"].exponents["emergence"], found["emergence"]
    assert emergence.combination(1, 0).high < adam["a"][0]
    assert (
        emergence.combination(0, 1).high < ideas["counting examples"].exponents["emergence"]["b"][0]
    )
