"""How surely curves are measured: from the size of an evaluation, from seeds, or from a figure.

What a fit makes of it: samples that are known badly count less (`problem`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from coopetition.compare.curves import Curves
from coopetition.compare.observation import ACCURACY
from coopetition.model.declaration import check_number, check_whole
from coopetition.tools.errors import UsageError


def with_binomial_errors(curves: Curves, n_sequences: int) -> Curves:
    """Accuracies with the deviation of a share of so many sequences, p (1 - p) / n.

    p is (right + 1/2) / (n + 1), so that no share is known without error.  Sequences are taken to
    be drawn anew for each evaluation; where they are the same ones, as in the trainer, a curve is
    shifted as a whole by some of this, which floor and gain take up.
    """
    check_whole("the sequences of an evaluation", n_sequences, 1)
    if ACCURACY not in curves.metric:
        raise UsageError(
            f"errors by sequences are of accuracies; the curves are of {curves.metric}"
        )
    errors = {}
    for name, values in curves.values.items():
        p = (values * n_sequences + 0.5) / (n_sequences + 1)
        errors[name] = np.sqrt(p * (1 - p) / n_sequences)
    return replace(curves, errors=errors)


def with_reading_error(curves: Curves, deviation: float) -> Curves:
    """Curves read off a figure, each sample with one deviation, in the curve's unit."""
    check_number("the reading error", deviation, positive=True)
    errors = {name: np.full(len(v), float(deviation)) for name, v in curves.values.items()}
    return replace(curves, errors=errors)


def mean_of_seeds(runs: Sequence[Curves]) -> Curves:
    """The mean of runs that were measured at the same sequences, with its standard error.

    Of seeds whose events come at different times the mean is washed out: then fit the runs, with
    some parameters shared.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run is given; a mean over seeds wants two or more")
    first = runs[0]
    for run in runs[1:]:
        if not np.array_equal(run.sequences, first.sequences) or run.metric != first.metric:
            raise UsageError(
                f"{run.source} was not measured at the same sequences as {first.source}"
            )
    names = [name for name in first.values if all(name in run.values for run in runs)]
    every = {name: np.stack([run.values[name] for run in runs]) for name in names}
    return Curves(
        first.sequences,
        {name: rows.mean(0) for name, rows in every.items()},
        f"mean of {len(runs)} runs, {first.metric}",
        first.metric,
        {name: rows.std(0, ddof=1) / np.sqrt(len(runs)) for name, rows in every.items()},
    )
