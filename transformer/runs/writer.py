"""Writing checkpoints of runs that are trained together, and removing superseded ones."""

from pathlib import Path

from coopetition.tools.files import write_all
from transformer.runs.checkpoint import serialise, serialise_together, weights_of
from transformer.runs.folder import RunFolder
from transformer.runs.layout import CHECKPOINTS, STATES, list_steps, step_file
from transformer.training.ensemble import Checkpoint


def write_states(folder: Path, runs: list[RunFolder], states: list[Checkpoint]) -> None:
    """Write states of one step, then their weights, into the folder of a run or its ensemble.

    After a kill between the two, the weights are written again from the state.
    """
    weights = [
        weights_of(state, half=run.config.keep_half)
        for run, state in zip(runs, states, strict=True)
    ]

    def content(checkpoints: list[Checkpoint]) -> bytes:
        if folder == runs[0].path:
            return serialise(checkpoints[0])
        names = [run.path.name for run in runs]
        return serialise_together(dict(zip(names, checkpoints, strict=True)))

    step = states[0].step
    write_all(
        {
            step_file(folder, STATES, step): content(states),
            step_file(folder, CHECKPOINTS, step): content(weights),
        }
    )


class CheckpointWriter:
    """Write one file of weights and one of state a step, for all runs together.

    Parameters
    ----------
    runs : a single run, or all runs of an ensemble; files go into their shared folder
    """

    def __init__(self, runs: list[RunFolder]) -> None:
        self.runs = runs
        self.folder = runs[0].path if len(runs) == 1 else runs[0].shared

    def begin(self, live: list[int], states: dict[int, Checkpoint]) -> None:
        """Prepare the files of runs that continue from states; none at the start.

        Missing files of that step, and damaged weights, are written again; sound ones stay, since
        they may also hold a run that diverged later.  What runs of an ensemble trained alone from
        this step on is removed: a resume of all reads the ensemble's files.
        """
        step = next((state.step for state in states.values()), -1)
        first, is_single = self.runs[0], len(self.runs) == 1
        # a single run may continue from a step of its ensemble
        existing = (
            (first.steps(), first.state_steps())
            if is_single
            else (list_steps(self.folder, kind) for kind in (CHECKPOINTS, STATES))
        )
        is_sound = all(self.runs[number].is_sound(step) for number in states)
        if not is_sound or (states and any(step not in steps for steps in existing)):
            self._write(states)
        for run in () if is_single else (self.runs[number] for number in live):
            _remove(run.path, STATES, {*list_steps(run.path, STATES)})
            later = {each for each in list_steps(run.path, CHECKPOINTS) if each >= step}
            _remove(run.path, CHECKPOINTS, later)
        if states:  # a kill may have come before superseded files were removed
            self._drop_superseded(step)

    def write(self, states: dict[int, Checkpoint]) -> None:
        """Write the states of a step, by run, and their weights; remove what they supersede."""
        self._write(states)
        self._drop_superseded(next(iter(states.values())).step)

    def _write(self, states: dict[int, Checkpoint]) -> None:
        write_states(self.folder, [self.runs[number] for number in states], [*states.values()])

    def _drop_superseded(self, step: int) -> None:
        """Remove earlier steps that no run's `keep` asks for."""
        earlier = [each for each in list_steps(self.folder, CHECKPOINTS) if each < step]
        kept: dict[str, set[int]] = {CHECKPOINTS: set(), STATES: set()}
        for weights, state in {run.config.keep for run in self.runs}:
            own = {*self.runs[0].config.checkpoint_at}
            own.update(earlier if weights == "all" else earlier[::-1][: int(weights) - 1])
            kept[CHECKPOINTS] |= own
            kept[STATES] |= own if state == "all" else set()
        for kind, steps in kept.items():
            old = {each for each in list_steps(self.folder, kind) if each < step}
            _remove(self.folder, kind, old - steps)


def _remove(folder: Path, kind: str, steps: set[int]) -> None:
    for step in steps:
        step_file(folder, kind, step).unlink(missing_ok=True)
