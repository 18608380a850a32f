"""Which checkpoints a run keeps."""

from transformer.runs.ensemble import load_siblings
from transformer.runs.folder import RunFolder, resumable_together


def drop_superseded(runs: list[RunFolder], step: int) -> None:
    """Remove what `config.keep` does not ask for, now that runs trained as one have written a step.

    Nothing later is touched, and nothing without which they, and others in their folder that are
    not trained now, could not go on together.
    """
    needed = {step, _newest_in_common(runs[0], step)}
    for run in runs:
        weights, state = run.config.keep
        earlier = [each for each in run.steps() if each < step]
        kept = needed | {*run.config.checkpoint_at}
        kept.update(earlier if weights == "all" else earlier[::-1][: int(weights) - 1])
        for each in run.state_steps():
            if each < step and each not in (needed if state == "last" else kept):
                run.state_path(each).unlink(missing_ok=True)
        for each in earlier:
            if each not in kept:
                run.checkpoint_path(each).unlink(missing_ok=True)


def _newest_in_common(run: RunFolder, step: int) -> int:
    """The newest step, up to one, of which the whole ensemble has weights and state."""
    common = resumable_together(load_siblings(run))
    return next((each for each in common if each <= step), step)
