"""Models of runs: read from checkpoints, to be analysed or grafted from."""

import warnings
from pathlib import Path

from coopetition.tools.checks import check_int
from coopetition.tools.errors import UsageError
from transformer.model.loaded import Model
from transformer.model.parameters import parameter_shapes, running_shapes
from transformer.runs.folder import RunFolder, load_run, newest_checkpoint


def load_model(run: RunFolder | Path | str, step: int | None = None) -> Model:
    """Return the model of a run, or of the run in a folder, after a step (default: the newest).

    Its weights are float32 and on the CPU, whatever precision and device the run was trained with.
    A step without a checkpoint raises `UsageError`, a damaged one `UserError`; without `step`,
    damaged checkpoints are skipped with a warning.
    """
    if not isinstance(run, RunFolder):
        run = load_run(run)
    if step is None:
        checkpoint, damaged = newest_checkpoint(run)
        if checkpoint is None:
            why = f": {damaged[-1]}" if damaged else "; train it until it has one"
            raise UsageError(f"{run.path} has no sound checkpoint{why}")
        for sentence in damaged:
            warnings.warn(f"{sentence}; using the one before it", stacklevel=2)
    else:
        checkpoint = run.checkpoint(check_int("step", step, 0))
    config = run.config.model
    names = parameter_shapes(config, context=0, d_features=0, n_labels=0) | running_shapes(config)
    weights = {name: checkpoint.tensors[name].float() for name in names}
    return Model(config, weights, checkpoint.step, run.config.interventions)
