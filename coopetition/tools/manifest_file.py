"""The manifest of a run folder, as JSON, for the theory and for the trainer."""

import json
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError, some_of

NAME = "manifest.json"
FORMAT = 3  # of run folders; a change that old code cannot read raises it
ADVICE = "put it back, or train the run anew in another folder"


def read_manifest(folder: Path) -> dict[str, Any]:
    """What it holds, of a run of this version's format.

    One that is missing raises `UsageError`; damaged or of another version, `UserError`.
    """
    path = folder / NAME
    try:
        manifest = json.loads(path.read_text())
        found = manifest["format"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise no_run(folder, NAME) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged or not a run's ({in_a_line(error)}); {ADVICE}"
        ) from error
    if found != FORMAT:
        versions = manifest.get("versions")
        wrote = versions.get("coopetition") if isinstance(versions, dict) else None
        raise UserError(
            f"{folder} has run format {found!r}; this version reads format {FORMAT}: "
            f"use the version of coopetition that wrote it ({wrote or 'which it does not say'})"
        )
    return manifest


def in_a_line(error: Exception) -> str:
    """What is wrong with a manifest."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def no_run(folder: Path, lacks: str) -> UsageError:
    """The mistake of naming a folder that is no run's, for it lacks a file that runs have."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        return UsageError(f"{folder} {what}; name the folder of a run")
    found = [*folder.glob(f"*/{lacks}"), *folder.glob(f"*/*/{lacks}")]
    if runs := sorted(str(each.parent.relative_to(folder)) for each in found):
        return UsageError(
            f"{folder} is not a run folder but holds runs; name one: {some_of(runs, 5)}"
        )
    return UsageError(f"{folder} is not a run folder: it has no {lacks}; name one that has")
