"""Does training on CIWL help ICL?  Asked in the transformer, in the toy, and in the toy as fitted.

In each the same four questions.  T is when ICL comes (ICL accuracy first above 0.75; the toy's ICL
learnt); starts and checkpoints are told in units of T in ordinary training.

- alone: T without CIWL over T with it; above 1, CIWL hastens ICL
- circuit: T alone over T on the second half of a CIWL-only run, kept as it is
- late start: whether ICL still comes in ordinary training from a state of a CIWL-only run
- fade: whether ICL goes again
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from coopetition.compare.estimate import fit
from coopetition.compare.result import Fit
from coopetition.compare.theory import CURVES, TOY
from coopetition.dynamics.ensemble import Ensemble, descend_ensemble
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
from paper_figures.coopetition.events import icl_above
from paper_figures.coopetition.figure_4 import learnt
from paper_figures.core.plotting import METRIC
from paper_figures.core.published import published_ensemble
from paper_figures.core.runs import FigureRun, Runs, all_found
from transformer.experiments.coopetition import GRAFTED_AT, RESUMED_AT

HORIZON = 30_000.0  # steps of descent; with the published draws ICL takes 140 to 28,000
FITTED_HORIZON = 3_000.0  # with the problems that fits find, 150 to 340
LENGTH = 64.0  # millions of sequences of the paper's main run
LEVELS = (0.6, 0.75, 0.9)  # of ICL accuracy, by which ICL may be said to have come
STARTS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # of T in ordinary training


@dataclass(frozen=True, slots=True)
class Answers:
    """What one of the three says.

    alone : of each draw or run
    circuit, late : by start, of each draw or run
    fades : of each draw or run in which ICL comes
    """

    name: str
    alone: list[float]
    circuit: dict[float, list[float]]
    late: dict[float, list[bool]]
    fades: list[bool]


def toy(name: str, ensemble: Ensemble, horizon: float) -> Answers:
    """The toy's answers by a horizon, in steps of descent, of those problems in which ICL comes in
    ordinary training.
    """
    alone: list[float] = []
    circuit: dict[float, list[float]] = {start: [] for start in STARTS}
    late: dict[float, list[bool]] = {start: [] for start in STARTS}
    fades = []
    for problem in _each(ensemble):
        both = outcome(problem, horizon)
        time = float(both.emergence[0])
        if math.isinf(time):
            continue
        fades.append(not bool(both.ongoing[0]))
        without = outcome(icl_alone(problem), horizon)
        alone.append(_times_as_soon(without, both))
        steps = [max(1, round(start * time)) for start in STARTS]
        ciwl = [descend_ensemble(ciwl_alone(problem), [step]) for step in steps]
        for start, run in zip(STARTS, ciwl, strict=True):
            on_it = outcome(with_circuit(problem, run.overlap, run.orthogonal), horizon)
            circuit[start].append(_times_as_soon(without, on_it))
            after = outcome(after_ciwl(problem, run.overlap, run.orthogonal), horizon)
            late[start].append(bool(np.isfinite(after.emergence[0])))
    return Answers(name, alone, circuit, late, fades)


def _times_as_soon(alone: Outcome, helped: Outcome) -> float:
    """T alone over T, of one problem; each at least a sample of the horizon, and at most all."""
    return math.exp(compare_emergence("", alone, helped).values[0])


def _each(ensemble: Ensemble) -> Iterator[Ensemble]:
    for k in range(ensemble.n):
        own = slice(k, k + 1)
        yield Ensemble(
            ensemble.model,
            ensemble.lengths[:, own],
            ensemble.norms[:, own],
            ensemble.overlap[:, own],
            ensemble.orthogonal[:, own],
            {name: values[own] for name, values in ensemble.parameters.items()},
        )


def fitted_ensemble(fits: list[Fit]) -> Ensemble:
    """The problems that fits of the toy found, with factors of the published lengths.

    Their flow is that of the fit: `compare.two_strategies` tells what is lost without dimensions.
    """
    model = two_strategies()
    lengths = np.array([[float(PUBLISHED_DIMS[f])] for f in model.factors])
    norms = np.sqrt(lengths) * np.ones(len(fits))
    found = [{name: each.parameters[name].value for name in each.parameters} for each in fits]
    overlap = np.array([[p["a"], p["b"], p["b"] * p["c"], p["d"]] for p in found]).T * norms
    orthogonal = np.zeros_like(overlap)
    orthogonal[model.factors.index("d")] = [p["d_orthogonal"] for p in found] * norms[-1]
    parameters = {name: np.array([p[name] for p in found]) for name in ("alpha", "mu1")}
    return Ensemble(model, lengths * np.ones(len(fits)), norms, overlap, orthogonal, parameters)


def fits_of_main() -> list[Fit]:
    """The toy fitted to in-context accuracies of the main runs, for as long as the paper's."""
    runs = [*Runs("coopetition/main").found(), *Runs("coopetition/main").found(scale="paper")]
    each = [run.curves(METRIC).between(last=LENGTH * 1e6 / run.rate_ratio) for run in runs]
    return [fit(curves.select(CURVES), TOY) for curves in each]


def transformer() -> Answers:
    """What our runs of scale cpu say."""
    mains = Runs("coopetition/main").found()
    time = float(np.mean([icl_above(run) for run in mains]))
    circuit = {
        _start(at, time, runs[0]): as_soon(runs, icl_above)
        for at, runs in kept_from("grafted", GRAFTED_AT)
    }
    late = {
        _start(at, time, runs[0]): [icl_above(run) < math.inf for run in runs]
        for at, runs in kept_from("resumed", RESUMED_AT)
    }
    came = [told for told in (run.timeline() for run in mains) if told.emergence is not None]
    fades = [told.fade is not None for told in came]
    return Answers("transformer", as_soon(mains, icl_above), circuit, late, fades)


def as_soon(runs: list[FigureRun], time: Callable[[FigureRun], float]) -> list[float]:
    """T alone over T in runs, a seed each; 0 where ICL comes alone only, infinite if not alone.

    Runs of whose seed there is none on ICL alone, and seeds with which ICL comes in neither, are
    left out.
    """
    alone = {run.init_seed: run for run in Runs("coopetition/icl_only").found()}
    pairs = [(time(alone[run.init_seed]), time(run)) for run in runs if run.init_seed in alone]
    return [first / second for first, second in pairs if min(first, second) < math.inf]


def levels_table() -> str:
    """T alone over T in our runs by what counts as ICL having come, medians; in Markdown."""
    grafts = dict(kept_from("grafted", GRAFTED_AT))
    groups = [Runs("coopetition/main").found(), *grafts.values()]
    heads = ["T: when ICL's", "with CIWL", *(f"on the circuit of {at:g}M" for at in grafts)]
    rows = (
        [name, *(_ratio(as_soon(runs, time)) for runs in groups)] for name, time in _times().items()
    )
    return markdown_table(heads, rows)


def _ratio(of_seeds: list[float]) -> str:
    """The median, in words where ICL comes in one of both only; how many seeds, if they differ."""
    if not of_seeds:
        return "comes in neither"
    median = float(np.median(of_seeds))
    words = {0.0: "comes alone only", math.inf: "does not come alone"}
    return words.get(median, f"{median:.2f}") + f" ({len(of_seeds)})"


def _times() -> dict[str, Callable[[FigureRun], float]]:
    """When ICL has come, by accuracy and by loss."""
    by_level = {f"accuracy is above {at}": partial(icl_above, level=at) for at in LEVELS}
    return by_level | {"loss is below ln 2": lambda run: learnt(run) or math.inf}


def _start(millions: float, time: float, run: FigureRun) -> float:
    return millions * 1e6 / run.rate_ratio / time


def kept_from(kind: str, starts: tuple[float, ...]) -> Iterator[tuple[float, list[FigureRun]]]:
    """Starts, in millions, and the runs from there that are kept; `kind` : grafted or resumed."""
    needs = tuple(Runs(f"coopetition/{kind}_{at:g}M", optional=True) for at in starts)
    return ((at, runs) for at, runs in zip(starts, all_found(needs), strict=True) if runs)


@cache
def answers() -> tuple[Answers, ...]:
    """All three."""
    return (
        transformer(),
        toy("toy, published draws", published_ensemble(), HORIZON),
        toy("toy, fitted to our main runs", fitted_ensemble(fits_of_main()), FITTED_HORIZON),
    )


def three_ways_table() -> str:
    """Questions down, the three across, and whether they agree; in Markdown."""
    told = answers()
    heads = ["question", *(each.name for each in told), "agree in kind"]
    rows = []
    for question, cell, verdict in QUESTIONS:
        agree = len({verdict(each) for each in told}) == 1
        rows.append([question, *map(cell, told), "yes" if agree else "no"])
    return markdown_table(heads, rows)


def _alone_cell(each: Answers) -> str:
    later = sum(ratio > 1 for ratio in each.alone)
    return f"T alone / T: {np.median(each.alone):.2f}; above 1 in {later} of {len(each.alone)}"


def _hastens(each: Answers) -> bool:
    return bool(np.median(each.alone) > 1)


def _circuit_cell(each: Answers) -> str:
    return ", ".join(
        f"{start:.2g} T: {np.median(own):.2g} ({len(own)})" for start, own in each.circuit.items()
    )


def _opens(each: Answers) -> bool:
    """Whether a circuit of the first checkpoint hurts, and of the last helps."""
    first, *_, last = (float(np.median(own)) for own in each.circuit.values())
    return first < 1 < last


def _late_cell(each: Answers) -> str:
    counts = ((start, sum(own), len(own)) for start, own in each.late.items())
    return ", ".join(f"{start:.2g} T: {some} of {n}" for start, some, n in counts)


def _closes(each: Answers) -> bool:
    """Whether ICL comes in most after the first start, and in few after the last."""
    first, *_, last = (float(np.mean(own)) for own in each.late.values())
    return first > 0.5 > last


def _fades_cell(each: Answers) -> str:
    return f"{sum(each.fades)} of {len(each.fades)}"


def _fades(each: Answers) -> bool:
    return bool(np.mean(each.fades) > 0.5)


QUESTIONS = (
    ("Does ICL come sooner with CIWL than alone?", _alone_cell, _hastens),
    (
        "Does the circuit of a CIWL-only run help ICL? T alone / T on it, by checkpoint (runs)",
        _circuit_cell,
        _opens,
    ),
    ("Does ICL come after a start on CIWL alone? by its length", _late_cell, _closes),
    ("Does ICL go again, in ordinary training?", _fades_cell, _fades),
)
