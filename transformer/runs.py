"""The run folder: manifest, metrics, checkpoints, status.

    DIR/manifest.json      what was run, with which versions, on what
    DIR/metrics.jsonl      one line an evaluation, appended as it comes
    DIR/checkpoints/       step_NNNNNNNNN.safetensors
    DIR/status.json        how the last session on it ended
    DIR/.lock              held while a process trains it

A metrics line is a flat JSON object: `step`, `sequences`, `batch_loss` (mean since the line before)
and `<evaluator>/<metric>`; a number that is undefined is null.
"""

import fcntl
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from coopetition.compare.curves import RUN_FORMAT
from coopetition.errors import UsageError, UserError
from coopetition.files import write_bytes, write_json
from transformer.checkpoint import Checkpoint, DamagedCheckpoint, read_checkpoint
from transformer.config import RunConfig, to_dict


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run on disk."""

    path: Path
    config: RunConfig
    device: str
    threads: int

    @property
    def metrics_path(self) -> Path:
        """File of the metric lines."""
        return self.path / "metrics.jsonl"

    def checkpoint_path(self, step: int) -> Path:
        """File of the checkpoint of a step."""
        return self.path / "checkpoints" / f"step_{step:09d}.safetensors"

    def steps(self) -> list[int]:
        """Steps of which there is a checkpoint, rising."""
        files = (self.path / "checkpoints").glob("step_*.safetensors")
        numbers = (file.stem.removeprefix("step_") for file in files)
        return sorted(int(number) for number in numbers if number.isdecimal())

    def with_length(self, n_steps: int) -> "RunFolder":
        """The same run with another last step, on disk too; call it with the lock held."""
        done = max(self.steps(), default=0)
        if n_steps < done:
            raise UsageError(
                f"n_steps={n_steps} is before the checkpoint of step {done}; go further"
            )
        path = self.path / "manifest.json"
        config = replace(self.config, n_steps=n_steps)
        write_json(path, json.loads(path.read_text()) | {"config": to_dict(config)})
        return replace(self, config=config)

    def metrics(self) -> list[dict[str, Any]]:
        """Metric lines so far; a line that was cut short by a crash is left out."""
        return [row for row, _ in _complete_lines(self.metrics_path)]

    def cut_metrics(self, step: int) -> None:
        """Forget metric lines after `step`: a resumed run writes them again.

        If one that belongs before `step` is missing, raises `UserError`: it cannot be made again.
        """
        kept = [
            (row["step"], text)
            for row, text in _complete_lines(self.metrics_path)
            if row["step"] <= step
        ]
        expected = set(range(0, step + 1, self.config.evaluation.every))
        missing = sorted(expected - {done for done, _ in kept})
        if missing:
            raise UserError(
                f"{self.metrics_path} lacks step {missing[0]}, which the checkpoint of step {step} "
                "comes after; restore the file, or remove the checkpoints to start anew"
            )
        write_bytes(self.metrics_path, b"".join(text for _, text in kept))

    def latest_checkpoint(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest sound checkpoint, and a sentence about each newer one that is damaged."""
        damaged = []
        for step in reversed(self.steps()):
            try:
                return read_checkpoint(self.checkpoint_path(step)), damaged
            except DamagedCheckpoint as error:
                damaged.append(str(error))
        return None, damaged

    def status(self) -> dict[str, Any]:
        """`status`, `message` and `step`s of the run as it stands, for people and programs."""
        checkpoint, damaged = self.latest_checkpoint()
        saved = self._recorded()
        if saved["status"] == "running" and not self._locked():
            saved = {"status": "killed", "message": "stopped without notice; resume it"}
        return saved | {
            "step": checkpoint.step if checkpoint else 0,
            "n_steps": self.config.n_steps,
            "latest_checkpoint": str(self.checkpoint_path(checkpoint.step)) if checkpoint else None,
            "damaged": damaged,
            "run_id": self.config.run_id(),
        }

    def recorded_status(self) -> str:
        """What `set_status` last recorded."""
        return self._recorded()["status"]

    def set_status(self, status: str, message: str) -> None:
        """Record how the run stands: running, finished, interrupted or failed."""
        write_json(self.path / "status.json", {"status": status, "message": message})

    def _recorded(self) -> dict[str, str]:
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
            for left in self.path.rglob(".*.tmp"):  # of a process that was killed while writing
                left.unlink()
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


def create_run(path: Path, config: RunConfig, device: str, threads: int) -> RunFolder:
    """Make a run folder; a path that holds anything already raises `UsageError`."""
    check_new_folder(path)
    path.mkdir(parents=True, exist_ok=True)
    run = RunFolder(path, config, device, threads)
    with run.lock():
        check_new_folder(path)  # again, now that no other process can be making it
        write_json(path / "manifest.json", _manifest(run))
    return run


def check_new_folder(path: Path) -> None:
    """Raise `UsageError` if a path is not free for a new run."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path} is a file; name a folder")
    if path.exists() and any(not file.name.startswith(".") for file in path.iterdir()):
        hint = "resume it" if (path / "manifest.json").exists() else "name a new folder"
        raise UsageError(f"--out {path} exists already and is not empty; {hint}, or remove it")


def _manifest(run: RunFolder) -> dict[str, Any]:
    config = run.config
    return {
        "format": RUN_FORMAT,
        "run_id": config.run_id(),
        "config": to_dict(config),
        "device": run.device,
        "threads": run.threads,
        "versions": {
            name: version(name) for name in ("coopetition", "torch", "numpy", "safetensors")
        }
        | {"python": platform.python_version()},
        "git": git_revision(),
    }


def open_run(path: Path, *, device: str | None = None, data_path: str | None = None) -> RunFolder:
    """Open a run folder; one that is missing, foreign or of another version raises `UserError`.

    `device` and `data_path` are used instead of the recorded ones: a run may have moved.
    """
    manifest_path = path / "manifest.json"
    try:
        manifest = json.loads(manifest_path.read_text())
        found = manifest["format"]
    except FileNotFoundError as error:
        raise UsageError(f"{path} is not a run folder: it has no manifest.json") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{manifest_path} is damaged or not a run's ({type(error).__name__}: {error}); "
            "start the run anew"
        ) from error
    if found != RUN_FORMAT:
        raise UserError(
            f"{path} has run format {found!r}; this version reads format {RUN_FORMAT}: "
            f"use the coopetition version that wrote it ({manifest.get('versions')})"
        )
    try:
        config = RunConfig.from_dict(manifest["config"])
        if data_path is not None:
            config = config.at_data(data_path)
        recorded, threads = str(manifest["device"]), int(manifest["threads"])
        return RunFolder(path, config, device or recorded, threads)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{manifest_path} is damaged: {error}") from error


def git_revision() -> str | None:
    """Commit of the source tree, with `+` if it has uncommitted changes; None outside git."""
    source = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(source), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != source:
            return None  # installed into somebody else's repository
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _complete_lines(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each whole metric line, parsed and as it stands; ends at the first that is not whole."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for text in file:
            try:
                row = json.loads(text)
            except (json.JSONDecodeError, UnicodeDecodeError):
                return
            if not (text.endswith(b"\n") and isinstance(row, dict) and _is_metrics(row)):
                return
            yield row, text


def _is_metrics(row: dict[str, Any]) -> bool:
    numbers = all(value is None or isinstance(value, int | float) for value in row.values())
    return numbers and isinstance(row.get("step"), int) and "sequences" in row


class MetricsFile:
    """Appends metric lines, each on disk before training goes on."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab")  # noqa: SIM115 - closed by close()

    def append(self, row: dict[str, Any]) -> None:
        """Add one line."""
        self._file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
