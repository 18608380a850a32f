"""The run folder: manifest, metrics, checkpoints, status.

DIR/manifest.json      what was run, with which versions, on what
DIR/metrics.jsonl      one line an evaluation, appended as it comes
DIR/checkpoints/       step_NNNNNNNNN.safetensors: weights
DIR/state/             step_NNNNNNNNN.safetensors: all that a resume needs, of the last
DIR/evaluators/        the evaluation sets
DIR/sequences/         step_NNNNNNNNN.npz: metrics of every sequence, if asked for
DIR/status.json        how the last session on it ended
DIR/.lock              held while a process trains it (`flock`: POSIX systems only)

An ensemble is a folder of run folders with an `ensemble.json`.  Its `checkpoints/`, `state/` and
`evaluators/` serve all runs: a file holds a step of all, each tensor with a run axis.  What a run
trains alone goes into its own folder.

Many runs as one: which can be trained together, and the folder that holds them.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coopetition.compare.curves import Curves, read_curves
from coopetition.tools.errors import UsageError, UserError, abbreviate
from coopetition.tools.files import (
    html_table,
    remove_stale_temporaries,
    to_frame,
    to_json,
    write_all,
    write_json,
)
from coopetition.tools.locks import hold, is_held
from coopetition.tools.run_files import Row, read_metrics
from transformer.config import OptimConfig, RunConfig, to_dict
from transformer.data.evaluators import load_evaluation_sets
from transformer.data.sequences import Sequences
from transformer.runs.checkpoint import (
    Checkpoint,
    DamagedCheckpoint,
    MissingCheckpoint,
    content_of,
    content_of_all,
    holds_state,
    in_half,
    read_checkpoint,
    weights_of,
)
from transformer.runs.manifest import MANIFEST, has_trained, make_manifest, read_manifest
from transformer.training.machine import Machine

if TYPE_CHECKING:
    from pandas import DataFrame


ENSEMBLE = "ensemble.json"  # in a folder of runs that are trained together: their names
CHECKPOINTS, STATES, STATUS, LOCK = "checkpoints", "state", "status.json", ".lock"


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
        """The folder of what runs of one ensemble share: the ensemble's, or its own."""
        together = (self.path.parent / ENSEMBLE).exists()
        return self.path.parent if together else self.path

    @property
    def metrics_path(self) -> Path:
        """File of the metric lines."""
        return self.path / "metrics.jsonl"

    def checkpoint_path(self, step: int) -> Path:
        """File of the weights of a step."""
        return self._file(CHECKPOINTS, step)

    def state_path(self, step: int) -> Path:
        """File of all that a resume from a step needs."""
        return self._file(STATES, step)

    def _file(self, kind: str, step: int) -> Path:
        """Its own file of a step, or that of its ensemble."""
        own = file_of(self.path, kind, step)
        return own if own.exists() else file_of(self.shared, kind, step)

    def steps(self) -> list[int]:
        """Steps of which there is a checkpoint, with state or without, rising."""
        return self._steps(CHECKPOINTS)

    def state_steps(self) -> list[int]:
        """Steps of which there is a file of state, rising."""
        return self._steps(STATES)

    def _steps(self, kind: str) -> list[int]:
        steps = set(steps_in(self.path, kind))
        if (shared := self.shared) != self.path:
            end = self._diverged_at()
            steps |= {step for step in steps_in(shared, kind) if end is None or step < end}
        return sorted(steps)

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
            return read_checkpoint(self.checkpoint_path(step), self.path.name)
        except MissingCheckpoint as error:
            raise MissingCheckpoint(
                f"{self.path} has no checkpoint of step {step}; it has {self.steps() or 'none'}"
            ) from error

    def evaluation_sets(self) -> dict[str, Sequences]:
        """Return the evaluation sets, drawn once and kept beside the run or its ensemble."""
        return load_evaluation_sets(self.shared / "evaluators", self.config)

    def state(self, step: int) -> Checkpoint:
        """The state of a step that `has_state`; a damaged one raises `DamagedCheckpoint`."""
        path = self.state_path(step)
        if not path.exists():
            path = self.checkpoint_path(step)  # version 0.1 kept states there
        return read_checkpoint(path, self.path.name)

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

    def set_status(self, status: str, message: str, step: int | None = None) -> None:
        """Record how the run stands: running, finished, interrupted, failed, diverged.

        A run that diverged has no part in checkpoints of its ensemble from `step` on.
        """
        self.check_there()
        at = {} if step is None else {"step": step}
        write_json(self.path / STATUS, {"status": status, "message": message} | at)

    def recorded(self) -> dict[str, str]:
        """`status` and `message` as `set_status` last recorded them."""
        try:
            content = json.loads((self.path / STATUS).read_text())
            return {name: str(content[name]) for name in ("status", "message")}
        except FileNotFoundError:
            return {"status": "created", "message": "not started; resume it"}
        except (ValueError, KeyError, TypeError):
            return {"status": "unknown", "message": "status.json is damaged; resume the run"}

    def _diverged_at(self) -> int | None:
        """The first step whose checkpoint in its ensemble lacks it; None unless it diverged."""
        if self.recorded()["status"] != "diverged":
            return None
        return json.loads((self.path / STATUS).read_text()).get("step", 0)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder, so that no second process trains it, alone or in its ensemble."""
        with ExitStack() as held:
            held.enter_context(hold(self.path / LOCK, _busy(self.path)))
            if (shared := self.shared) != self.path:
                held.enter_context(hold(shared / LOCK, _busy(shared), shared=True))
            remove_stale_temporaries(self.path)
            yield

    def _locked(self) -> bool:
        return is_held(self.path / LOCK) or is_held(self.shared / LOCK)


@contextmanager
def lock_together(runs: list[RunFolder]) -> Iterator[None]:
    """Hold the folder of an ensemble, or of a single run, so that no second process trains it."""
    if len(runs) == 1:
        with runs[0].lock():
            yield
        return
    folder = runs[0].shared
    with hold(folder / LOCK, _busy(folder)):
        remove_stale_temporaries(folder)
        yield


def _busy(folder: Path) -> UserError:
    return UserError(f"{folder} is being trained by another process; wait for it or stop it")


def checkpoint_name(step: int) -> str:
    """The file of the weights of a step, within a run's folder."""
    return str(file_of(Path(), CHECKPOINTS, step))


def file_of(folder: Path, kind: str, step: int) -> Path:
    """The file of a step in a folder: its weights (`CHECKPOINTS`) or its state (`STATES`)."""
    return folder / kind / f"step_{step:09d}.safetensors"


def steps_in(folder: Path, kind: str) -> list[int]:
    """Steps of which a folder has a file, under its own name and no link to nothing, rising."""
    names = (file.stem.removeprefix("step_") for file in (folder / kind).glob("step_*.safetensors"))
    steps = sorted({int(name) for name in names if name.isdecimal()})
    return [step for step in steps if file_of(folder, kind, step).exists()]


def write_states(folder: Path, runs: list[RunFolder], states: list[Checkpoint]) -> None:
    """Write states of one step and their weights into the folder of a run or of its ensemble.

    A kill may leave the first without the second.
    """
    weights = map(weights_of, states)
    kept = [
        in_half(each) if run.config.keep_half else each
        for run, each in zip(runs, weights, strict=True)
    ]
    step = states[0].step
    write_all(
        {
            file_of(folder, STATES, step): _content(folder, runs, states),
            file_of(folder, CHECKPOINTS, step): _content(folder, runs, kept),
        }
    )


def _content(folder: Path, runs: list[RunFolder], each: list[Checkpoint]) -> bytes:
    if folder == runs[0].path:
        return content_of(each[0])
    return content_of_all({run.path.name: own for run, own in zip(runs, each, strict=True)})


def set_status_of(runs: list[RunFolder], status: str, message: str) -> None:
    """Record how runs stand, as `RunFolder.set_status` does, of those that are where they were."""
    content = to_json({"status": status, "message": message}).encode()
    write_all({run.path / STATUS: content for run in runs if run.is_there()})


def create_run(path: Path, config: RunConfig, machine: Machine) -> RunFolder:
    """Make a run folder; a path that holds anything already raises `UsageError`."""
    check_new_folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {path} cannot be made ({error.strerror}); name another") from error
    run = RunFolder(path.resolve(), config, machine)
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

    The path is resolved: a run may be named by `.` from its own folder.  One that is missing or
    foreign raises `UsageError`; damaged or of another version, `UserError`.
    """
    path = Path(path).resolve()
    if (path / ENSEMBLE).exists():
        names = sorted(each.parent.name for each in path.glob(f"*/{MANIFEST}"))
        raise UsageError(
            f"{path} holds runs that were trained together; name the folder of one "
            f"({abbreviate(names, 5)}), or load them all by transformer.runs.folder.load_runs"
        )
    return RunFolder(path, *read_manifest(path))


_DEFAULT = OptimConfig()
# settings that may differ by run within one step, at a value that makes them comparable
FREE_OPTIM: dict[str, Any] = {
    name: getattr(_DEFAULT, name)
    for name in ("learning_rate", "schedule", "warmup_steps", "decay_steps", "clip_norm", "l2")
}


def vary(base: RunConfig, axes: dict[str, list[str]]) -> dict[str, RunConfig]:
    """Runs by name at every combination of values: field -> values as text, `optim.learning_rate`.

    A name is such as `init_seed=5,optim.learning_rate=1e-3`, of lists and objects their words:
    `interventions=Ablate_heads_0_1`, and `interventions=none` for an empty list.

    Fields that do not exist, values that they do not take, and values given twice raise
    `UsageError`.
    """
    configs = {}
    for values in itertools.product(*axes.values()):
        data = to_dict(base)
        for field, text in zip(axes, values, strict=True):
            _put(data, field, text)
        parts = (f"{field}={_word(text)}" for field, text in zip(axes, values, strict=True))
        name = ",".join(parts)
        if name in configs:
            raise UsageError(f"that makes the run {name} twice; give each value once")
        configs[name] = RunConfig.from_dict(data)
    for name in configs:
        if len(name) > 200:
            raise UsageError(
                f"that makes a folder name of {len(name)} characters, {name[:40]}...; vary fewer "
                "fields, or by shorter values"
            )
    return configs


def _word(text: str) -> str:
    """A value as part of a folder's name."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("_") or "none"


def _put(data: dict[str, Any], field: str, text: str) -> None:
    """Set a nested field to a value that is written as JSON, or as plain text."""
    *path, last = field.split(".")
    table: Any = data
    for name in path:
        table = table.get(name) if isinstance(table, dict) else None
    if not isinstance(table, dict) or last not in table or isinstance(table[last], dict):
        raise UsageError(f"{field}: there is no such field; name one as in optim.learning_rate")
    try:
        table[last] = json.loads(text)
    except (ValueError, RecursionError):
        table[last] = text


def check_together(configs: dict[str, RunConfig]) -> None:
    """Raise `UsageError`, naming what differs, unless the runs can be one compiled step.

    Free to differ are seeds, learning rates and schedules, penalties, clipping, data modes and all
    other settings of sequences, exemplars of one size, starts, frozen parts and interventions.
    """
    if not configs:
        raise UsageError("no runs are given; give the config of at least one")
    (first, base), *others = configs.items()
    ours = _shared(base)
    for name, config in others:
        theirs = _shared(config)
        if differing := [field for field in ours if theirs[field] != ours[field]]:
            field = differing[0]
            raise UsageError(
                f"runs that are trained together share {field}, but it is {ours[field]} in {first} "
                f"and {theirs[field]} in {name}; train each by a command of its own"
            )


def _shared(config: RunConfig) -> dict[str, Any]:
    """What runs that are trained together have in common."""
    data, evaluation = config.data, config.evaluation
    optim = to_dict(replace(config.optim, **FREE_OPTIM))
    return {
        **{f"model.{name}": value for name, value in to_dict(config.model).items()},
        **{f"optim.{name}": value for name, value in optim.items()},
        "data.exemplars.n_classes": data.exemplars.n_classes,
        "data.context": data.context,
        "data.batch_size": data.batch_size,
        "evaluation.every": evaluation.every,
        "precision": config.precision,
        "keep_half": config.keep_half,
        "n_steps": config.n_steps,
        "checkpoint_every": config.checkpoint_every,
        "checkpoint_at": config.checkpoint_at,
        "checkpoints_per_decade": config.checkpoints_per_decade,
    }


def create_ensemble(path: Path, configs: dict[str, RunConfig], machine: Machine) -> list[RunFolder]:
    """Make a folder of run folders; a path that holds anything already raises `UsageError`."""
    check_new_folder(path)
    runs = [create_run(path / name, config, machine) for name, config in configs.items()]
    write_json(path / ENSEMBLE, {"runs": list(configs)})  # last: what is there is whole
    return runs


def load_runs(path: Path) -> list[RunFolder]:
    """The runs of an ensemble's folder, or the one of a run's folder."""
    index = path / ENSEMBLE
    if not index.exists():
        return [load_run(path)]
    try:
        names = json.loads(index.read_text())["runs"]
        if not (names and isinstance(names, list) and all(isinstance(n, str) for n in names)):
            raise ValueError("expected a list of names")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{index} is damaged ({error}); resume its runs one by one, or start anew"
        ) from error
    missing = [name for name in names if not (path / name).is_dir()]
    if missing:
        raise UserError(
            f"{path} lacks the run {missing[0]}, which {ENSEMBLE} lists; put it back, or give the "
            "folders of the others one by one"
        )
    return [load_run(path / name) for name in names]
