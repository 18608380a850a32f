"""Signals that end training in good order.

One session of training: an ensemble in memory, and the run folders that it fills.

Training without a folder, by a loop of one's own.

Training runs from their configs to their last step, with exact resume.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import Interrupted, UsageError, UserError
from coopetition.tools.files import write_all, write_npz
from transformer.config import RunConfig
from transformer.config.interventions import Intervention, check_interventions
from transformer.data.evaluators import draw_evaluation_sets
from transformer.data.exemplar_sets import Exemplars
from transformer.measures.metrics import means
from transformer.runs.checkpoint import Checkpoint
from transformer.runs.folder import (
    RunFolder,
    check_new_folder,
    check_together,
    create_ensemble,
    create_run,
    load_run,
    load_runs,
    lock_together,
    named_path,
    newest_checkpoint,
    newest_resumable,
    resumable_together,
    set_status_of,
)
from transformer.runs.manifest import begin_session, end_session
from transformer.runs.metrics import MetricsWriter, describe, first_missing, metrics_until
from transformer.runs.prepare import load_each, prepare
from transformer.runs.writer import CheckpointWriter
from transformer.training.ensemble import Ensemble, Metrics
from transformer.training.machine import Machine, keep_freed_memory

KINDS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that fills when SIGINT, SIGTERM or SIGHUP comes, so that a loop can end by itself.

    Outside the main thread, where Python takes no handlers, it stays empty; SIGHUP stays ignored
    where it is (`nohup`).
    """
    received: list[int] = []
    kinds = KINDS if threading.current_thread() is threading.main_thread() else ()
    before = {
        kind: signal.signal(kind, lambda number, _: received.append(number))
        for kind in kinds
        if kind == signal.SIGINT or signal.getsignal(kind) != signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


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


def in_memory(*configs: RunConfig, machine: Machine | None = None) -> Ensemble:
    """Runs at their first step; nothing is written.

    `advance()` makes a step of all of them, `metric_rows(evaluate())` gives what a run folder's
    metrics have, by number of the run, `model(number)` its transformer; `failures` tells which have
    diverged.  The steps, evaluations and batches are those of `train`, number for number; the
    configs' `n_steps` and `every` are the caller's to heed.  Both
    compute with `ensemble.machine.threads`, those that were found to be fastest.
    """
    check_together({f"run {number}": config for number, config in enumerate(configs)})
    machine = machine or Machine.choose(n_steps=configs[0].n_steps)
    ready, exemplars = prepare(list(configs), machine.device)
    ensemble = Ensemble(ready, exemplars, [draw_evaluation_sets(each) for each in ready], machine)
    ensemble.begin()
    ensemble.settle()
    return ensemble


class Diverged(UserError):
    """Some runs' losses became non-finite; `runs` are all that were trained together."""

    def __init__(self, message: str, runs: list[RunFolder]) -> None:
        super().__init__(message)
        self.runs = runs


def train(config: RunConfig, out: Path | str, machine: Machine | None = None) -> RunFolder:
    """Train a new run into the folder `out`.

    SIGINT, SIGTERM and SIGHUP end it after a checkpoint, with `Interrupted` (in the main thread:
    Python gives no other one signals); `resume` goes on from there, bit for bit as if it had not
    stopped (on a CPU with the same number of threads).
    """
    out = named_path(out)
    check_new_folder(out)
    machine = machine or Machine.choose(n_steps=config.n_steps)
    (config,), exemplars = prepare([config], machine.device)
    return _continue([create_run(out, config, machine)], exemplars)[0]


def train_together(
    configs: dict[str, RunConfig], out: Path | str, machine: Machine | None = None
) -> list[RunFolder]:
    """Train new runs as one, each into its own folder `out/NAME`.

    Each becomes what it would be alone, up to rounding.  One whose loss becomes not finite is given
    up; when the others are done, `Diverged` tells.
    """
    out = named_path(out)
    check_new_folder(out)
    check_together(configs)
    each = list(configs.values())
    machine = machine or Machine.choose(n_steps=each[0].n_steps)
    ready, exemplars = prepare(each, machine.device)
    runs = create_ensemble(out, dict(zip(configs, ready, strict=True)), machine)
    return _continue(runs, exemplars)


def resume(
    path: Path | str,
    *,
    n_steps: int | None = None,
    data_path: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    execution: str | None = None,
) -> list[RunFolder]:
    """Go on with a run, or the runs of an ensemble, from the newest sound checkpoint, if any.

    `n_steps` moves the end, so that a finished run can be trained further (it keeps the line of
    metrics at its old end, and the next mean loss begins there); the others replace what is
    recorded.
    """
    where = {"device": device, "threads": threads, "execution": execution}
    runs = [relocated(run, data_path=data_path, **where) for run in load_runs(Path(path))]
    if n_steps is None:  # one may have gone further alone
        n_steps = max(run.config.n_steps for run in runs)
    runs = [run.with_length(n_steps) for run in runs]
    check_together({run.path.name: run.config for run in runs})
    return _continue(runs)


def relocated(
    run: RunFolder,
    *,
    data_path: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    execution: str | None = None,
) -> RunFolder:
    """The run with its data elsewhere or on another machine, where that is given."""
    config, machine = run.config, run.machine
    if data_path is not None:
        if not hasattr(config.data.exemplars, "path"):
            raise UsageError(f"--data-path {data_path}: the exemplars of {run.path} are no file's")
        config = config.with_exemplars(path=str(Path(data_path).resolve()))
    machine = Machine.choose(
        machine.device if device is None else device,
        machine.threads if threads is None else threads,
        machine.execution if execution is None else execution,
        n_steps=config.n_steps,
    )
    return replace(run, config=config, machine=machine)


def train_or_resume(config: RunConfig, out: Path, machine: Machine | None = None) -> RunFolder:
    """The finished run of `config` in the folder `out`: trained, gone on with, or there already.

    What a machine leaves open is as recorded where the run is gone on with.  Raises `UsageError` if
    the folder holds another run, or a longer one.
    """
    if not (out / "manifest.json").exists():
        return train(config, out, machine)
    found = load_run(out).config
    expected = with_recorded_identity(config, found).run_id()
    if found.run_id() != expected or found.n_steps > config.n_steps:
        raise UsageError(f"{out} holds another run ({found.run_id()}); give another folder")
    if machine is None:
        return resume(out, n_steps=config.n_steps)[0]
    return resume(
        out,
        n_steps=config.n_steps,
        device=machine.device,
        threads=machine.threads,
        execution=None if machine.execution == "auto" else machine.execution,
    )[0]


def with_recorded_identity(config: RunConfig, found: RunConfig) -> RunConfig:
    """A config with what training filled in taken from the one that is kept, unless it says so."""
    for name in ("fingerprint", "made_by"):
        kept = getattr(found.data.exemplars, name, "")
        if kept and getattr(config.data.exemplars, name, None) == "":
            config = config.with_exemplars(**{name: kept})
    if config.start.given and not config.start.run_id:
        config = replace(config, start=replace(config.start, run_id=found.start.run_id))
    own, recorded = config.interventions, found.interventions
    if len(own) == len(recorded):
        filled = tuple(a.with_recorded_ids(b) for a, b in zip(own, recorded, strict=True))
        config = replace(config, interventions=filled)
    return config


def _continue(
    runs: list[RunFolder], exemplars: dict[str, Exemplars] | None = None
) -> list[RunFolder]:
    """Train until the last step; an ensemble's runs that have diverged are only carried along.

    They start anew then and their results are not looked at, but so the others' arithmetic is the
    same as before.
    """
    with lock_together(runs):
        if all(run.is_finished() for run in runs):
            return runs  # nothing to do, not even to look for their data
        given_up = {
            number: run.recorded()["message"]
            for number, run in enumerate(runs)
            if run.recorded()["status"] == "diverged"
        }
        if len(given_up) == len(runs):
            raise UserError(f"{runs[0].path}: {given_up[0]}; start anew")
        live = [run for number, run in enumerate(runs) if number not in given_up]
        if all(run.is_finished() for run in live):
            raise _diverged(runs, given_up)
        ensemble = Ensemble(
            [run.config for run in runs],
            exemplars or load_each([run.config for run in runs]),
            [run.evaluation_sets() for run in runs],
            live[0].machine,
        )
        ensemble.failures |= given_up
        session = Session(runs, ensemble)
        stop = session.train()
    if stop and ensemble.step < runs[0].config.n_steps:
        name = signal.Signals(stop[0]).name
        raise Interrupted(
            f"{runs[0].shared}: stopped by {name} at step {ensemble.step}; resume it", stop[0]
        )
    if ensemble.failures:
        raise _diverged(runs, ensemble.failures)
    return session.runs


def _diverged(runs: list[RunFolder], failures: dict[int, str]) -> Diverged:
    number, message = next(iter(failures.items()))
    others = f", first of {len(failures)} that diverged" if len(failures) > 1 else ""
    return Diverged(f"{runs[number].path}{others}: {message}", runs)


class Evaluated(NamedTuple):
    """A checkpoint on all evaluators."""

    step: int
    metrics: dict[str, dict[str, float | None]]
    """By evaluator and name."""
    acted: dict[Intervention, int]
    """How often each intervention acted, batches counted."""


def evaluate_checkpoint(
    run: RunFolder,
    step: int | None = None,
    *,
    interventions: tuple[Intervention, ...] = (),
    replace_own: bool = False,
) -> Evaluated:
    """Evaluate a checkpoint: the newest sound one, or that of `step`.

    Under `interventions`, and those that the run was trained under unless `replace_own`.
    """
    interventions = tuple(each.resolved() for each in interventions)
    own = () if replace_own else run.config.interventions
    check_interventions((*own, *interventions), run.config.model)
    if step is not None:
        checkpoint = run.checkpoint(step)
    else:
        checkpoint, damaged = newest_checkpoint(run)
        if checkpoint is None:
            if damaged:
                raise UserError(f"{run.path} has no sound checkpoint ({damaged[0]}); put one back")
            run.check_restart()
            raise UserError(f"{run.path} has no checkpoint yet; resume it until it has")
        warn_of(damaged)
    exemplars, sets = load_each([run.config]), [run.evaluation_sets()]
    ensemble = Ensemble([run.config], exemplars, sets, run.machine)
    ensemble.restore_weights(0, checkpoint)
    evaluated = ensemble.evaluate(interventions, replace_own)[0]
    table = {name: means(metrics) for name, metrics in evaluated.items()}
    return Evaluated(ensemble.step, table, dict(ensemble.acted))
