"""Training runs from their configs to their last step, with exact resume."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from coopetition.tools.errors import Interrupted, UsageError, UserError
from transformer.config import RunConfig
from transformer.config.interventions import Intervention, check_interventions
from transformer.data.evaluation_sets import evaluation_sets
from transformer.data.exemplar_sets import Exemplars
from transformer.measures.metrics import means
from transformer.runs.ensemble import check_together, create_ensemble, load_runs
from transformer.runs.folder import (
    RunFolder,
    check_new_folder,
    create_run,
    load_run,
    lock_together,
    named_path,
    newest_checkpoint,
)
from transformer.runs.machine import Machine
from transformer.training.ensemble import Ensemble
from transformer.training.prepare import load_each, prepare
from transformer.training.session import Session, warn_of


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
        filled = tuple(a.as_recorded(b) for a, b in zip(own, recorded, strict=True))
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
            [evaluation_sets(run) for run in runs],
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
    interventions = tuple(each.found() for each in interventions)
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
    exemplars, sets = load_each([run.config]), [evaluation_sets(run)]
    ensemble = Ensemble([run.config], exemplars, sets, run.machine)
    ensemble.restore_weights(0, checkpoint)
    evaluated = ensemble.evaluate(interventions, replace_own)[0]
    table = {name: means(metrics) for name, metrics in evaluated.items()}
    return Evaluated(ensemble.step, table, dict(ensemble.acted))
