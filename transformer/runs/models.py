"""Models of runs: read from checkpoints, to be analysed or grafted from."""

import warnings
from functools import lru_cache
from pathlib import Path

from coopetition.tools.checks import check_int
from coopetition.tools.errors import UsageError
from transformer.data.exemplar_sets import Exemplars
from transformer.interventions.grafts import SOURCES, Source
from transformer.measures.gradients import State
from transformer.model.loaded import Model
from transformer.model.parameters import parameter_shapes, running_shapes
from transformer.runs.folder import RunFolder, load_run
from transformer.runs.recovery import newest_weights


def load_model(run: RunFolder | Path | str, step: int | None = None) -> Model:
    """Return the model of a run, or of the run in a folder, after a step (default: the newest).

    Its weights are float32 and on the CPU, whatever precision and device the run was trained with.
    A step without a checkpoint raises `UsageError`, a damaged one `UserError`; without `step`,
    damaged checkpoints are skipped with a warning.
    """
    if not isinstance(run, RunFolder):
        run = load_run(run)
    if step is None:
        checkpoint, damaged = newest_weights(run)
        for sentence in damaged:
            warnings.warn(f"{sentence}; using step {checkpoint.step}", stacklevel=2)
    else:
        checkpoint = run.checkpoint(check_int("step", step, 0))
    config = run.config.model
    names = parameter_shapes(config, context=0, d_features=0, n_labels=0) | running_shapes(config)
    weights = {name: checkpoint.tensors[name].float() for name in names}
    return Model(config, weights, checkpoint.step, run.config.interventions)


def load_state(run: RunFolder, step: int, exemplars: Exemplars) -> State:
    """Return the state of a run after a step; a missing or damaged one raises `UserError`."""
    tensors = run.state(step).tensors
    names = [name for name in tensors if f"optimiser.square.{name}" in tensors]
    squares = {name: tensors[f"optimiser.square.{name}"] for name in names}
    config = run.config.model
    shapes = parameter_shapes(config, context=0, d_features=0, n_labels=0)
    return State(run.config, step, {name: tensors[name] for name in shapes}, squares, exemplars)


@SOURCES.register("run")
def read_source(checkpoint: str, step: int) -> Source:
    """Return the model in a weights file or in a run folder, there at a step (0: the newest)."""
    path = Path(checkpoint)
    if path.suffix != ".safetensors":
        run = load_run(path)
    else:
        run = load_run(path.parent.parent)
        named = [each for each in run.steps() if run.checkpoint_path(each).name == path.name]
        if not named:
            raise UsageError(
                "this is not a checkpoint; give RUN/checkpoints/step_....safetensors, or the run's "
                "folder"
            )
        (step,) = named
    if not step:
        return Source(load_model(run), run.config.run_id())
    file = run.checkpoint_path(step)
    changed_at = file.stat().st_mtime_ns if file.exists() else 0
    return Source(_model_at(run.path, step, changed_at), run.config.run_id())


@lru_cache(maxsize=4)
def _model_at(folder: Path, step: int, changed_at: int) -> Model:
    """Return the model at a step, kept for the next call until its file changes."""
    return load_model(folder, step)
