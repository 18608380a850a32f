"""Readout by signal detection: ICL and CIWL accuracies from train and Flip accuracies alone.

Two cues of strengths x and y are added and read out with noise of deviation n, so that accuracies
are Phi((x + y) / n) on `train`, Phi((x - y) / n) on Flip, Phi(x / n) on ICL and Phi(y / n) on CIWL.
Whatever x, y and n, probits z of accuracies then obey, without any parameter,

    z(icl) = (z(train) + z(flip)) / 2,        z(ciwl) = (z(train) - z(flip)) / 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from coopetition.fitting.curves import Curves
from coopetition.model.presets import CIWL, ICL
from coopetition.tools.files import markdown_table
from paper_figures.core.kept_data import load_index
from paper_figures.core.runs import kept_runs

Array = NDArray[np.float64]
STRATEGIES = (ICL, CIWL)
GROUPS: Mapping[str, tuple[str, ...]] = {  # the first that matches a preset
    "trained on ICL or CIWL alone": ("*/icl_only*", "*/ciwl_only*"),
    "drawings of glyphs": ("glyphs",),
    "demo, 6,400 classes": ("demo",),
    "classes with variation": ("within_class/main_*",),
    "grafted or resumed heads": ("*/grafted_*", "*/resumed_*", "*/*_ablated"),
    "no ICL": ("*/one_layer", "*/no_previous_token"),
    "main task": ("coopetition/main", "coopetition/seeds_*", "coopetition/matched"),
    "other networks and data": ("coopetition/*",),
    "transience task": ("transience/*",),
    "token embeddings": ("transience_tokens/*",),
    "rates and batch sizes": ("clocks/*",),
}


@dataclass(frozen=True, slots=True)
class Relation:
    """How well the relation holds along a run, by strategy.

    measured, predicted : accuracies;  r2 : NaN for a constant curve
    rmse : root mean square error;  noise : its size if the relation holds, by finite samples alone
    """

    measured: dict[str, Array]
    predicted: dict[str, Array]
    r2: dict[str, float]
    rmse: dict[str, float]
    noise: dict[str, float]


def strengths(train: Array, flip: Array, n_sequences: int) -> dict[str, Array]:
    """Return the strengths of ICL and CIWL over their noise, z(icl) and z(ciwl).

    Shares of 0 and 1 count as half a sequence away.
    """
    first, second = _probit(train, n_sequences), _probit(flip, n_sequences)
    return {ICL: (first + second) / 2, CIWL: (first - second) / 2}


def predict(train: Array, flip: Array, n_sequences: int) -> dict[str, Array]:
    """Return the accuracies of ICL and CIWL."""
    from scipy.special import ndtr

    return {name: ndtr(each) for name, each in strengths(train, flip, n_sequences).items()}


def _probit(share: Array, n: int) -> Array:
    from scipy.special import ndtri

    return ndtri(np.clip(share, 0.5 / n, 1 - 0.5 / n))


def relation(curves: Curves, n_sequences: int) -> Relation:
    """Return how well the relation holds for accuracies over so many sequences."""
    values = curves.select(("train", "flip", *STRATEGIES)).values
    predicted = predict(values["train"], values["flip"], n_sequences)
    variance = _variance(values, predicted, n_sequences)
    measured = {name: values[name] for name in STRATEGIES}
    errors = {name: float(np.mean((predicted[name] - y) ** 2)) for name, y in measured.items()}
    return Relation(
        measured,
        predicted,
        {
            name: 1 - errors[name] / float(np.var(y)) if np.var(y) > 0 else np.nan
            for name, y in measured.items()
        },
        {name: error**0.5 for name, error in errors.items()},
        {name: float(np.mean(each)) ** 0.5 for name, each in variance.items()},
    )


def _variance(
    values: Mapping[str, Array], predicted: Mapping[str, Array], n: int
) -> dict[str, Array]:
    """Return the variance of predicted minus measured, of binomial samples (delta method)."""
    share = {name: np.clip(each, 0.5 / n, 1 - 0.5 / n) for name, each in values.items()}
    binomial = {name: p * (1 - p) / n for name, p in share.items()}

    def density(p: Array) -> Array:
        return np.exp(-(_probit(p, n) ** 2) / 2)

    of_probits = sum(binomial[name] / density(share[name]) ** 2 for name in ("train", "flip")) / 4
    return {
        name: density(predicted[name]) ** 2 * of_probits + binomial[name] for name in STRATEGIES
    }


def relations() -> dict[str, dict[str, Relation]]:
    """Return the relation in every kept run, by group and run."""
    found: dict[str, dict[str, Relation]] = {group: {} for group in GROUPS}
    for preset, scale in dict.fromkeys((each["preset"], each["scale"]) for each in load_index()):
        for run in kept_runs(preset, scale=scale):
            found[_group_of(preset)][run.name] = relation(run.curves(), run.n_evaluated)
    return {group: own for group, own in found.items() if own}


def _group_of(preset: str) -> str:
    return next(
        group
        for group, patterns in GROUPS.items()
        if any(fnmatchcase(preset, pattern) for pattern in patterns)
    )


def readout_table() -> str:
    """Return how well the relation holds in each group of runs, in Markdown."""
    rows = []
    for group, own in relations().items():
        cells = [group, f"{len(own)}"]
        for name in STRATEGIES:
            cells += [
                _spread([each.r2[name] for each in own.values()]),
                f"{np.median([each.rmse[name] for each in own.values()]):.3f}",
                f"{np.median([each.noise[name] for each in own.values()]):.3f}",
            ]
        rows.append(cells)
    heads = [f"{name.upper()}: {text}" for name in STRATEGIES for text in ("R²", "error", "noise")]
    return markdown_table(["runs", "number", *heads], rows)


def _spread(values: Sequence[float]) -> str:
    known = [each for each in values if np.isfinite(each)]
    low, median, high = np.quantile(known, (0, 0.5, 1))
    return f"{median:.2f}" + (f" ({low:.2f} to {high:.2f})" if len(known) > 1 else "")
