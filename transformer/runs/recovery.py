"""Which checkpoints of runs are sound, and from which step training continues.

`show` reports what `resume` does: both ask `plan_recovery`.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from coopetition.tools.errors import UserError
from transformer.runs.checkpoint import DamagedCheckpoint, MissingCheckpoint
from transformer.runs.folder import RunFolder
from transformer.runs.layout import STATES
from transformer.runs.manifest import has_trained, read_record
from transformer.runs.metrics import first_missing, whole_lines
from transformer.training.ensemble import Checkpoint


class Recovery(NamedTuple):
    """How runs that are trained together continue."""

    states: list[Checkpoint]
    """The state of each run from which it continues; none: from step 0, or not at all."""
    problems: list[str]
    """A sentence for each file that is damaged or missing."""
    refusal: str
    """Why the runs cannot continue; empty if they can."""

    @property
    def step(self) -> int | None:
        """The step from which the runs continue; None if they cannot."""
        if self.states:
            return self.states[0].step
        return None if self.refusal else 0


def plan_recovery(runs: list[RunFolder]) -> Recovery:
    """Return how runs that are trained together continue.

    They continue from the newest step of which all have an undamaged state, and all metrics until
    then; without any state from step 0, unless that would overwrite trained weights or metrics.
    """
    missing, path = min((_first_missing(run), run.metrics_path) for run in runs)
    steps = sorted(set.intersection(*({*run.state_steps()} for run in runs)))
    usable = [step for step in steps if step < missing]
    states, problems = _first_sound(usable[::-1], lambda step: [run.state(step) for run in runs])
    if steps[-1:] != usable[-1:]:
        gap = f"{path} lacks a whole line of step {missing}, needed by the state of {steps[-1]}"
        problems.append(gap)
    if problems and not states:
        refusal = f"{problems[-1]}, and there is no other state; restore it, or start anew"
        return Recovery([], problems, f"{refusal} in another folder")
    for run in runs:
        problems += _newest_sound_weights(run)[1]
        if states and states[0].step not in run.steps():
            problems.append(f"{run.checkpoint_path(states[0].step)} is missing")
    without_state_first = [] if states else sorted(runs, key=lambda run: bool(run.state_steps()))
    refusal = next(filter(None, map(_why_no_restart, without_state_first)), "")
    return Recovery(states, [*dict.fromkeys(problems)], refusal)


def _first_missing(run: RunFolder) -> int:
    """Return the first evaluated step without metrics; the last is that on disk."""
    last = read_record(run.path)[0].n_steps  # `resume` may have moved that of the config
    return first_missing(run.metrics_path, run.config.evaluation.every, last)


def _why_no_restart(run: RunFolder) -> str:
    """Say why training cannot start from step 0: it would overwrite trained weights or metrics.

    Weights must have existed if a session ended in good order or began at a checkpoint, or if the
    metrics go beyond the first scheduled checkpoint.
    """
    if states := run.state_steps():
        return (
            f"{run.path} has a state of step {states[-1]}, but not all runs of its ensemble have "
            "one; put theirs back, or resume the runs one by one"
        )
    if weights := run.steps():
        return (
            f"{run.path} has weights of step {weights[-1]} but no state to resume from; put its "
            f"{STATES}/ back, or train a new run from the weights (--start.path {run.path} "
            f"--start.step {weights[-1]})"
        )
    try:
        measured = max((row["step"] for row in run.metrics()), default=0)
    except UserError as error:  # a damaged line, before others that a restart would overwrite
        return str(error)
    had_weights = (
        run.recorded_status()["status"] in ("finished", "interrupted", "diverged")
        or has_trained(run.path)
        or any(map(run.config.is_checkpoint, range(1, measured)))
    )
    if measured and had_weights:
        return (
            f"{run.path} has metrics up to step {measured} but no checkpoint to resume from; put "
            f"its {STATES}/ back, or train the run anew in another folder"
        )
    return ""


def newest_weights(run: RunFolder) -> tuple[Checkpoint, list[str]]:
    """Return the newest undamaged weights, and a sentence for each newer file that is damaged.

    Raises `UserError` if there are none.
    """
    newest, damaged = _newest_sound_weights(run)
    if newest is None:
        why = damaged[0] if damaged else _why_no_restart(run) or "resume it until it has one"
        raise UserError(f"{run.path} has no sound checkpoint: {why}")
    return newest, damaged


def _newest_sound_weights(run: RunFolder) -> tuple[Checkpoint | None, list[str]]:
    while True:
        try:
            newest, damaged = _first_sound(run.steps()[::-1], lambda step: [run.checkpoint(step)])
        except MissingCheckpoint:
            continue  # the process that trains the run has just removed it for a newer one
        return (newest[0] if newest else None), damaged


def _first_sound(
    steps: Iterable[int], read: Callable[[int], list[Checkpoint]]
) -> tuple[list[Checkpoint], list[str]]:
    """Read the first step that is undamaged; also return what is damaged, as sentences."""
    damaged = []
    for step in steps:
        try:
            return read(step), damaged
        except DamagedCheckpoint as error:
            damaged.append(str(error))
    return [], damaged


def read_statuses(runs: list[RunFolder]) -> list[dict[str, Any]]:
    """Return the status of each run that `resume` continues together, for people and programs.

    A run that cannot continue because a file is damaged or missing has the status `damaged`.
    `step` is that of the last metrics, `checkpoint` that of the newest undamaged weights, and
    `resumes_from` that from which `resume` continues; None while a process trains the run, or if
    it cannot continue.
    """
    current = [run.current_status() for run in runs]
    live = [run for run, own in zip(runs, current, strict=True) if own["status"] != "diverged"]
    is_running = any(own["status"] == "running" for own in current)
    recovery = _plan_resume(live) if live and not is_running else None
    return [_status(run, own, recovery) for run, own in zip(runs, current, strict=True)]


def _plan_resume(runs: list[RunFolder]) -> Recovery:
    """Return how `resume` continues runs; a refusal is a problem unless all are finished."""
    try:
        is_finished = all(run.is_finished() for run in runs)
        recovery = plan_recovery(runs)
    except UserError as error:  # a damaged line of metrics
        return Recovery([], [str(error)], str(error))
    if recovery.refusal and not (recovery.problems or is_finished):
        return recovery._replace(problems=[recovery.refusal])
    return recovery


def _status(run: RunFolder, current: dict[str, str], recovery: Recovery | None) -> dict[str, Any]:
    newest, damaged = _newest_sound_weights(run)
    status, message, problems = current["status"], current["message"], damaged
    if status == "diverged":
        recovery = None
    if recovery:
        problems = recovery.problems
        if recovery.refusal and (problems or status != "finished"):
            status, message = "damaged" if problems else status, recovery.refusal
    lines = whole_lines(run.metrics_path)
    return {
        "status": status,
        "message": message,
        "damaged": problems,
        "step": lines[-1][0]["step"] if lines else None,
        "checkpoint": newest.step if newest else None,
        "resumes_from": recovery.step if recovery else None,
        "n_steps": run.config.n_steps,
        "latest_checkpoint": str(run.checkpoint_path(newest.step)) if newest else None,
        "run_id": run.config.run_id(),
    }


def print_problems(problems: list[str]) -> None:
    """Print problems with files that are not used."""
    for sentence in problems:
        print(f"warning: {sentence}", file=sys.stderr)
