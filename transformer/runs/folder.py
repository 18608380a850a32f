"""Run folders and the folders of ensembles; `transformer.runs.layout` lists their files."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coopetition.fitting.curves import Curves
from coopetition.fitting.reading import read_curves
from coopetition.tools.errors import UsageError, UserError, abbreviate
from coopetition.tools.files import (
    NO_SPACE,
    check_writable,
    html_table,
    remove_stale_temporaries,
    to_frame,
    to_json,
    write_all,
    write_json,
)
from coopetition.tools.locks import hold, is_held
from coopetition.tools.run_files import Row, read_metrics
from transformer.config import RunConfig
from transformer.data.evaluators import load_evaluation_sets
from transformer.data.sequences import Sequences
from transformer.runs.checkpoint import (
    DamagedCheckpoint,
    MissingCheckpoint,
    holds_state,
    read_checkpoint,
)
from transformer.runs.layout import (
    CHECKPOINTS,
    ENSEMBLE,
    EVALUATORS,
    LOCK,
    MANIFEST,
    METRICS,
    STATES,
    STATUS,
    list_steps,
    step_file,
)
from transformer.runs.manifest import make_manifest, read_record
from transformer.runs.metrics import whole_lines
from transformer.training.ensemble import Checkpoint
from transformer.training.machine import Machine

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True, repr=False)
class RunFolder:
    """One run on disk."""

    path: Path
    config: RunConfig
    machine: Machine

    def __repr__(self) -> str:
        return f"<RunFolder {self.path}: run {self.config.run_id()}, {self._progress()}>"

    def _repr_html_(self) -> str:
        status = self.current_status()
        rows = [
            ("run", str(self.path)),
            ("run id", self.config.run_id()),
            ("status", f"{status['status']}: {status['message']}"),
            ("checkpoints", self._progress()),
        ]
        return html_table(rows)

    def _progress(self) -> str:
        return f"step {max(self.steps(), default=0):,} of {self.config.n_steps:,}"

    def to_frame(self) -> "DataFrame":
        """Return the metrics as a data frame, a row a step; without pandas raise `UserError`."""
        rows = self.metrics()
        names = dict.fromkeys(name for row in rows for name in row)
        return to_frame({name: [row.get(name) for row in rows] for name in names})

    @property
    def shared(self) -> Path:
        """The folder that the runs of an ensemble share; a single run's own."""
        in_ensemble = (self.path.parent / ENSEMBLE).exists()
        return self.path.parent if in_ensemble else self.path

    @property
    def metrics_path(self) -> Path:
        """The file of metrics."""
        return self.path / METRICS

    def metrics(self) -> list[Row]:
        """Return the metrics so far, see `coopetition.tools.run_files`.

        What older runs did not record is None.
        """
        names = ("step", "sequences", "learning_rate", "gradient_norm", "seconds")
        return [dict.fromkeys(names) | row for row in read_metrics(self.metrics_path)]

    def check_measured(self) -> None:
        """Raise `UserError` if the run has no metrics."""
        if not self.metrics():
            raise UserError(
                f"{self.path} has no metrics; put its {METRICS} back, or train the run anew"
            )

    def curves(self, metric: str = "in_context_accuracy") -> Curves:
        """Return one metric of every evaluator against sequences seen."""
        return read_curves(self.path, metric, first=0)

    def evaluation_sets(self) -> dict[str, Sequences]:
        """Return the evaluation sets by name; they are drawn once and kept on disk."""
        return load_evaluation_sets(self.shared / EVALUATORS, self.config)

    def checkpoint_path(self, step: int) -> Path:
        """Return the file of a step's weights."""
        return self._step_file(CHECKPOINTS, step)

    def state_path(self, step: int) -> Path:
        """Return the file of a step's state, from which training can continue."""
        path = self._step_file(STATES, step)
        return path if path.exists() else self.checkpoint_path(step)

    def _step_file(self, kind: str, step: int) -> Path:
        """Return the run's own file of a step, or that of its ensemble."""
        own = step_file(self.path, kind, step)
        return own if own.exists() else step_file(self.shared, kind, step)

    def steps(self) -> list[int]:
        """Return the steps of which there are weights, in rising order."""
        return self._list_steps(CHECKPOINTS)

    def state_steps(self) -> list[int]:
        """Return the steps of which there is a state, in rising order.

        Version 0.1 wrote states in place of weights.
        """
        steps = self._list_steps(STATES)
        return steps or [each for each in self.steps() if holds_state(self.checkpoint_path(each))]

    def _list_steps(self, kind: str) -> list[int]:
        steps = {*list_steps(self.path, kind)}
        if (shared := self.shared) != self.path:
            end = self._diverged_at()
            steps |= {step for step in list_steps(shared, kind) if end is None or step < end}
        return sorted(steps)

    def checkpoint(self, step: int) -> Checkpoint:
        """Return the weights of a step by name; `steps` lists which there are.

        Missing ones raise `MissingCheckpoint`; damaged ones, and those of another run,
        `DamagedCheckpoint`.
        """
        try:
            return self._read(self.checkpoint_path(step))
        except MissingCheckpoint as error:
            raise MissingCheckpoint(
                f"{self.path} has no checkpoint of step {step}; it has {self.steps() or 'none'}"
            ) from error

    def state(self, step: int) -> Checkpoint:
        """Return the state of a step; errors as in `checkpoint`."""
        return self._read(self.state_path(step))

    def _read(self, path: Path) -> Checkpoint:
        found, own = read_checkpoint(path, self.path.name), self.config.run_id()
        if found.run_id != own:
            raise DamagedCheckpoint(
                f"checkpoint {path} is of another run ({found.run_id}, not {own})"
            )
        return found

    def is_sound(self, step: int) -> bool:
        """Return whether there are undamaged weights of a step."""
        try:
            self.checkpoint(step)
        except UserError:
            return False
        return True

    def exists(self) -> bool:
        """Return whether the folder is still where it was opened."""
        return (self.path / MANIFEST).exists()

    def check_exists(self) -> None:
        """Raise `UserError` if the folder was moved or removed since it was opened."""
        if not self.exists():
            raise UserError(
                f"{self.path} was moved or removed while it was trained; resume it where it is"
            )

    def current_status(self) -> dict[str, str]:
        """Return `status` and `message`; a run whose process died without notice is `killed`."""
        recorded = self.recorded_status()
        if recorded["status"] == "running" and not self._is_locked():
            return {"status": "killed", "message": "stopped without notice; resume it"}
        return recorded

    def recorded_status(self) -> dict[str, str]:
        """Return `status` and `message` as they were last recorded."""
        try:
            content = json.loads((self.path / STATUS).read_text())
            return {name: str(content[name]) for name in ("status", "message")}
        except FileNotFoundError:
            return {"status": "created", "message": "not started; resume it"}
        except (ValueError, KeyError, TypeError):
            return {"status": "unknown", "message": f"{STATUS} is damaged; resume the run"}

    def has_diverged(self) -> bool:
        """Return whether it is recorded as diverged."""
        return self.recorded_status()["status"] == "diverged"

    def _diverged_at(self) -> int | None:
        """Return the first step whose ensemble checkpoint lacks the run, if it diverged."""
        if not self.has_diverged():
            return None
        return json.loads((self.path / STATUS).read_text()).get("step", 0)

    def is_finished(self) -> bool:
        """Return whether all steps are done and measured, and the last weights are undamaged."""
        last = self.config.n_steps
        return (
            self.recorded_status()["status"] == "finished"
            and self.steps()[-1:] == [last]
            and [row["step"] for row in self.metrics()[-1:]] == [last]
            and self.is_sound(last)
        )

    def _is_locked(self) -> bool:
        return is_held(self.path / LOCK) or is_held(self.shared / LOCK)


@contextmanager
def lock(runs: list[RunFolder]) -> Iterator[None]:
    """Hold the folder of a run or an ensemble, so that no other process trains it."""
    shared = runs[0].shared
    folder = runs[0].path if len(runs) == 1 else shared
    with ExitStack() as held:
        try:
            held.enter_context(hold(folder / LOCK, _busy(folder)))
            if folder != shared:  # nor may another process train the run in its ensemble
                held.enter_context(hold(shared / LOCK, _busy(shared), shared=True))
        except OSError:
            check_writable(folder / MANIFEST)
            check_writable(shared / MANIFEST)
            raise
        remove_stale_temporaries(folder)
        yield


def _busy(folder: Path) -> UserError:
    return UserError(f"{folder} is being trained by another process; wait for it or stop it")


def set_status(runs: list[RunFolder], status: str, message: str, step: int | None = None) -> None:
    """Record a status (running, finished, interrupted, failed, diverged) where folders exist.

    A run that diverged has no part in its ensemble's checkpoints from `step` on.
    """
    record = {"status": status, "message": message} | ({} if step is None else {"step": step})
    content = to_json(record).encode()
    write_all({run.path / STATUS: content for run in runs if run.exists()})


def create_run(path: Path, config: RunConfig, machine: Machine) -> RunFolder:
    """Create a run folder; a path that is not free raises `UsageError`."""
    check_new_folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made ({error.strerror}); name another") from error
    run = RunFolder(path.resolve(), config, machine)
    with lock([run]):
        check_new_folder(path)  # again, now that no other process can be making it
        write_json(path / MANIFEST, make_manifest(config, machine))
    return run


def create_ensemble(path: Path, configs: dict[str, RunConfig], machine: Machine) -> list[RunFolder]:
    """Create a folder of run folders; a path that is not free raises `UsageError`."""
    check_new_folder(path)
    runs = [create_run(path / name, config, machine) for name, config in configs.items()]
    write_json(path / ENSEMBLE, {"runs": list(configs)})  # last, so that a listed run is complete
    return runs


@contextmanager
def explain_write_errors(runs: list[RunFolder]) -> Iterator[None]:
    """Turn an error of the system, such as a full disk, into `UserError` that says what to do."""
    try:
        yield
    except BrokenPipeError:
        raise  # of the program's output
    except OSError as error:
        cause = NO_SPACE.get(error.errno or 0, "remove the cause")
        place, again = "give another folder", "start it again"
        if runs[0].exists():
            place, again = "move the run's folder to another disk", "resume it"
        raise UserError(f"{error} ({cause}, or {place}; then {again})") from error


@contextmanager
def remove_unless_begun(runs: list[RunFolder]) -> Iterator[None]:
    """Remove new runs whose set-up fails, before their first metrics; a resume would fail, too."""
    try:
        yield
    except Exception:
        if not any(whole_lines(run.metrics_path) for run in runs):
            with contextlib.suppress(OSError):  # the failure of the set-up is what matters
                _remove_contents(runs[0].shared)
        raise


def _remove_contents(folder: Path) -> None:
    """Remove a folder, apart from hidden files that are not of a run."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
            shutil.rmtree(path)
        elif path.name == LOCK or not path.name.startswith("."):
            path.unlink()
    if folder != Path.cwd():
        folder.rmdir()


def check_new_folder(path: Path) -> None:
    """Raise `UsageError` if a path is not free for a new run."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is not a new folder; name one")
    if path.exists() and any(not file.name.startswith(".") for file in path.iterdir()):
        hint = "resume it" if (path / MANIFEST).exists() else "name a new folder"
        remove = "" if path.resolve() == Path.cwd() else ", or remove it"
        raise UsageError(f"{path} exists already and is not empty; {hint}{remove}")
    parent = next((each for each in path.absolute().parents if (each / MANIFEST).exists()), None)
    if parent is not None:
        raise UsageError(f"{path} is in the run folder {parent}; name another place")


def load_run(path: Path | str) -> RunFolder:
    """Open a run folder: its config, curves and checkpoints.

    The path is resolved, so that a run may be named by `.` from its own folder.  A missing or
    foreign folder raises `UsageError`; a damaged one, or one of another version, `UserError`.
    """
    path = Path(path).resolve()
    if (path / ENSEMBLE).exists():
        names = sorted(each.parent.name for each in path.glob(f"*/{MANIFEST}"))
        raise UsageError(
            f"{path} holds runs that were trained together; name the folder of one "
            f"({abbreviate(names, 5)}), or load them all by transformer.runs.folder.load_runs"
        )
    return RunFolder(path, *read_record(path))


def load_runs(path: Path) -> list[RunFolder]:
    """Open the runs of an ensemble's folder, or the one of a run's folder."""
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
