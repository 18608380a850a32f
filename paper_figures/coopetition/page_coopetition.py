"""The tables of docs/coopetition.md: whether training on CIWL helps ICL.

The same four questions for the transformer, the toy, and the toy as fitted to our runs.  T is the
time at which ICL emerges in ordinary training (ICL accuracy first above 0.75; the toy's ICL
learnt).  A speed-up is the time at which it emerges without CIWL, divided by that with what helps.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from coopetition.dynamics.batch import ProblemBatch, descend_batch
from coopetition.fitting.curves import FITTED_CURVES
from coopetition.fitting.estimate import fit
from coopetition.fitting.registry import TOY
from coopetition.fitting.result import Fit
from coopetition.model.presets import PUBLISHED_DIMS, two_strategies
from coopetition.studies.interventions import (
    Outcome,
    after_ciwl,
    ciwl_alone,
    compare_emergence,
    icl_alone,
    outcome,
    with_circuit,
)
from coopetition.tools.files import markdown_table
from paper_figures.coopetition.events import icl_loss_below_chance, icl_reaches
from paper_figures.core.published import published_batch
from paper_figures.core.runs import FigureRun, by_number, kept_runs

HORIZON = 30_000.0  # steps of descent; with the published draws ICL takes 140 to 28,000
FITTED_HORIZON = 3_000.0  # with fitted problems it takes 150 to 340
LENGTH = 64.0  # millions of sequences of the paper's main run
LEVELS = (0.6, 0.75, 0.9)  # of ICL accuracy at which ICL may be said to have emerged
STARTS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # of T in ordinary training


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of one of the three systems, for each draw or run.

    alone : speed-up by CIWL in ordinary training
    circuit : speed-up by the second half of a CIWL-only run that is fixed, by the length of that
        run in units of T in ordinary training
    late : whether ICL emerges in ordinary training from a state of a CIWL-only run, likewise
    fades : whether ICL fades, if it emerges
    """

    name: str
    alone: list[float]
    circuit: dict[float, list[float]]
    late: dict[float, list[bool]]
    fades: list[bool]


def toy_answers(name: str, batch: ProblemBatch, horizon: float) -> Answers:
    """Return the answers of those problems in which ICL emerges by a horizon, in steps."""
    answers = Answers(name, [], {s: [] for s in STARTS}, {s: [] for s in STARTS}, [])
    for k in range(batch.n):
        model, draw = batch.single(k)
        problem = ProblemBatch.from_draws(model, [draw])
        ordinary = outcome(problem, horizon)
        time = float(ordinary.emergence[0])
        if math.isinf(time):
            continue
        answers.fades.append(not bool(ordinary.ongoing[0]))
        alone = outcome(icl_alone(problem), horizon)
        answers.alone.append(_speed_up(alone, ordinary))
        for start in STARTS:
            ciwl = descend_batch(ciwl_alone(problem), [max(1, round(start * time))])
            on_circuit = outcome(with_circuit(problem, ciwl.overlap, ciwl.orthogonal), horizon)
            answers.circuit[start].append(_speed_up(alone, on_circuit))
            after = outcome(after_ciwl(problem, ciwl.overlap, ciwl.orthogonal), horizon)
            answers.late[start].append(bool(np.isfinite(after.emergence[0])))
    return answers


def _speed_up(alone: Outcome, helped: Outcome) -> float:
    """Return the speed-up of one problem; times are at least a sample and at most the horizon."""
    return math.exp(compare_emergence("", alone, helped).values[0])


def fitted_batch(fits: list[Fit]) -> ProblemBatch:
    """Return the problems of fits of the toy, with factors of the published lengths.

    Their flow is that of the fit; see `coopetition.fitting.theories.toy` on what has no dimensions.
    """
    model = two_strategies()
    lengths = np.array([[float(PUBLISHED_DIMS[f])] for f in model.factors])
    norms = np.sqrt(lengths) * np.ones(len(fits))
    values = [{name: each.parameters[name].value for name in each.parameters} for each in fits]
    overlap = np.array([[p["a"], p["b"], p["b"] * p["c"], p["d"]] for p in values]).T * norms
    orthogonal = np.zeros_like(overlap)
    orthogonal[model.factors.index("d")] = [p["d_orthogonal"] for p in values] * norms[-1]
    parameters = {name: np.array([p[name] for p in values]) for name in ("alpha", "mu1")}
    return ProblemBatch(model, lengths * np.ones(len(fits)), norms, overlap, orthogonal, parameters)


def fits_of_main_runs() -> list[Fit]:
    """Return fits of the toy to accuracies of the main runs, as far as the paper's runs go."""
    runs = [run for at in ("cpu", "paper") for run in kept_runs("coopetition/main", scale=at)]
    curves = [run.curves().between(last=LENGTH * 1e6 / run.rate_ratio) for run in runs]
    return [fit(each.select(FITTED_CURVES), TOY) for each in curves]


def transformer_answers() -> Answers:
    """Return the answers of our runs of scale cpu."""
    mains = kept_runs("coopetition/main")
    time = float(np.mean([icl_reaches(run) for run in mains]))

    def by_start(kind: str) -> dict[float, list[FigureRun]]:
        groups = by_number(kept_runs(f"coopetition/{kind}_*"))
        return {at * 1e6 / runs[0].rate_ratio / time: runs for at, runs in groups.items()}

    emerged = [events for events in (run.timeline() for run in mains) if events.emergence]
    return Answers(
        "transformer",
        speed_ups(mains, icl_reaches),
        {start: speed_ups(runs, icl_reaches) for start, runs in by_start("grafted").items()},
        {
            start: [icl_reaches(run) < math.inf for run in runs]
            for start, runs in by_start("resumed").items()
        },
        [events.fade is not None for events in emerged],
    )


def speed_ups(runs: list[FigureRun], time: Callable[[FigureRun], float]) -> list[float]:
    """Return the speed-ups of runs with a counterpart on ICL alone, of the same seed.

    0 if ICL emerges only alone, infinite if it does not emerge alone; nothing if in neither.
    """
    alone = {run.init_seed: run for run in kept_runs("coopetition/icl_only")}
    pairs = [(time(alone[run.init_seed]), time(run)) for run in runs if run.init_seed in alone]
    return [first / second for first, second in pairs if min(first, second) < math.inf]


def levels_table() -> str:
    """Return the median speed-ups of our runs by the definition of T, in Markdown."""
    grafted = by_number(kept_runs("coopetition/grafted_*"))
    groups = [kept_runs("coopetition/main"), *grafted.values()]
    times: dict[str, Callable[[FigureRun], float]] = {
        f"accuracy exceeds {level}": partial(icl_reaches, level=level) for level in LEVELS
    }
    times["loss is below ln 2"] = lambda run: icl_loss_below_chance(run) or math.inf
    heads = ["T: when ICL's", "ordinary data", *(f"circuit at {at:g}M" for at in grafted)]
    rows = (
        [name, *(_median_text(speed_ups(runs, time)) for runs in groups)]
        for name, time in times.items()
    )
    return markdown_table(heads, rows)


def _median_text(ratios: list[float]) -> str:
    """Return the median and the number of seeds; words if ICL emerges in one case only."""
    if not ratios:
        return "emerges in neither"
    median = float(np.median(ratios))
    words = {0.0: "emerges only alone", math.inf: "does not emerge alone"}
    return words.get(median, f"{median:.2f}") + f" ({len(ratios)})"


@cache
def all_answers() -> tuple[Answers, ...]:
    """Return the answers of all three."""
    return (
        transformer_answers(),
        toy_answers("toy, published draws", published_batch(), HORIZON),
        toy_answers(
            "toy, fitted to our main runs", fitted_batch(fits_of_main_runs()), FITTED_HORIZON
        ),
    )


def three_ways_table() -> str:
    """Return the questions, the three answers, and whether they agree, in Markdown."""
    heads = ["question", *(each.name for each in all_answers()), "same answer"]
    rows = []
    for question, text, is_yes in QUESTIONS:
        agree = len({is_yes(each) for each in all_answers()}) == 1
        rows.append([question, *map(text, all_answers()), "yes" if agree else "no"])
    return markdown_table(heads, rows)


def starts_table() -> str:
    """Return the answers by the time that a CIWL-only run has been trained, in Markdown."""
    heads = (
        "system",
        "CIWL-only training (in T)",
        "median speed-up by its circuit (number of cases)",
        "cases in which ICL emerges after it",
    )
    rows = []
    for each in all_answers():
        for start in sorted({*each.circuit, *each.late}):
            on_circuit, late = each.circuit.get(start), each.late.get(start)
            speed_up = f"{np.median(on_circuit):.2g} ({len(on_circuit)})" if on_circuit else ""
            emerges = f"{sum(late)} of {len(late)}" if late else ""
            rows.append((each.name, f"{start:.2g}", speed_up, emerges))
    return markdown_table(heads, rows)


def _alone_text(each: Answers) -> str:
    n_above = sum(ratio > 1 for ratio in each.alone)
    return f"{np.median(each.alone):.2f}; above 1 in {n_above} of {len(each.alone)}"


def _ends(by_start: Mapping[float, Sequence[float]]) -> tuple[Sequence[float], Sequence[float]]:
    """Return the cases of the shortest and of the longest training on CIWL alone."""
    first, *_, last = by_start.values()
    return first, last


def _circuit_helps_in_the_end(each: Answers) -> bool:
    first, last = map(np.median, _ends(each.circuit))
    return bool(first < 1 < last)


def _emerges_only_in_the_beginning(each: Answers) -> bool:
    first, last = map(np.mean, _ends(each.late))
    return bool(first > 0.5 > last)


QUESTIONS: tuple[tuple[str, Callable[[Answers], str], Callable[[Answers], bool]], ...] = (
    (
        "Does ICL emerge sooner with CIWL than alone? Median speed-up",
        _alone_text,
        lambda each: bool(np.median(each.alone) > 1),
    ),
    (
        "Does the circuit of a CIWL-only run help ICL? Median speed-up by the circuit after the "
        "shortest, and after the longest training",
        lambda each: ", ".join(f"{np.median(own):.2g}" for own in _ends(each.circuit)),
        _circuit_helps_in_the_end,
    ),
    (
        "Does ICL emerge after training on CIWL alone? Cases after the shortest, and after the "
        "longest training",
        lambda each: ", ".join(f"{sum(own)} of {len(own)}" for own in _ends(each.late)),
        _emerges_only_in_the_beginning,
    ),
    (
        "Does ICL fade in ordinary training? Cases in which it does",
        lambda each: f"{sum(each.fades)} of {len(each.fades)}",
        lambda each: bool(np.mean(each.fades) > 0.5),
    ),
)
