"""The run folder: manifest, metrics, checkpoints, status.

DIR/manifest.json      what was run, with which versions, on what
DIR/metrics.jsonl      one line an evaluation, appended as it comes
DIR/checkpoints/       step_NNNNNNNNN.safetensors: weights
DIR/state/             step_NNNNNNNNN.safetensors: all that a resume needs, of the last
DIR/evaluators/        the evaluation sets
DIR/sequences/         step_NNNNNNNNN.npz: metrics of every sequence, if asked for
DIR/status.json        how the last session on it ended
DIR/.lock              held while a process trains it (`flock`: POSIX systems only)
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coopetition.compare.curves import Curves, read_curves
from coopetition.tools.errors import UsageError, UserError, abbreviate
from coopetition.tools.files import html_table, remove_stale_temporaries, to_frame, write_json
from coopetition.tools.run_files import Row, read_metrics
from transformer.config import RunConfig
from transformer.runs.checkpoint import (
    Checkpoint,
    DamagedCheckpoint,
    MissingCheckpoint,
    holds_state,
    in_half,
    read_checkpoint,
    weights_of,
    write_checkpoint,
)
from transformer.runs.machine import Machine
from transformer.runs.manifest import MANIFEST, has_trained, make_manifest, read_manifest

if TYPE_CHECKING:
    from pandas import DataFrame

ENSEMBLE = "ensemble.json"  # in a folder of runs that are trained together: their names


@dataclass(frozen=True, slots=True, repr=False)
class RunFolder:
    """One run on disk."""

    path: Path
    config: RunConfig
    machine: Machine

    def __repr__(self) -> str:
        return f"<RunFolder {self.path}: run {self.config.run_id()}, {self._progress()}>"

    def _repr_html_(self) -> str:
        standing = self.standing()
        rows = [
            ("run", str(self.path)),
            ("run id", self.config.run_id()),
            ("status", f"{standing['status']}: {standing['message']}"),
            ("checkpoints", self._progress()),
        ]
        return html_table(rows)

    def _progress(self) -> str:
        return f"step {max(self.steps(), default=0):,} of {self.config.n_steps:,}"

    def to_frame(self) -> "DataFrame":
        """The metric lines as a data frame, a row a step; `UserError` without pandas."""
        rows = self.metrics()
        names = dict.fromkeys(name for row in rows for name in row)
        return to_frame({name: [row.get(name) for row in rows] for name in names})

    @property
    def shared(self) -> Path:
        """Where it keeps what runs of one ensemble share: the ensemble's folder, or its own."""
        together = (self.path.parent / ENSEMBLE).exists()
        return self.path.parent if together else self.path

    @property
    def metrics_path(self) -> Path:
        """File of the metric lines."""
        return self.path / "metrics.jsonl"

    def checkpoint_path(self, step: int) -> Path:
        """File of the weights of a step."""
        return self.path / checkpoint_name(step)

    def state_path(self, step: int) -> Path:
        """File of all that a resume from a step needs."""
        return self.path / "state" / _file_of(step)

    def steps(self) -> list[int]:
        """Steps of which there is a checkpoint, with state or without, rising."""
        return _steps_in(self.path / "checkpoints")

    def state_steps(self) -> list[int]:
        """Steps of which there is a file of state, rising."""
        return _steps_in(self.path / "state")

    def has_state(self, step: int) -> bool:
        """Whether there is a state of one of the `steps`, as far as is seen without reading it."""
        return self.state_path(step).exists() or holds_state(self.checkpoint_path(step))

    def resumable_step(self) -> int | None:
        """The newest step that has weights and state, if there is one."""
        return next(resumable_together([self]), None)

    def with_length(self, n_steps: int) -> "RunFolder":
        """The same run with another last step, not before what is done."""
        done = max(self.steps(), default=0)
        if n_steps < done:
            raise UsageError(
                f"n_steps={n_steps} is before the checkpoint of step {done}; go further"
            )
        return replace(self, config=replace(self.config, n_steps=n_steps))

    def is_there(self) -> bool:
        """Whether the folder is still where the run was opened."""
        return (self.path / MANIFEST).exists()

    def check_there(self) -> None:
        """Raise `UserError` if the folder was moved or removed since the run was opened."""
        if not self.is_there():
            raise UserError(
                f"{self.path} was moved or removed while it was trained; resume it where it is"
            )

    def metrics(self) -> list[Row]:
        """Metric lines so far, see `coopetition.tools.run_files`.

        What older runs did not record is None.
        """
        names = ("step", "sequences", "learning_rate", "gradient_norm", "seconds")
        return [dict.fromkeys(names) | row for row in read_metrics(self.metrics_path)]

    def measured_step(self) -> int | None:
        """The step of the last metric line; None before there is one."""
        rows = self.metrics()
        return rows[-1]["step"] if rows else None

    def check_measured(self) -> None:
        """Raise `UserError` if it has no metrics."""
        if not self.metrics():
            raise UserError(
                f"{self.path} has no metrics; put its {self.metrics_path.name} back, or train the "
                "run anew"
            )

    def curves(self, metric: str = "in_context_accuracy") -> Curves:
        """One metric of every evaluator against sequences seen."""
        return read_curves(self.path, metric)

    def check_restart(self) -> None:
        """Raise `UserError` if starting anew would write over what was trained.

        That is weights, or metrics that come after a checkpoint: one was written if the run was
        ended in good order, now or before, or was evaluated after the first step of its schedule.
        """
        done = max((row["step"] for row in read_metrics(self.metrics_path)), default=0)
        ended = self.recorded()["status"] in ("finished", "interrupted", "diverged")
        ended |= has_trained(self.path)
        trained = done and (ended or any(map(self.config.is_checkpoint, range(1, done))))
        if trained or (self.steps() and self.resumable_step() is None):
            raise UserError(f"{self.path} has {self._kept(done)}")

    def _kept(self, done: int) -> str:
        """What it has, why that is not enough to go on from, and what to do."""
        weights, states = self.steps(), self.state_steps()
        if (step := self.resumable_step()) is not None:
            return (
                f"a checkpoint of step {step}, but not all runs beside it have one of that step; "
                "put theirs back, or resume the runs one by one"
            )
        if states:
            path, state = self.checkpoint_path(states[-1]), self.state_path(states[-1])
            return (
                f"a state of step {states[-1]} but no weights of that step; put {path} back, or "
                f"copy {state} there, which holds them"
            )
        if weights:
            return (
                f"weights of step {weights[-1]} but no state to go on from; put its state/ back, "
                f"or train a new run from them (--start.path {self.path} "
                f"--start.step {weights[-1]})"
            )
        return (
            f"metrics up to step {done} but no checkpoint to go on from; put one back, or train "
            "the run anew in another folder"
        )

    def checkpoint(self, step: int) -> Checkpoint:
        """The weights of a step, by name; see `steps` for which there are.

        Those that are missing raise `MissingCheckpoint`, those that are damaged
        `DamagedCheckpoint`.
        """
        try:
            return read_checkpoint(self.checkpoint_path(step))
        except MissingCheckpoint as error:
            raise MissingCheckpoint(
                f"{self.path} has no checkpoint of step {step}; it has {self.steps() or 'none'}"
            ) from error

    def state(self, step: int) -> Checkpoint:
        """The state of a step that `has_state`; a damaged one raises `DamagedCheckpoint`."""
        path = self.state_path(step)
        if not path.exists():
            path = self.checkpoint_path(step)  # version 0.1 kept states there
        return read_checkpoint(path)

    def write(self, state: Checkpoint) -> None:
        """Write a state and its weights; a kill may leave the first without the second."""
        write_checkpoint(self.state_path(state.step), state)
        self.write_weights(state)

    def write_weights(self, state: Checkpoint) -> None:
        """Write the weights of a state, as precisely as they are kept."""
        weights = weights_of(state)
        kept = in_half(weights) if self.config.keep_half else weights
        write_checkpoint(self.checkpoint_path(state.step), kept)

    def is_sound(self, step: int) -> bool:
        """Whether there are weights of a step, as they were written."""
        try:
            self.checkpoint(step)
        except UserError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """`status`, `message` and steps of the run as it stands, for people and programs.

        `step` is that of the last metrics, `checkpoint` that of the newest sound checkpoint.
        """
        newest, damaged = newest_checkpoint(self)
        step = newest.step if newest else None
        return self.standing() | {
            "step": self.measured_step(),
            "checkpoint": step,
            "n_steps": self.config.n_steps,
            "latest_checkpoint": None if step is None else str(self.checkpoint_path(step)),
            "damaged": damaged,
            "run_id": self.config.run_id(),
        }

    def standing(self) -> dict[str, str]:
        """`status` and `message` as recorded, but for a process that died without notice."""
        saved = self.recorded()
        if saved["status"] == "running" and not self._locked():
            return {"status": "killed", "message": "stopped without notice; resume it"}
        return saved

    def is_finished(self) -> bool:
        """Whether all its steps are done and measured, and the checkpoint of the last is sound."""
        last = self.config.n_steps
        ended = self.recorded()["status"] == "finished" and self.steps()[-1:] == [last]
        return (
            ended and [row["step"] for row in self.metrics()[-1:]] == [last] and self.is_sound(last)
        )

    def set_status(self, status: str, message: str) -> None:
        """Record how the run stands: running, finished, interrupted, failed, diverged."""
        self.check_there()
        write_json(self.path / "status.json", {"status": status, "message": message})

    def recorded(self) -> dict[str, str]:
        """`status` and `message` as `set_status` last recorded them."""
        try:
            content = json.loads((self.path / "status.json").read_text())
            return {name: str(content[name]) for name in ("status", "message")}
        except FileNotFoundError:
            return {"status": "created", "message": "not started; resume it"}
        except (ValueError, KeyError, TypeError):
            return {"status": "unknown", "message": "status.json is damaged; resume the run"}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder, so that no second process trains it; the system frees it on a kill."""
        with open(self.path / ".lock", "w") as file:
            for wait in (0.1, 0.2, 0.4, None):  # another process may just be asking for the status
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if wait is None:
                        raise UserError(
                            f"{self.path} is being trained by another process; "
                            "wait for it or stop it"
                        ) from error
                    time.sleep(wait)
            remove_stale_temporaries(self.path)
            yield

    def _locked(self) -> bool:
        if not (self.path / ".lock").exists():
            return False
        with open(self.path / ".lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return True


def checkpoint_name(step: int) -> str:
    """The file of the weights of a step, within a run's folder."""
    return f"checkpoints/{_file_of(step)}"


def _file_of(step: int) -> str:
    return f"step_{step:09d}.safetensors"


def _steps_in(folder: Path) -> list[int]:
    """Steps of which a file is there, under its own name and no link to nothing."""
    numbers = {file.stem.removeprefix("step_") for file in folder.glob("step_*.safetensors")}
    steps = sorted({int(number) for number in numbers if number.isdecimal()})
    return [step for step in steps if (folder / _file_of(step)).exists()]


def create_run(path: Path, config: RunConfig, machine: Machine) -> RunFolder:
    """Make a run folder; a path that holds anything already raises `UsageError`."""
    check_new_folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {path} cannot be made ({error.strerror}); name another") from error
    run = RunFolder(path, config, machine)
    with run.lock():
        check_new_folder(path)  # again, now that no other process can be making it
        write_json(path / MANIFEST, make_manifest(config, machine))
    return run


def check_new_folder(path: Path) -> None:
    """Raise `UsageError` if a path is not free for a new run."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path} is not a new folder; name one")
    if path.exists() and any(not file.name.startswith(".") for file in path.iterdir()):
        hint = "resume it" if (path / MANIFEST).exists() else "name a new folder"
        raise UsageError(f"--out {path} exists already and is not empty; {hint}, or remove it")
    within = next((each for each in path.absolute().parents if (each / MANIFEST).exists()), None)
    if within is not None:
        raise UsageError(f"--out {path} is in the run folder {within}; name another place")


def newest_checkpoint(run: RunFolder) -> tuple[Checkpoint | None, list[str]]:
    """The newest sound weights, if there are any.

    Beside them, a sentence about each file that was found to be damaged on the way.
    """
    while True:
        try:
            newest, damaged = _newest(reversed(run.steps()), lambda step: [run.checkpoint(step)])
        except MissingCheckpoint:
            continue  # who trains the run has removed it, once there was a newer one
        return (newest[0] if newest else None), damaged


def newest_resumable(runs: list[RunFolder], up_to: float) -> tuple[list[Checkpoint], list[str]]:
    """The states at the newest step of which every run has a sound one; none if there is none.

    Beside them, sentences as in `newest_checkpoint`.  `up_to` leaves later steps out.
    """
    steps = (step for step in resumable_together(runs) if step <= up_to)
    return _newest(steps, lambda step: [run.state(step) for run in runs])


def resumable_together(runs: list[RunFolder]) -> Iterator[int]:
    """Steps of which every run has weights and state, falling.

    Who takes the first alone has no file opened but, in runs of version 0.1, the newest.
    """
    weights = set.intersection(*(set(run.steps()) for run in runs))
    for step in sorted(weights, reverse=True):
        if all(run.has_state(step) for run in runs):
            yield step


def _newest(
    steps: Iterable[int], read: Callable[[int], list[Checkpoint]]
) -> tuple[list[Checkpoint], list[str]]:
    """What can be read of the first step, none if nothing can; what is damaged, as sentences."""
    damaged = []
    for step in steps:
        try:
            return read(step), damaged
        except DamagedCheckpoint as error:
            damaged.append(str(error))
    return [], damaged


def named_path(path: Path | str) -> Path:
    """The same folder by a path with a name and a parent, which `.` and `..` lack."""
    path = Path(path)
    return path.resolve() if path.name in ("", "..") else path


def load_run(path: Path | str) -> RunFolder:
    """Open a run folder: its config, curves and checkpoints.

    One that is missing or foreign raises `UsageError`; damaged or of another version, `UserError`.
    """
    path = named_path(path)
    if (path / ENSEMBLE).exists():
        names = sorted(each.parent.name for each in path.glob(f"*/{MANIFEST}"))
        raise UsageError(
            f"{path} holds runs that were trained together; name the folder of one "
            f"({abbreviate(names, 5)}), or load them all by transformer.runs.ensemble.load_runs"
        )
    return RunFolder(path, *read_manifest(path))
