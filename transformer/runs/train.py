"""Train runs into folders, alone or together, and resume them exactly."""

import signal
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from coopetition.tools.errors import Interrupted, UsageError, UserError
from coopetition.tools.files import check_writable
from transformer.config import RunConfig
from transformer.config.variants import check_together
from transformer.data.evaluators import draw_evaluation_sets
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
)
from transformer.runs.layout import MANIFEST
from transformer.runs.prepare import prepare, resolve_recorded
from transformer.runs.recovery import plan_recovery, print_problems
from transformer.runs.session import Session
from transformer.training.ensemble import Ensemble, ResolvedRun
from transformer.training.machine import Machine, choose_device


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
        print_problems(recovery.problems)
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
