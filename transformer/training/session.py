"""One session of training: an ensemble in memory, and the run folders that it fills."""

import sys
import time
from dataclasses import replace
from pathlib import Path

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UserError
from coopetition.tools.files import write_all, write_npz
from transformer.config import RunConfig
from transformer.runs.checkpoint import Checkpoint
from transformer.runs.folder import RunFolder, newest_resumable, resumable_together, set_status_of
from transformer.runs.machine import keep_freed_memory
from transformer.runs.manifest import begin_session, end_session
from transformer.runs.metrics import MetricsWriter, describe, first_missing, metrics_until
from transformer.runs.writer import CheckpointWriter
from transformer.training.ensemble import Ensemble, Metrics
from transformer.training.interruption import stop_signals


class Session:
    """One session of training: an ensemble in memory, and the run folders that it fills."""

    def __init__(self, runs: list[RunFolder], ensemble: Ensemble) -> None:
        self.runs, self.ensemble = runs, ensemble
        self.checkpoints, self.metrics = CheckpointWriter(runs), MetricsWriter()
        self.seconds = 0.0  # in training, before this session

    def train(self) -> list[int]:
        """Train until the last step, a stop signal, or until no run is left; the signals."""
        ensemble = self.ensemble
        _warn_of_unreached(ensemble.configs[0])
        kept, states = self._begin()
        self._set_status("running", "")
        try:
            write_all(kept)
            self.checkpoints.begin(ensemble.live, states)
            keep_freed_memory()
            machine, why = ensemble.settle()
            self.runs = [replace(run, machine=machine) for run in self.runs]
            configs = {self.runs[n].path: self.runs[n].config for n in ensemble.live}
            begin_session(configs, machine, why, ensemble.step)
            with stop_signals() as stop:  # before, nothing is to be saved: they end it at once
                self._loop(stop)
        except KeyboardInterrupt:
            self._set_status("interrupted", f"stopped before step {ensemble.step + 1}; resume it")
            raise
        except BaseException as error:
            self._set_status("failed", str(error) or type(error).__name__)
            raise
        step = ensemble.step
        if step == ensemble.configs[0].n_steps:
            self._set_status("finished", f"all {step} steps done")
        else:
            self._set_status("interrupted", f"stopped on request at step {step}; resume it")
        return stop

    def _set_status(self, status: str, message: str) -> None:
        """Of the runs that have not failed, and are where they were."""
        set_status_of([self.runs[number] for number in self.ensemble.live], status, message)

    def _begin(self) -> tuple[dict[Path, bytes], dict[int, Checkpoint]]:
        """Put the ensemble where its runs start or go on.

        Their metrics until then, by file, and their states there, by run, if there are any.
        """
        ensemble = self.ensemble
        live = [self.runs[number] for number in ensemble.live]
        states = _restore_newest(ensemble, self.runs)
        done = ensemble.step
        if not states:
            for run in sorted(live, key=lambda run: run.resumable_step() is not None):
                run.check_restart()  # first those that lack something
            ensemble.begin()
            done = -1
            _report_restart(live)
        else:
            print(f"continuing from step {done}", file=sys.stderr)
        kept = {run.metrics_path: metrics_until(run.metrics_path, done) for run in live}
        self.seconds = max(seconds for seconds, _ in kept.values())
        return {path: content for path, (_, content) in kept.items()}, states

    def _loop(self, stop: list[int]) -> None:
        ensemble, start = self.ensemble, time.monotonic()
        config = ensemble.configs[0]  # its schedule is all runs'
        with ProgressReport("train", config.n_steps, "steps", done=ensemble.step) as progress:

            def evaluate() -> str:
                """Append lines of metrics; how the runs stand, in words."""
                evaluated = ensemble.evaluate()
                rows = ensemble.metric_rows(evaluated)
                self._record_failures()
                for number, row in rows.items():
                    run = self.runs[number]
                    run.check_there()
                    if ensemble.configs[number].evaluation.per_sequence:
                        self._write_by_sequence(number, evaluated[number])
                    seconds = self.seconds + time.monotonic() - start
                    self.metrics.append(run.metrics_path, row | {"seconds": round(seconds, 3)})
                return describe(rows.values()) if rows else "diverged"

            if ensemble.step == 0:
                evaluate()
            while ensemble.step < config.n_steps and ensemble.live and not stop:
                ensemble.advance()
                note = evaluate() if ensemble.is_evaluation(ensemble.step) else None
                if config.is_checkpoint(ensemble.step):
                    self._write_checkpoints()
                progress.advance(note=note)
            if stop and ensemble.step and not config.is_checkpoint(ensemble.step):
                self._write_checkpoints()
        self.metrics.sync()
        end_session([self.runs[number].path for number in ensemble.live], ensemble.step)

    def _write_by_sequence(self, number: int, by_sequence: Metrics) -> None:
        arrays = {
            f"{name}/{metric}": values.cpu().numpy()
            for name, metrics in by_sequence.items()
            for metric, values in metrics.items()
        }
        step = self.ensemble.step
        write_npz(self.runs[number].path / "sequences" / f"step_{step:09d}.npz", **arrays)

    def _write_checkpoints(self) -> None:
        """Of all that live; a run that has diverged is on record before another's is written."""
        checkpoints = self.ensemble.checkpoints()
        self._record_failures()
        for number in checkpoints:
            self.runs[number].check_there()
        self.metrics.sync()  # a resume needs the lines before its checkpoint
        if checkpoints:
            self.checkpoints.write(checkpoints)

    def _record_failures(self) -> None:
        """So that a resume, whatever ends this session, does not wait for a diverged run."""
        for number, message in self.ensemble.failures.items():
            run = self.runs[number]
            if run.recorded()["status"] == "diverged":
                continue
            steps = run.steps()
            kept = f" (checkpoints up to step {steps[-1]} are kept)" if steps else ""
            run.set_status("diverged", message + kept, self.ensemble.step)
            end_session([run.path], self.ensemble.step)


def _restore_newest(ensemble: Ensemble, runs: list[RunFolder]) -> dict[int, Checkpoint]:
    """Put an ensemble where its live runs can go on; their states there, none if there are none.

    That is the newest step of which all have a sound state, and all metrics until then.
    Warns about what is damaged; if nothing sound is left, raises `UserError`.
    """
    live = [runs[number] for number in ensemble.live]
    every = ensemble.configs[0].evaluation.every
    missing, path = min((first_missing(run.metrics_path, every), run.metrics_path) for run in live)
    newest, damaged = newest_resumable(live, up_to=missing - 1)
    if damaged and not newest:
        raise UserError(
            f"{damaged[-1]}, and there is no other to go on from; restore it, or start anew in "
            "another folder"
        )
    warn_of(damaged)
    last = next(resumable_together(live), -1)
    if last >= missing and not newest:
        raise UserError(
            f"{path} lacks a whole line of step {missing}, which the checkpoint of step {last} "
            "comes after; restore the file, or start anew in another folder"
        )
    if last >= missing:
        print(
            f"warning: {path} lacks a whole line of step {missing}; going on from the checkpoint "
            f"of step {newest[0].step} before it",
            file=sys.stderr,
        )
    states = dict(zip(ensemble.live, newest, strict=False))
    for number, state in states.items():
        ensemble.restore(number, state)
    return states


def _report_restart(runs: list[RunFolder]) -> None:
    """Say so if a session began before and left no checkpoint: its steps are done again."""
    begun = [run for run in runs if run.recorded()["status"] in ("running", "failed")]
    if begun:
        done = max((row["step"] for run in begun for row in run.metrics()), default=0)
        print(
            f"note: {begun[0].shared} was stopped before its first checkpoint (its metrics reach "
            f"step {done}); training starts again at step 0",
            file=sys.stderr,
        )


def _warn_of_unreached(config: RunConfig) -> None:
    """Tell of checkpoints that are asked for beyond the last step."""
    if beyond := [step for step in config.checkpoint_at if step > config.n_steps]:
        print(
            f"warning: checkpoint_at names step {min(beyond)}, but the run ends at step "
            f"{config.n_steps}; only a longer run reaches it",
            file=sys.stderr,
        )


def warn_of(damaged: list[str]) -> None:
    """Tell of checkpoints that are passed over."""
    for sentence in damaged:
        print(f"warning: {sentence}; using the one before it", file=sys.stderr)
