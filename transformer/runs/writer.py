"""Writing the checkpoints of runs that are trained as one, and removing those not to be kept."""

import sys

from transformer.runs.checkpoint import Checkpoint
from transformer.runs.folder import CHECKPOINTS, STATES, RunFolder, file_of, steps_in, write_states


class CheckpointWriter:
    """Writes one file of weights and one of state a step, for all runs together.

    It remembers which steps are on disk: nothing else writes there while the runs are locked.

    Parameters
    ----------
    runs : a single run, whose folder it writes into, or all runs of an ensemble
    """

    def __init__(self, runs: list[RunFolder]) -> None:
        self.runs = runs
        self.folder = runs[0].path if len(runs) == 1 else runs[0].shared
        self._steps = {kind: {*steps_in(self.folder, kind)} for kind in (CHECKPOINTS, STATES)}

    def begin(self, live: list[int], states: dict[int, Checkpoint]) -> None:
        """Complete the files of the step that the live runs continue from; no states at the start.

        Weights that are damaged are written again.  What runs of an ensemble trained alone beyond
        this step is removed, with their own states: a resume of all reads the ensemble's.
        """
        step = next((state.step for state in states.values()), -1)
        unsound = [run for run in (self.runs[n] for n in states) if not run.is_sound(step)]
        for run in unsound:
            path = run.checkpoint_path(step)
            print(f"warning: checkpoint {path} is damaged; written again", file=sys.stderr)
        together = self.folder != self.runs[0].path
        first = self.runs[0]
        there = self._steps.values() if together else (first.steps(), first.state_steps())
        if states and (unsound or any(step not in each for each in there)):
            self._write(states)
        if together:
            for run in (self.runs[number] for number in live):
                _remove(run, STATES, steps_in(run.path, STATES))
                _remove(run, CHECKPOINTS, [s for s in steps_in(run.path, CHECKPOINTS) if s >= step])
        if states:  # a kill may have come before the files that they supersede were removed
            self._drop_superseded(step)

    def write(self, states: dict[int, Checkpoint]) -> None:
        """Write the states of a step, by run, and their weights; remove what they supersede."""
        self._write(states)
        self._drop_superseded(next(iter(states.values())).step)

    def _write(self, states: dict[int, Checkpoint]) -> None:
        write_states(self.folder, [self.runs[number] for number in states], [*states.values()])
        for steps in self._steps.values():
            steps.add(next(iter(states.values())).step)

    def _drop_superseded(self, step: int) -> None:
        """Remove what no run's `keep` asks for of the steps before this one."""
        earlier = sorted(each for each in self._steps[CHECKPOINTS] if each < step)
        kept: dict[str, set[int]] = {CHECKPOINTS: set(), STATES: set()}
        for weights, state in {run.config.keep for run in self.runs}:
            own = {*self.runs[0].config.checkpoint_at}
            own.update(earlier if weights == "all" else earlier[::-1][: int(weights) - 1])
            kept[CHECKPOINTS] |= own
            kept[STATES] |= own if state == "all" else set()
        for kind, steps in self._steps.items():
            for each in {old for old in steps if old < step} - kept[kind]:
                file_of(self.folder, kind, each).unlink(missing_ok=True)
                steps.remove(each)


def _remove(run: RunFolder, kind: str, steps: list[int]) -> None:
    """Remove files from a run's own folder."""
    for step in steps:
        file_of(run.path, kind, step).unlink(missing_ok=True)
