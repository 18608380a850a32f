"""The record of a run: what was run, with which versions, on which machine, in which sessions."""

import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, get_args

from coopetition.tools import run_files
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import to_json, write_all
from coopetition.tools.run_files import ADVICE, MANIFEST_FORMAT, describe_error
from coopetition.tools.versions import package_version
from transformer.config import RunConfig, to_dict
from transformer.config.registry import NotRegistered
from transformer.runs.layout import MANIFEST
from transformer.training.machine import Choice, Machine

PACKAGES = ("coopetition", "torch", "numpy", "safetensors")


class PluginMissing(UsageError):
    """A run's config names something that only a plugin registers."""


def make_manifest(config: RunConfig, machine: Machine) -> dict[str, Any]:
    """Return the manifest of a new run."""
    return {
        "format": MANIFEST_FORMAT,
        "run_id": config.run_id(),
        "config": to_dict(config),
        **asdict(machine),
        **describe_software(),
        "sessions": [],
    }


@cache  # asking git and the packages takes some 50 ms
def describe_software() -> dict[str, Any]:
    """Return versions and git revision, as they are when a process first asks."""
    versions = {name: package_version(name) for name in PACKAGES}
    return {"versions": versions | {"python": platform.python_version()}, "git": _git_revision()}


def begin_session(
    runs: Mapping[Path, RunConfig], machine: Machine, why_threads: str, step: int
) -> None:
    """Record a new session from a step on, and its machine and configs as those of the runs.

    Parameters
    ----------
    runs : configs by folder
    """
    session = {
        "why_threads": why_threads,
        "first_step": step,
        "last_step": None,
        "began": _now(),
        "ended": None,
    }
    contents = {}
    for folder, config in runs.items():
        manifest = _read(folder)
        manifest |= asdict(machine) | {
            "config": to_dict(config),
            "sessions": [
                *manifest.get("sessions", []),
                describe_software() | asdict(machine) | session,
            ],
        }
        contents[folder / MANIFEST] = to_json(manifest).encode()
    write_all(contents)


def end_session(folders: Iterable[Path], step: int) -> None:
    """Record the step at which the last session ended; one that was killed has none."""
    contents = {}
    for folder in folders:
        manifest = _read(folder)
        manifest["sessions"][-1] |= {"last_step": step, "ended": _now()}
        contents[folder / MANIFEST] = to_json(manifest).encode()
    write_all(contents)


def has_trained(folder: Path) -> bool:
    """Return whether a session began at a checkpoint, or ended in good order after some steps."""
    sessions = _read(folder).get("sessions", [])
    return any(session.get("first_step") or session.get("last_step") for session in sessions)


def read_sessions(folder: Path) -> list[tuple[int, float]]:
    """Return the first step of each session, and when it began in seconds since 1970."""
    return [
        (session["first_step"], datetime.fromisoformat(session["began"]).timestamp())
        for session in _read(folder).get("sessions", [])
    ]


def _read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_record(folder: Path) -> tuple[RunConfig, Machine]:
    """Return the config and machine of a run folder.

    A missing or foreign manifest raises `UsageError`, one that needs a plugin `PluginMissing`; a
    damaged one, or one of another version, `UserError`.
    """
    manifest = run_files.read_manifest(folder)
    try:
        config = RunConfig.from_dict(manifest["config"])
        machine = Machine(str(manifest["device"]), manifest["threads"], manifest["execution"])
        _check(machine, manifest.get("sessions", []))
    except NotRegistered as error:
        raise PluginMissing(f"{folder} needs a plugin that is not loaded: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{folder / MANIFEST} is damaged ({describe_error(error)}); {ADVICE}"
        ) from error
    return config, machine


def _check(machine: Machine, sessions: Any) -> None:
    if not (isinstance(sessions, list) and all(isinstance(each, dict) for each in sessions)):
        raise ValueError("sessions is not a list of tables")
    threads, execution = machine.threads, machine.execution
    is_valid = threads is None or (type(threads) is int and threads >= 1)
    if not is_valid or execution not in get_args(Choice):
        raise ValueError(f"{execution=}, {threads=}")


def _git_revision() -> str | None:
    """Return the source tree's commit, with `+` for uncommitted changes; None outside git."""
    source = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(source), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != source:
            return None  # installed into somebody else's repository
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
