"""One session of training: a loop over steps that fills run folders, until the end or a signal."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from coopetition.tools.console import ProgressReport, print_progress
from coopetition.tools.files import write_all, write_npz
from coopetition.tools.signals import END_SIGNALS, handle_signals
from transformer.config import RunConfig
from transformer.runs.folder import RunFolder, set_status
from transformer.runs.layout import SEQUENCES
from transformer.runs.manifest import begin_session, end_session
from transformer.runs.metrics import append_row, metrics_until, summarise, sync
from transformer.runs.writer import CheckpointWriter
from transformer.training.ensemble import Checkpoint, Ensemble, Metrics
from transformer.training.machine import keep_freed_memory

STOP_SIGNALS = [signal.SIGINT, *END_SIGNALS]


class Session:
    """One session of training: an ensemble in memory, and the run folders that it fills."""

    def __init__(self, runs: list[RunFolder], ensemble: Ensemble) -> None:
        self.runs, self.ensemble = runs, ensemble
        self.checkpoints = CheckpointWriter(runs)
        self.seconds = 0.0  # of training before this session

    @property
    def _live(self) -> list[RunFolder]:
        return [self.runs[number] for number in self.ensemble.live]

    def train(self, states: dict[int, Checkpoint]) -> list[int]:
        """Train until the last step or a stop signal, or until no run is left.

        Parameters
        ----------
        states : what the live runs continue from, by number; none at the start

        Returns
        -------
        The signals received
        """
        ensemble = self.ensemble
        _warn_of_unreached(ensemble.config)
        if states:
            print_progress(f"continuing from step {ensemble.step}")
        else:
            _report_restart(self._live)
        done = ensemble.step if states else -1
        kept = {run.metrics_path: metrics_until(run.metrics_path, done) for run in self._live}
        self.seconds = max(seconds for seconds, _ in kept.values())
        self._set_status("running", "")
        try:
            write_all({path: content for path, (_, content) in kept.items()})
            self.checkpoints.begin(ensemble.live, states)
            keep_freed_memory()
            why = ensemble.choose_execution()
            self.runs = [replace(run, machine=ensemble.machine) for run in self.runs]
            configs = {run.path: run.config for run in self._live}
            begin_session(configs, ensemble.machine, why, ensemble.step)
            with catch_stop_signals() as stop:  # earlier ones end it at once: nothing is to be kept
                self._loop(stop)
        except KeyboardInterrupt:
            self._set_status("interrupted", f"stopped before step {ensemble.step + 1}; resume it")
            raise
        except BaseException as error:
            self._set_status("failed", str(error) or type(error).__name__)
            raise
        if ensemble.step == ensemble.config.n_steps:
            self._set_status("finished", f"all {ensemble.step} steps done")
        else:
            message = f"stopped on request at step {ensemble.step}; resume it"
            self._set_status("interrupted", message)
        return stop

    def _set_status(self, status: str, message: str) -> None:
        set_status(self._live, status, message)

    def _loop(self, stop: list[int]) -> None:
        """Train, evaluate and write checkpoints by the config's schedule."""
        ensemble, config = self.ensemble, self.ensemble.config
        self._start = time.monotonic()
        with ProgressReport("train", config.n_steps, "steps", done=ensemble.step) as progress:
            if ensemble.step == 0:
                self._evaluate()
            elif ensemble.step == config.n_steps and not self._is_measured():
                self._evaluate()  # the end was moved to where the run had been stopped
                self._write_checkpoints()
            while ensemble.step < config.n_steps and ensemble.live and not stop:
                ensemble.advance()
                note = self._evaluate() if ensemble.is_evaluation(ensemble.step) else None
                if config.is_checkpoint(ensemble.step):
                    self._write_checkpoints()
                progress.advance(note=note)
            if stop and ensemble.step and not config.is_checkpoint(ensemble.step):
                self._write_checkpoints()
        self._sync_metrics()
        end_session([run.path for run in self._live], ensemble.step)

    def _is_measured(self) -> bool:
        """Return whether the metrics have a line of this step."""
        return self._live[0].metrics()[-1]["step"] == self.ensemble.step

    def _evaluate(self) -> str:
        """Append lines of metrics; return them in a few words."""
        evaluated = self.ensemble.evaluate()
        rows = self.ensemble.metric_rows(evaluated)
        self._record_failures()
        seconds = round(self.seconds + time.monotonic() - self._start, 3)
        for number, row in rows.items():
            run = self.runs[number]
            run.check_exists()
            if run.config.evaluation.per_sequence:
                self._write_by_sequence(run, evaluated[number])
            append_row(run.metrics_path, row | {"seconds": seconds})
        return summarise(rows.values()) if rows else "diverged"

    def _write_by_sequence(self, run: RunFolder, by_sequence: Metrics) -> None:
        arrays = {
            f"{name}/{metric}": values.cpu().numpy()
            for name, metrics in by_sequence.items()
            for metric, values in metrics.items()
        }
        write_npz(run.path / SEQUENCES / f"step_{self.ensemble.step:09d}.npz", **arrays)

    def _write_checkpoints(self) -> None:
        """Write the states of the live runs, after the record of those that have diverged."""
        states = self.ensemble.states()
        self._record_failures()
        for number in states:
            self.runs[number].check_exists()
        self._sync_metrics()  # a resume needs the lines before its checkpoint
        if states:
            self.checkpoints.write(states)

    def _sync_metrics(self) -> None:
        sync(run.metrics_path for run in self._live)

    def _record_failures(self) -> None:
        """Record diverged runs, so that a resume does not wait for them."""
        for number, message in self.ensemble.failures.items():
            run = self.runs[number]
            if run.has_diverged():
                continue
            steps = run.steps()
            kept = f" (checkpoints up to step {steps[-1]} are kept)" if steps else ""
            run.check_exists()
            set_status([run], "diverged", message + kept, self.ensemble.step)
            end_session([run.path], self.ensemble.step)


def _report_restart(runs: list[RunFolder]) -> None:
    """Report sessions that left no checkpoint, so that their steps are done again."""
    begun = [run for run in runs if run.recorded_status()["status"] in ("running", "failed")]
    if begun:
        done = max((row["step"] for run in begun for row in run.metrics()), default=0)
        print(
            f"note: {begun[0].shared} was stopped before its first checkpoint (its metrics reach "
            f"step {done}); training starts again at step 0",
            file=sys.stderr,
        )


def _warn_of_unreached(config: RunConfig) -> None:
    """Warn of checkpoints that are asked for beyond the last step."""
    if beyond := [step for step in config.checkpoint_at if step > config.n_steps]:
        print(
            f"warning: checkpoint_at names step {min(beyond)}, but the run ends at step "
            f"{config.n_steps}; only a longer run reaches it",
            file=sys.stderr,
        )


@contextmanager
def catch_stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP in a list, so that a loop can end by itself.

    Outside the main thread, where Python accepts no handlers, it stays empty.  An ignored SIGHUP
    stays ignored (`nohup`).
    """
    received: list[int] = []
    kinds = STOP_SIGNALS if threading.current_thread() is threading.main_thread() else []
    with handle_signals(kinds, lambda number, _: received.append(number)):
        yield received
