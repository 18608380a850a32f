"""Training runs from their configs to their last step, with exact resume."""

import math
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_bytes, write_npz
from coopetition.tools.metrics_file import Row
from coopetition.tools.progress import ProgressReport
from transformer.config import RunConfig
from transformer.config.evaluators import brief_evaluators
from transformer.data.evaluation_sets import evaluation_sets
from transformer.data.exemplar_sets import Exemplars, as_read, load_exemplars
from transformer.measures.metrics import means
from transformer.runs.checkpoint import Checkpoint, write_checkpoint
from transformer.runs.ensemble import check_together, create_ensemble, load_runs
from transformer.runs.folder import (
    RunFolder,
    check_new_folder,
    create_run,
    load_run,
    newest_checkpoints,
)
from transformer.runs.machine import Machine
from transformer.runs.metrics import MetricsFile, metrics_until
from transformer.runs.warm_start import check_warm_start, read_warm_start
from transformer.training.ensemble import Ensemble, Metrics, shapes_of, source_of


class Diverged(UserError):
    """Some runs' losses became non-finite; `runs` are all that were trained together."""

    def __init__(self, message: str, runs: list[RunFolder]) -> None:
        super().__init__(message)
        self.runs = runs


def train(config: RunConfig, out: Path | str, machine: Machine | None = None) -> RunFolder:
    """Train a new run into the folder `out`.

    SIGINT and SIGTERM end it after a checkpoint; `resume` goes on from there, bit for bit as if it
    had not stopped (on a CPU with the same number of threads).
    """
    out = Path(out)
    check_new_folder(out)
    (config,), exemplars = prepare([config])
    run = create_run(out, config, machine or Machine.choose(n_steps=config.n_steps))
    return _continue([run], exemplars)[0]


def train_together(
    configs: dict[str, RunConfig], out: Path | str, machine: Machine | None = None
) -> list[RunFolder]:
    """Train new runs as one, each into its own folder `out/NAME`.

    Each becomes what it would be alone, up to rounding.  One whose loss becomes not finite is given
    up; when the others are done, `UserError` tells.
    """
    out = Path(out)
    check_new_folder(out)
    check_together(configs)
    ready, exemplars = prepare(list(configs.values()))
    n_steps = ready[0].n_steps
    machine = machine or Machine.choose(n_steps=n_steps)
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
    place = {"device": device, "threads": threads, "execution": execution}
    runs = [relocated(run, data_path=data_path, **place) for run in load_runs(Path(path))]
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
        config = config.with_exemplars(path=_absolute(data_path))
    machine = Machine.choose(
        machine.device if device is None else device,
        machine.threads if threads is None else threads,
        machine.execution if execution is None else execution,
    )
    return replace(run, config=config, machine=machine)


def train_or_resume(config: RunConfig, out: Path, machine: Machine | None = None) -> RunFolder:
    """The finished run of `config` in the folder `out`: trained, gone on with, or there already.

    Raises `UserError` if it was stopped before its last step, and `UsageError` if the folder holds
    another run, or a longer one.
    """
    if (out / "manifest.json").exists():
        found = load_run(out).config
        if found.run_id() != _as_found(config, found).run_id() or found.n_steps > config.n_steps:
            raise UsageError(f"{out} holds another run ({found.run_id()}); give another folder")
        run = resume(out, n_steps=config.n_steps)[0]
    else:
        run = train(config, out, machine)
    status = run.status()
    if status["status"] != "finished":
        raise UserError(f"{out}: {status['message']}; give the same command again to go on")
    return run


def _as_found(config: RunConfig, found: RunConfig) -> RunConfig:
    """A config with what training filled in taken from the one that is kept, unless it says so."""
    kept = getattr(found.data.exemplars, "fingerprint", "")
    if kept and getattr(config.data.exemplars, "fingerprint", None) == "":
        config = config.with_exemplars(fingerprint=kept)
    if config.start.given and not config.start.run_id:
        config = replace(config, start=replace(config.start, run_id=found.start.run_id))
    return config


def prepare(configs: list[RunConfig]) -> tuple[list[RunConfig], dict[str, Exemplars]]:
    """The configs with what they refer to looked up, and their exemplars, each set once.

    Done before a folder is made, so that bad data leave none.
    """
    starts = [read_warm_start(config.start) if config.start.given else None for config in configs]
    ready, exemplars = [], _load_each(configs)
    fingerprints = {source: each.fingerprint() for source, each in exemplars.items()}
    for config, start in zip(configs, starts, strict=True):
        own = exemplars[source_of(config)]
        check_encoder(config, own.d_features)
        read = as_read(config.data.exemplars, fingerprints[source_of(config)])
        found = replace(config, data=replace(config.data, exemplars=read))
        if start is not None:
            found = replace(found, start=start[0])
            check_warm_start(found.start, start[1], shapes_of(found, own))
        exemplars[source_of(found)] = own
        ready.append(found)
    check_sizes({exemplars[source_of(config)].d_features for config in ready})
    return ready, exemplars


def _load_each(configs: list[RunConfig]) -> dict[str, Exemplars]:
    """The exemplars of configs, each set once, by `source_of`."""
    sources = {source_of(config): config.data.exemplars for config in configs}
    return {source: load_exemplars(each) for source, each in sources.items()}


def check_sizes(d_features: set[int]) -> None:
    """Raise `UsageError` unless the exemplars of runs that are trained together are as long."""
    if len(d_features) > 1:
        raise UsageError(
            f"the exemplars have {sorted(d_features)} features, but runs that are trained together "
            "have as many; train them apart"
        )


def check_encoder(config: RunConfig, d_features: int) -> None:
    """Raise `UsageError` if the encoder cannot read so many features."""
    if config.model.encoder == "resnet" and math.isqrt(d_features) ** 2 != d_features:
        raise UsageError(
            f"the ResNet encoder reads square images, but the exemplars have {d_features} "
            "features; choose the linear encoder"
        )


def _absolute(path: str) -> str:
    return str(Path(path).resolve()) if path else ""


def _continue(
    runs: list[RunFolder],
    exemplars: dict[str, Exemplars] | None = None,
) -> list[RunFolder]:
    """Train until the last step; an ensemble's runs that have diverged are only carried along.

    They start anew then and their results are not looked at, but so the others' arithmetic is the
    same as before.
    """
    with ExitStack() as held, stop_signals() as stop:
        for run in runs:
            held.enter_context(run.lock())
        if all(run.is_finished() for run in runs):
            return runs  # nothing to do, not even to look for their data
        given_up = {
            number: run.recorded()["message"]
            for number, run in enumerate(runs)
            if run.recorded()["status"] == "diverged"
        }
        if len(given_up) == len(runs):
            raise UserError(f"{runs[0].path}: {given_up[0]}; start anew")
        going_on = [run for number, run in enumerate(runs) if number not in given_up]
        ensemble = _assemble(runs, exemplars or _load_each([run.config for run in runs]))
        ensemble.failures |= given_up
        metrics = _begin(runs, ensemble)
        for run in going_on:
            run.set_status("running", "")
        try:
            for path, content in metrics.items():
                write_bytes(path, content)
            for run in runs:
                run.record_length()
            _train_loop(runs, ensemble, stop)
        except BaseException as error:
            for run in going_on:
                run.set_status("failed", str(error) or type(error).__name__)
            raise
        _record_end(runs, ensemble)
    if ensemble.failures:
        raise Diverged(_failed(runs, ensemble), runs)
    return runs


def _assemble(runs: list[RunFolder], exemplars: dict[str, Exemplars]) -> Ensemble:
    """The runs as an ensemble, at their initial parameters."""
    evaluators = [evaluation_sets(run) for run in runs]
    return Ensemble([run.config for run in runs], exemplars, evaluators, runs[0].machine)


def _begin(runs: list[RunFolder], ensemble: Ensemble) -> dict[Path, bytes]:
    """Put the ensemble where its runs start or go on; their metrics until then, by file."""
    restored = _restore_newest(runs, ensemble)
    if not restored:
        ensemble.begin()
    done = ensemble.step if restored else -1
    paths = [runs[number].metrics_path for number in ensemble.live]
    every = runs[0].config.evaluation.every
    return {path: metrics_until(path, done, every) for path in paths}


def _train_loop(runs: list[RunFolder], ensemble: Ensemble, stop: list[int]) -> None:
    """Train until the last step, a stop signal, or until no run is left."""
    config = runs[0].config  # its schedule is all runs'
    with (
        ExitStack() as files,
        ProgressReport("train", config.n_steps, "steps", done=ensemble.step) as progress,
    ):
        metrics = {number: MetricsFile(runs[number].metrics_path) for number in ensemble.live}
        for file in metrics.values():
            files.callback(file.close)
        if ensemble.step == 0:
            _measure(runs, ensemble, metrics)
        while ensemble.step < config.n_steps and ensemble.live and not stop:
            ensemble.advance()
            last = ensemble.step == config.n_steps
            note = None
            if last or ensemble.step % config.evaluation.every == 0:
                rows = _measure(runs, ensemble, metrics)
                note = next(map(describe, rows.values()), None)
            if config.is_checkpoint(ensemble.step):
                save(runs, ensemble)
            progress.advance(note=note)
        if stop and not config.is_checkpoint(ensemble.step):
            save(runs, ensemble)


def _measure(
    runs: list[RunFolder], ensemble: Ensemble, metrics: dict[int, MetricsFile]
) -> dict[int, Row]:
    """Evaluate the runs and write down what is found."""
    evaluated = ensemble.evaluate()
    rows = ensemble.metric_rows(evaluated)
    for number, row in rows.items():
        if runs[number].config.evaluation.per_sequence:
            _write_each(runs[number], ensemble.step, evaluated[number])
        metrics[number].append(row)
    return rows


def _write_each(run: RunFolder, step: int, evaluated: Metrics) -> None:
    arrays = {
        f"{name}/{metric}": values.cpu().numpy()
        for name, metrics in evaluated.items()
        for metric, values in metrics.items()
    }
    write_npz(run.path / "sequences" / f"step_{step:09d}.npz", **arrays)


def save(runs: list[RunFolder], ensemble: Ensemble) -> None:
    """Write a checkpoint of each run that has not failed."""
    for number, checkpoint in ensemble.checkpoints().items():
        write_checkpoint(runs[number].checkpoint_path(checkpoint.step), checkpoint)


def describe(row: Row) -> str:
    """A metrics line in a few words: batch loss and in-context accuracies."""
    shown = {name: row.get(f"{name}/in_context_accuracy") for name in brief_evaluators()}
    accuracies = "  ".join(
        f"{name} {value:.2f}" for name, value in shown.items() if value is not None
    )
    return f"loss {row['batch_loss'] or math.nan:.3f}  {accuracies}"


def _record_end(runs: list[RunFolder], ensemble: Ensemble) -> None:
    for number, run in enumerate(runs):
        if number in ensemble.failures:
            run.set_status("diverged", ensemble.failures[number])
        elif ensemble.step == run.config.n_steps:
            run.set_status("finished", f"all {ensemble.step} steps done")
        else:
            run.set_status("interrupted", f"stopped on request at step {ensemble.step}; resume it")


def _failed(runs: list[RunFolder], ensemble: Ensemble) -> str:
    """One line on the runs that diverged."""
    number, message = next(iter(ensemble.failures.items()))
    path, steps = runs[number].path, runs[number].steps()
    if steps:
        message += f" (checkpoints up to step {steps[-1]} are kept)"
    if len(ensemble.failures) == 1:
        return f"{path}: {message}"
    return f"{len(ensemble.failures)} of {len(runs)} runs diverged, {path} first: {message}"


def _restore_newest(runs: list[RunFolder], ensemble: Ensemble) -> bool:
    """Put the ensemble where its live runs' newest sound checkpoints are; False if they have none.

    Warns about each that is damaged; if nothing else is left, raises `UserError`.
    """
    live = ensemble.live
    newest, damaged = newest_checkpoints([runs[number] for number in live])
    if damaged and not newest:
        raise UserError(f"{damaged[-1]}, and so are all others; remove them to start anew")
    for sentence in damaged:
        print(f"warning: {sentence}; using the one before it", file=sys.stderr)
    if newest:
        for number, checkpoint in zip(live, newest, strict=True):
            _restore(runs[number], ensemble, number, checkpoint)
    return bool(newest)


def _restore(run: RunFolder, ensemble: Ensemble, number: int, checkpoint: Checkpoint) -> None:
    try:
        ensemble.restore(number, checkpoint)
    except UserError as error:
        raise UserError(f"{run.path}: {error}") from error


def evaluate_checkpoint(
    run: RunFolder, step: int | None = None
) -> tuple[int, dict[str, dict[str, float | None]]]:
    """Step and metrics by evaluator of a checkpoint: the newest sound one, or that of `step`."""
    ensemble = _assemble([run], _load_each([run.config]))
    if step is not None:
        _restore(run, ensemble, 0, run.checkpoint(step))
    elif not _restore_newest([run], ensemble):
        raise UserError(f"{run.path} has no checkpoint yet; resume it until it has")
    each = ensemble.evaluate()[0]
    return ensemble.step, {name: means(metrics) for name, metrics in each.items()}


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that fills when SIGINT or SIGTERM comes, so that a loop can end in good order."""
    received: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {
        kind: signal.signal(kind, lambda number, _: received.append(number)) for kind in kinds
    }
    try:
        yield received
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
