"""The record of a run: what was run, with which versions, on what."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from coopetition.compare.curves import RUN_FORMAT
from coopetition.tools.errors import UsageError, UserError
from transformer.config import RunConfig, to_dict
from transformer.runs.machine import Execution, Machine

NAME = "manifest.json"
PACKAGES = ("coopetition", "torch", "numpy", "safetensors")


def make_manifest(config: RunConfig, machine: Machine) -> dict[str, Any]:
    """The manifest of a new run."""
    return {
        "format": RUN_FORMAT,
        "run_id": config.run_id(),
        "config": to_dict(config),
        "device": machine.device,
        "threads": machine.threads,
        "execution": machine.execution,
        "versions": {name: version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "git": git_revision(),
    }


def read_manifest(folder: Path) -> tuple[RunConfig, Machine]:
    """Config and machine of a run folder.

    One that is missing or foreign raises `UsageError`; damaged or of another version, `UserError`.
    """
    path = folder / NAME
    try:
        manifest = json.loads(path.read_text())
        found = manifest["format"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{folder} is not a run folder: it has no {NAME}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged or not a run's ({type(error).__name__}: {error}); "
            "start the run anew"
        ) from error
    if found != RUN_FORMAT:
        raise UserError(
            f"{folder} has run format {found!r}; this version reads format {RUN_FORMAT}: "
            f"use the coopetition version that wrote it ({manifest.get('versions')})"
        )
    try:
        config = RunConfig.from_dict(manifest["config"])
        machine = Machine(str(manifest["device"]), int(manifest["threads"]), manifest["execution"])
        if machine.execution not in get_args(Execution) or machine.threads < 1:
            raise ValueError(f"execution={machine.execution!r}, threads={machine.threads}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    return config, machine


def git_revision() -> str | None:
    """Commit of the source tree, with `+` if it has uncommitted changes; None outside git."""
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
