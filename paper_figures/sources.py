"""Where figures get their runs: kept curves of finished runs, or runs trained now."""

import json
import math
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from coopetition.compare.curves import Curves, read_curves
from coopetition.tools.errors import UsageError
from transformer.config import OmniglotConfig, RunConfig
from transformer.experiments.presets import PRESETS
from transformer.measures.timeline import Timeline, timeline
from transformer.runs.export import export
from transformer.runs.machine import Machine
from transformer.training.loop import train_or_resume

DATA = files("paper_figures") / "data"


@dataclass(frozen=True, slots=True)
class FigureRun:
    """Curves of one training run, and what they are curves of."""

    name: str
    curves: dict[str, Curves]
    provenance: dict[str, Any]

    @property
    def init_seed(self) -> int:
        """The seed of the run's initial parameters."""
        return self.provenance["config"]["init_seed"]

    @property
    def n_sequences(self) -> float:
        """Sequences seen in all."""
        return float(self.curves["loss"].sequences[-1])

    def timeline(self, until: float = math.inf) -> Timeline:
        """When ICL emerged, peaked and faded, within the first `until` sequences."""
        return timeline(self.curves["in_context_accuracy"].between(last=until))


def _read(path: Path) -> FigureRun:
    metrics = ("loss", "in_context_loss", "in_context_accuracy")
    return FigureRun(
        path.stem,
        {metric: read_curves(path, metric) for metric in metrics},
        json.loads(path.with_suffix(".json").read_text()),
    )


def kept_runs(preset: str, first: int | None = None) -> list[FigureRun]:
    """The finished runs of a preset whose curves are kept in the package, by seed.

    The one of seed `first` leads, if given.
    """
    with as_file(DATA) as folder:
        runs = [_read(path) for path in sorted(folder.glob(f"{preset}_*.csv"))]
    if not runs:
        raise UsageError(f"no finished run of preset {preset!r} is kept; train it with --retrain")
    seeds = sorted(run.init_seed for run in runs)
    if first is not None and first not in seeds:
        raise UsageError(f"no run of seed {first} is kept; choose one of {seeds}, or --retrain")
    return sorted(runs, key=lambda run: (run.init_seed != first, run.init_seed))


def trained_run(preset: str, out: Path, *, omniglot: str | None, init_seed: int) -> FigureRun:
    """Train a preset now, into `out/runs`, and keep its curves beside the run."""
    config = replace(PRESETS[preset].make("cpu"), init_seed=init_seed)
    exemplars = config.data.exemplars
    if isinstance(exemplars, OmniglotConfig):
        data = replace(config.data, exemplars=replace(exemplars, path=omniglot or ""))
        config = replace(config, data=data)
    folder = out / "runs" / f"{preset}_{init_seed}"
    return finished_run(config, folder)


def finished_run(config: RunConfig, folder: Path, *, threads: int | None = None) -> FigureRun:
    """Train a run (or go on with it) and keep its curves beside its folder."""
    path = folder.with_suffix(".csv")
    machine = Machine.choose(threads=threads, n_steps=config.n_steps)
    export(train_or_resume(config, folder, machine), path)
    return _read(path)
