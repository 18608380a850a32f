"""Predictions of ideas about the clocks of ICL, and their verdicts by the runs.

`predictions.toml` holds the predictions, their derivations and the rule; it was committed before
the runs.
"""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

import numpy as np

from paper_figures.core.kept_data import DATA, SCALE
from paper_figures.core.runs import FigureRun, NotKeptError, kept_runs
from paper_figures.studies.clocks.exponents import (
    Exponents,
    Interval,
    event_steps,
    has_icl,
    t_interval,
)
from transformer.config.run import Scale
from transformer.experiments.clocks import BASE, BETA2, EPSILON, SGD_RATES, grid_name

PATH = Path(__file__).with_name("predictions.toml")
COMBINATIONS = {"a": (1, 0), "b": (0, 1), "a + b": (1, 1), "a + 2b": (1, 2)}
TOLERANCE, WIDEST = 0.1, 0.4  # of exponents
ARM_TOLERANCE = 0.06  # of the logarithm of a factor
BASE_RUNS = grid_name(*BASE)
CONTROLS = {  # arm -> the runs that it is compared with
    "rate_lowered": "restarted",
    "batch_raised": "restarted",
    "labels_frozen": "restarted",
    "labels_frozen_rate_lowered": "labels_frozen",
    "labels_tripled": "restarted",
    **{f"beta2_{beta2:g}": BASE_RUNS for beta2 in BETA2},
    f"epsilon_{EPSILON:g}": BASE_RUNS,
}
SGD, SGD_RAISED = "sgd", "sgd_batch_raised"
ARMS = (*CONTROLS, SGD, SGD_RAISED)

PredictionVerdict = Literal["holds", "contradicted", "undecided"]
Range = tuple[float, float]
Find = Callable[[str], list[FigureRun]]


@dataclass(frozen=True, slots=True)
class Idea:
    """An idea and its predictions.

    exponents : event -> combination of exponents -> range
    arms : arm -> range of its factor
    measured : range of `of_edge` or `label_growth` (`paper_figures.studies.clocks.states`)
    """

    name: str
    source: str
    derivation: str
    exponents: Mapping[str, Mapping[str, Range]]
    arms: Mapping[str, Range]
    measured: Mapping[str, Range]


@cache
def read_predictions(path: Path) -> dict[str, Any]:
    """Return a file of predictions: the `rule`, what had been `seen` before, and the predicted."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def rule_text(path: Path) -> str:
    """Return the rule of a file of predictions, and what had been seen before, in Markdown."""
    texts = (read_predictions(path)[name] for name in ("rule", "seen"))
    return "\n\n".join(fill(" ".join(text.split()), 120) for text in texts)


@cache
def predictions() -> list[Idea]:
    """Return the ideas."""
    return [
        Idea(
            name=each["name"],
            source=each["source"],
            derivation=" ".join(each["derivation"].split()),
            exponents={
                event: {name: _range(value) for name, value in own.items()}
                for event, own in each.get("exponents", {}).items()
            },
            arms={arm: _range(value) for arm, value in each.get("arms", {}).items()},
            measured={name: _range(value) for name, value in each.get("measured", {}).items()},
        )
        for each in read_predictions(PATH)["ideas"]
    ]


def _range(value: Any) -> Range:
    low, high = value if isinstance(value, list) else (value, value)
    return float(low), float(high)


def judge(found: Interval, predicted: Range, tolerance: float, widest: float) -> PredictionVerdict:
    """Return the verdict of an interval on a predicted range."""
    low, high = predicted[0] - tolerance, predicted[1] + tolerance
    if found.high < low or found.low > high:
        return "contradicted"
    is_narrow = found.high - found.low <= widest  # not where it is NaN
    return "holds" if is_narrow and low <= found.value <= high else "undecided"


def judge_exponents(found: Exponents, predicted: Mapping[str, Range]) -> PredictionVerdict:
    """Return the verdict on an idea at an event: all that it predicts must hold."""
    verdicts = {
        judge(found.combination(*COMBINATIONS[name]), each, TOLERANCE, WIDEST)
        for name, each in predicted.items()
    }
    return next(each for each in ("contradicted", "undecided", "holds") if each in verdicts)


def judge_factor(found: Interval, predicted: Range) -> PredictionVerdict:
    """Return the verdict on the factor of an arm."""
    with np.errstate(divide="ignore"):
        low, high = map(float, np.log10(predicted))
    return judge(found, (low, high), ARM_TOLERANCE, WIDEST)


def arm_factors(find: Find) -> dict[str, Interval]:
    """Return the logarithm to base 10 of each arm's factor, of arms whose runs are there."""
    pairs: dict[str, tuple[list[FigureRun], list[FigureRun]]] = {
        arm: (find(arm), find(control)) for arm, control in CONTROLS.items()
    }
    sgd, sgd_raised = chosen_sgd(find)
    pairs[SGD_RAISED] = sgd_raised, sgd
    pairs[SGD] = sgd, find(BASE_RUNS)
    factors = {arm: _factor(*pair, over_emergence=arm == SGD) for arm, pair in pairs.items()}
    return {arm: each for arm, each in factors.items() if each is not None}


def find_runs(
    name: str, scale: Scale = SCALE, data: Path = DATA, plan: str = "clocks"
) -> list[FigureRun]:
    """Return the kept runs of a preset of a plan, or of a pattern; none if none are kept."""
    try:
        return kept_runs(f"{plan}/{name}", scale=scale, data=data)
    except NotKeptError:
        return []


def chosen_sgd(find: Find) -> tuple[list[FigureRun], list[FigureRun]]:
    """Return the sgd runs of the rate with the highest peak of Flip, and those of a larger batch.

    The peak is the median over seeds.  There are none if no rate makes ICL preferred.
    """

    def peak(runs: Sequence[FigureRun]) -> float:
        return float(np.median([run.timeline().flip_peak for run in runs] or [0.0]))

    small = {rate: find(f"sgd_{rate:g}_{BASE[1]}") for rate in SGD_RATES}
    rate = max(small, key=lambda rate: peak(small[rate]))
    if not any(map(has_icl, small[rate])):
        return [], []
    return small[rate], find(f"sgd_{rate:g}_{4 * BASE[1]}")


def _factor(
    runs: Sequence[FigureRun], controls: Sequence[FigureRun], *, over_emergence: bool
) -> Interval | None:
    """Return log10 of the ratio of times to the fade, paired by seed.

    Seeds without ICL, or without a fade in the control, are left out.  Where a run ends before its
    fade, the interval is open above.
    """
    by_seed = {run.init_seed: run for run in controls}
    logs, is_open = [], False
    for run in runs:
        control = by_seed.get(run.init_seed)
        if control is None or not (has_icl(run) and has_icl(control)):
            continue
        own, reference = event_steps(run), event_steps(control)
        if reference["fade"] is None:
            continue
        is_open |= own["fade"] is None
        ratio = (own["fade"] or run.provenance["step"]) / reference["fade"]
        if over_emergence:
            if not (reference["emergence"] and own["emergence"]):
                continue  # preferred from the first evaluation on
            ratio *= reference["emergence"] / own["emergence"]
        logs.append(math.log10(ratio))
    if not logs:
        return None
    error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
    found = t_interval(float(np.mean(logs)), error, len(logs) - 1)
    return Interval(found.value, found.low, math.inf) if is_open else found
