"""Training runs from their configs to their last step, with exact resume."""

import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from coopetition.tools.console import ProgressReport, print_progress
from coopetition.tools.errors import Interrupted, UsageError, UserError
from coopetition.tools.files import check_writable, write_all, write_npz
from coopetition.tools.signals import END_SIGNALS, handle_signals
from transformer.config import RunConfig
from transformer.config.interventions import Intervention, check_interventions
from transformer.config.variants import check_together
from transformer.data.evaluators import draw_evaluation_sets
from transformer.measures.metrics import evaluate, means
from transformer.model.hooks import Intervened
from transformer.runs.folder import (
    RunFolder,
    check_new_folder,
    create_ensemble,
    create_run,
    explain_write_errors,
    load_run,
    load_runs,
    lock,
    remove_unless_begun,
    set_status,
)
from transformer.runs.layout import MANIFEST, SEQUENCES
from transformer.runs.manifest import begin_session, end_session
from transformer.runs.metrics import append_row, metrics_until, summarise, sync
from transformer.runs.prepare import prepare, resolve_recorded
from transformer.runs.recovery import newest_weights, plan_recovery
from transformer.runs.writer import CheckpointWriter
from transformer.training.cost import all_shapes
from transformer.training.ensemble import Checkpoint, Ensemble, Metrics, ResolvedRun
from transformer.training.machine import Machine, choose_device, dtype_of, keep_freed_memory

STOP_SIGNALS = [signal.SIGINT, *END_SIGNALS]


class Diverged(UserError):
    """The loss of some runs became non-finite; `runs` are all that were trained together."""

    def __init__(self, message: str, runs: list[RunFolder]) -> None:
        super().__init__(message)
        self.runs = runs


def train(config: RunConfig, out: Path | str, machine: Machine | None = None) -> RunFolder:
    """Train a new run into the folder `out`.

    SIGINT, SIGTERM and SIGHUP end it after a checkpoint, with `Interrupted` (in the main thread:
    Python delivers signals to no other).  `resume` continues bit for bit as if the run had not
    stopped, on a CPU with the same number of threads.
    """
    return _train_new({"": config}, out, machine)[0]


def train_together(
    configs: dict[str, RunConfig], out: Path | str, machine: Machine | None = None
) -> list[RunFolder]:
    """Train new runs together, each into its own folder `out/NAME`.

    Each becomes what it would be alone, up to rounding.  A run whose loss becomes non-finite is
    given up; when the others are done, `Diverged` reports it.
    """
    check_together(configs)
    return _train_new(configs, out, machine)


def _train_new(
    configs: dict[str, RunConfig], out: Path | str, machine: Machine | None
) -> list[RunFolder]:
    """Train new runs into a folder; a single one is named ""."""
    out = Path(out)
    out = out.resolve() if out.name in ("", "..") else out  # `.` and `..` have no name or parent
    check_new_folder(out)
    check_writable(out / MANIFEST)
    machine = machine or Machine.choose(n_steps=next(iter(configs.values())).n_steps)
    try:
        resolved = prepare([*configs.values()], machine)
    except KeyboardInterrupt as error:
        number = getattr(error, "exit_code", 128 + signal.SIGINT) - 128
        raise Interrupted("interrupted; nothing was written: start again", number) from error
    named = {name: each.config for name, each in zip(configs, resolved, strict=True)}
    runs = (
        [create_run(out, named[""], machine)]
        if "" in named
        else create_ensemble(out, named, machine)
    )
    return _continue(runs, resolved)


def in_memory(*configs: RunConfig, machine: Machine | None = None) -> Ensemble:
    """Return runs at their first step, to be trained by your own loop; nothing is written.

    `advance()` trains a step of all runs, `metric_rows(evaluate())` returns their metrics by number
    of the run, `model(number)` a transformer; `failures` says which have diverged.  Steps,
    evaluations and batches are those of `train`, number for number.  Your loop decides about
    `n_steps` and `evaluation.every`.
    """
    check_together({f"run {number}": config for number, config in enumerate(configs)})
    machine = machine or Machine.choose(n_steps=configs[0].n_steps)
    resolved = [
        replace(each, evaluation_sets=draw_evaluation_sets(each.config))
        for each in prepare(configs, machine)
    ]
    ensemble = Ensemble(resolved, machine)
    ensemble.choose_execution()
    return ensemble


def resume(
    path: Path | str,
    *,
    n_steps: int | None = None,
    planned: Mapping[str, RunConfig] | None = None,
    **place: Any,
) -> list[RunFolder]:
    """Continue a run, or the runs of an ensemble, from the newest undamaged checkpoint, if any.

    `n_steps` moves the end, so that a finished run can be trained further.  It keeps the metrics at
    its old end, and the next mean loss begins there.  `planned`: configs by the runs' names, as for
    `train_together`, whose checkpoint schedule replaces the recorded one (a single run is named
    "").  `place`: arguments of `relocate`, which replace what is recorded.
    """
    runs = [relocate(run, **place) for run in load_runs(Path(path))]
    if n_steps is None:  # one may have been trained further alone
        n_steps = max(run.config.n_steps for run in runs)
    if n_steps < (done := max(step for run in runs for step in (0, *run.steps()))):
        raise UsageError(
            f"n_steps={n_steps} is before the checkpoint of step {done}; choose at least that"
        )
    runs = [replace(run, config=replace(run.config, n_steps=n_steps)) for run in runs]
    if planned is not None:
        plans = [planned["" if "" in planned else run.path.name] for run in runs]
        runs = [
            replace(run, config=run.config.with_schedule_of(plan))
            for run, plan in zip(runs, plans, strict=True)
        ]
    check_together({run.path.name: run.config for run in runs})
    return _continue(runs)


def relocate(
    run: RunFolder,
    *,
    data_path: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    execution: str | None = None,
) -> RunFolder:
    """Return the run with its data elsewhere or on another machine, where that is given.

    On another type of device, the recorded execution is chosen again.
    """
    config, recorded = run.config, run.machine
    if data_path is not None:
        if not hasattr(config.data.exemplars, "path"):
            raise UsageError(
                f"--data-path {data_path}: the exemplars of {run.path} come from no file; leave it "
                "out"
            )
        config = config.with_exemplars(path=str(Path(data_path).resolve()))
    place = choose_device(recorded.device if device is None else device)
    if execution is None:
        is_same_type = place.type == recorded.device.partition(":")[0]
        execution = recorded.execution if is_same_type else "auto"
    machine = Machine.choose(
        str(place),
        recorded.threads if threads is None else threads,
        execution,
        n_steps=config.n_steps,
    )
    return replace(run, config=config, machine=machine)


def train_or_resume(config: RunConfig, out: Path, machine: Machine | None = None) -> RunFolder:
    """Return the finished run of `config` in the folder `out`: train or resume it if necessary.

    What a machine leaves open is as recorded for a run that is resumed.  Raises `UsageError` if the
    folder holds another run, or a longer one.
    """
    if not (out / MANIFEST).exists():
        return train(config, out, machine)
    recorded = load_run(out).config
    expected = with_recorded_ids(config, recorded).run_id()
    if recorded.run_id() != expected or recorded.n_steps > config.n_steps:
        raise UsageError(f"{out} holds another run ({recorded.run_id()}); give another folder")
    place = {} if machine is None else asdict(machine)
    if place.get("execution") == "auto":
        del place["execution"]
    return resume(out, n_steps=config.n_steps, **place)[0]


def with_recorded_ids(config: RunConfig, recorded: RunConfig) -> RunConfig:
    """Return the config with ids that training filled in copied from a recorded one.

    Ids that the config itself gives stay.
    """
    for name in ("fingerprint", "made_by"):
        value = getattr(recorded.data.exemplars, name, "")
        if value and getattr(config.data.exemplars, name, None) == "":
            config = config.with_exemplars(**{name: value})
    if config.start.given and not config.start.run_id:
        config = replace(config, start=replace(config.start, run_id=recorded.start.run_id))
    own, theirs = config.interventions, recorded.interventions
    if len(own) == len(theirs):
        filled = tuple(a.with_recorded_ids(b) for a, b in zip(own, theirs, strict=True))
        config = replace(config, interventions=filled)
    return config


def _continue(
    runs: list[RunFolder], resolved: Sequence[ResolvedRun] | None = None
) -> list[RunFolder]:
    """Train until the last step; `resolved` are new runs, resumed ones are resolved here.

    New runs whose set-up fails are removed.

    Diverged runs of an ensemble are carried along from new initial parameters, and their results
    ignored, so that the others' arithmetic stays the same.
    """
    set_up = nullcontext() if resolved is None else remove_unless_begun(runs)
    with lock(runs), explain_write_errors(runs), set_up:
        if all(run.is_finished() for run in runs):
            return runs  # so that not even their data need exist
        recorded = {number: run.recorded_status() for number, run in enumerate(runs)}
        failures = {
            number: each["message"]
            for number, each in recorded.items()
            if each["status"] == "diverged"
        }
        live = [number for number in recorded if number not in failures]
        if all(runs[number].is_finished() for number in live):
            raise _diverged(runs, failures)
        recovery = plan_recovery([runs[number] for number in live])
        if recovery.refusal:
            raise UserError(recovery.refusal)
        print_warnings(recovery.problems)
        states = dict(zip(live, recovery.states, strict=False))
        if resolved is None:
            resolved = resolve_recorded([run.config for run in runs], with_start=not states)
        resolved = [
            replace(each, evaluation_sets=run.evaluation_sets())
            for each, run in zip(resolved, runs, strict=True)
        ]
        ensemble = Ensemble(resolved, runs[live[0]].machine)
        ensemble.failures |= failures
        for number, state in states.items():
            ensemble.restore(number, state)
        session = Session(runs, ensemble)
        stop = session.train(states)
    if stop and ensemble.step < ensemble.config.n_steps:
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


def print_warnings(problems: list[str]) -> None:
    """Print problems with files that are not used."""
    for sentence in problems:
        print(f"warning: {sentence}", file=sys.stderr)


class Evaluation(NamedTuple):
    """A checkpoint on all evaluators."""

    step: int
    metrics: dict[str, dict[str, float | None]]
    """By evaluator and name."""
    acted: dict[Intervention, int]
    """How many times each intervention acted, batches counted."""


def evaluate_checkpoint(
    run: RunFolder,
    step: int | None = None,
    *,
    interventions: tuple[Intervention, ...] = (),
    replace_own: bool = False,
) -> Evaluation:
    """Evaluate a checkpoint: the newest undamaged one, or that of `step`.

    It is evaluated under `interventions`, and those that the run was trained under unless
    `replace_own`.
    """
    interventions = tuple(each.resolved() for each in interventions)
    own = () if replace_own else run.config.interventions
    check_interventions((*own, *interventions), run.config.model)
    if step is not None:
        checkpoint = run.checkpoint(step)
    else:
        checkpoint, damaged = newest_weights(run)
        print_warnings(damaged)
    (resolved,) = resolve_recorded([run.config], with_start=False)
    checkpoint.check_trained_on(resolved.fingerprint)
    model, device = run.config.model, torch.device(run.machine.device)
    dtype = dtype_of(run.config.precision)
    try:
        parameters = {
            name: checkpoint.tensors[name][None].to(device, dtype)
            for name in all_shapes(run.config, resolved.exemplars.d_features)
        }
    except KeyError as error:
        raise checkpoint.wrong_tensors_error(error) from error
    with run.machine.use(run.config.precision):
        alone = Intervened([own], model, parameters)
        intervened = Intervened([(*own, *interventions)], model, parameters, alone)
        exemplars = resolved.exemplars.to(device)
        table = {
            name: means(
                evaluate(parameters, model, exemplars, sequences.to(device), intervened or None)
            )
            for name, sequences in run.evaluation_sets().items()
        }
    return Evaluation(checkpoint.step, table, dict(intervened.acted))


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
