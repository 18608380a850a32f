"""Measures of the states of runs: gradient noise, sharpness, and growth of label rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paper_figures.core.kept_data import DATA, SCALE
from paper_figures.core.runs import FigureRun, KeptTable, NotKeptError, kept_tables
from paper_figures.studies.clocks.exponents import event_steps
from transformer.config.run import Scale
from transformer.experiments.clocks import CROSS, PEAK, grid_name


@dataclass(frozen=True, slots=True)
class CellStates:
    """Measures of the runs of a cell, the median over seeds.

    gradient_over_loss, noise_over_signal : of a batch, at the checkpoint nearest to Flip's peak;
        the latter is infinite where the squared mean is not above 0
    of_edge : sharpness over the largest that is stable, over checkpoints from emergence to fade;
        None without one
    label_growth : growth of the label embedding's squared norm over numbers x rate^2 x steps, from
        the first checkpoint to the last
    """

    rate: float
    batch: int
    gradient_over_loss: float
    noise_over_signal: float
    of_edge: float | None
    label_growth: float


def cell_states(scale: Scale = SCALE, data: Path = DATA) -> list[CellStates]:
    """Return the measures of each cell of the cross; none if they are not kept."""
    cells = []
    for rate, batch in dict.fromkeys(CROSS):
        name = f"clocks/{grid_name(rate, batch)}"
        try:
            gradients, sharpness, norms = (
                kept_tables(name, kind, scale=scale, data=data)
                for kind in ("gradients", "sharpness", "weight_norms")
            )
        except NotKeptError:
            return []
        relative, noise = np.median([at_peak(each) for each in gradients], axis=0).tolist()
        values = [value for each in sharpness for value in while_preferred(each)]
        growth = float(np.median([label_growth(each) for each in norms]))
        of_edge = float(np.median(values)) if values else None
        cells.append(CellStates(rate, batch, relative, noise, of_edge, growth))
    return cells


def at_peak(table: KeptTable) -> tuple[float, float]:
    """Return the gradient's norm over the loss, and noise over signal, at Flip's peak."""
    whole, run = table.select(part="all"), table.run
    peak = event_steps(run)["peak"] or PEAK * run.provenance["step"]
    k = int(np.argmin(np.abs(np.log(whole.column("step") / peak))))
    loss, mean, variance = (whole.column(name)[k] for name in ("loss", "squared_mean", "variance"))
    noise = variance / run.batch_size
    return math.sqrt(max(mean + noise, 0)) / loss, noise / mean if mean > 0 else math.inf


def while_preferred(table: KeptTable) -> Sequence[float]:
    """Return the sharpness over the edge at checkpoints between emergence and fade."""
    events, batch = table.run.timeline(), table.run.batch_size
    if events.emergence is None:
        return []
    end = math.inf if events.fade is None else events.fade
    sequences = table.column("step") * batch
    is_preferred = (sequences >= events.emergence) & (sequences <= end)
    return table.column("of_edge")[is_preferred].tolist()


def label_growth(table: KeptTable) -> float:
    """Return the growth of the label embedding's squared norm, as `CellStates` has it."""
    steps, squares = table.column("step"), table.column("labels") ** 2
    expected = n_label_numbers(table.run) * table.run.learning_rate**2 * (steps[-1] - steps[0])
    return float((squares[-1] - squares[0]) / expected)


def n_label_numbers(run: FigureRun) -> int:
    """Return how many numbers the label embedding has."""
    config = run.provenance["config"]
    return config["data"]["exemplars"]["n_classes"] * config["model"]["d_model"]
