"""A run's curves as TensorBoard events (extra `tensorboard`)."""

from pathlib import Path

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.run_files import Row
from transformer.runs.folder import RunFolder
from transformer.runs.manifest import read_sessions

EVENTS = "events.out.tfevents."  # how TensorBoard's files begin


def write_tensorboard(run: RunFolder, folder: Path) -> None:
    """Write every metric as a scalar against the step, at the time when it was measured.

    Events that are in the folder already are replaced, so that a run that has gone on is shown by
    writing again.  A folder that holds anything else raises `UsageError`.
    """
    run.check_measured()
    old = _old_events(folder)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise UserError(
            "TensorBoard is not installed; pip install 'coopetition[tensorboard]'"
        ) from error
    rows = run.metrics()
    with SummaryWriter(str(folder)) as writer:
        for row, when in zip(rows, _times(run, rows), strict=True):
            for name, value in row.items():
                if name != "step" and value is not None:
                    writer.add_scalar(name, value, row["step"], walltime=when)
    for path in old:
        path.unlink()


def _old_events(folder: Path) -> list[Path]:
    """The event files in a folder that holds nothing else, or is not there."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")
    there = sorted(folder.iterdir())
    others = [path.name for path in there if not path.name.startswith(EVENTS)]
    if others:
        raise UsageError(
            f"--out {folder} holds {others[0]}, no file of TensorBoard's; name a new folder"
        )
    return there


def _times(run: RunFolder, rows: list[Row]) -> list[float]:
    """When each row was measured, in seconds since 1970.

    A session's rows follow its beginning by the seconds that it had trained.  A run of a version
    that recorded no sessions is taken to end when its metrics were last written.
    """
    seconds = [row["seconds"] or 0.0 for row in rows]
    sessions = read_sessions(run.path)
    if not sessions:
        end = run.metrics_path.stat().st_mtime
        return [end - seconds[-1] + each for each in seconds]

    def trained(until: int) -> float:
        """Seconds of training before a session that begins at a step."""
        done = [s for r, s in zip(rows, seconds, strict=True) if 0 < r["step"] <= until]
        return max(done, default=0.0)

    zeros = [(first, began - trained(first)) for first, began in sessions]
    return [
        # the last session that began before; step 0 is measured in one that begins there
        each + [zero for first, zero in zeros if first < row["step"] or first == 0][-1]
        for row, each in zip(rows, seconds, strict=True)
    ]
