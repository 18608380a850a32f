"""A run's curves as TensorBoard events (extra `tensorboard`)."""

from pathlib import Path

from coopetition.tools.errors import UsageError, UserError
from transformer.runs.folder import RunFolder


def write_tensorboard(run: RunFolder, folder: Path) -> None:
    """Write every metric as a scalar against the step, into a folder that must be new.

    TensorBoard appends and cannot replace: to look at a run that has gone on, write again elsewhere
    or remove the folder first.
    """
    run.check_measured()
    if folder.exists():
        raise UsageError(f"--out {folder} exists already; name a new folder, or remove it")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise UserError(
            "TensorBoard is not installed; pip install 'coopetition[tensorboard]'"
        ) from error
    with SummaryWriter(str(folder)) as writer:
        for row in run.metrics():
            for name, value in row.items():
                if name != "step" and value is not None:
                    writer.add_scalar(name, value, row["step"])
