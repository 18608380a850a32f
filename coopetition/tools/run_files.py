"""Read the manifest and the metrics of a run folder, for the theory and for the trainer.

The manifest is a JSON object.  The metrics file has one flat JSON object a line, with

- `step`, `sequences`
- `batch_loss`: mean since the line before
- `learning_rate`, `gradient_norm` of the last step: the norm is that of its loss, before it, over
  all trained parameters, without penalties and clipping
- `seconds`: in training since the run's start, over all sessions
- `<evaluator>/<metric>`

A number that is undefined is null.  A crash may cut the last line short.
`pandas.read_json(path, lines=True)` reads the file.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

from coopetition.tools.errors import UsageError, UserError, abbreviate

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 3  # of run folders; increased by a change that old code cannot read
ADVICE = "restore it, or train the run again in another folder"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run.

    Raises
    ------
    UsageError : the folder is not that of a run
    UserError : the manifest is damaged, or of another version's format
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        found = manifest["format"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise not_a_run(folder, MANIFEST) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged or not a run's ({describe_error(error)}); {ADVICE}"
        ) from error
    if found != MANIFEST_FORMAT:
        versions = manifest.get("versions")
        wrote = versions.get("coopetition") if isinstance(versions, dict) else None
        raise UserError(
            f"{folder} has run format {found!r}; this version reads format {MANIFEST_FORMAT}: "
            f"use the version of coopetition that wrote it ({wrote or 'which it does not say'})"
        )
    return manifest


def describe_error(error: Exception) -> str:
    """Say what is wrong with a manifest."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def not_a_run(folder: Path, missing: str, advice: str = "name one that has") -> UsageError:
    """Return the error for a folder that is not a run's, because a file is missing."""
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        return UsageError(f"{folder} {problem}; name the folder of a run")
    found = [*folder.glob(f"*/{missing}"), *folder.glob(f"*/*/{missing}")]
    if runs := sorted(str(each.parent.relative_to(folder)) for each in found):
        return UsageError(
            f"{folder} is not a run folder but holds runs; name one: {abbreviate(runs, 5)}"
        )
    return UsageError(f"{folder} is not a run folder: it has no {missing}; {advice}")


Row = dict[str, Any]


def read_metrics(path: Path) -> list[Row]:
    """Return the lines so far, without a last one that a crash cut short.

    A damaged line before the last raises `UserError`.
    """
    content = path.read_bytes() if path.exists() else b""
    lines = list(complete_lines(content))
    rest = content[sum(len(text) for _, text in lines) :]
    if b"\n" in rest[:-1]:
        raise UserError(
            f"line {len(lines) + 1} of {path} is damaged, and it is not the last; restore it"
        )
    return [row for row, _ in lines]


def complete_lines(content: bytes) -> Iterator[tuple[Row, bytes]]:
    """Yield each complete line, parsed and as bytes, up to the first that is not complete."""
    for text in io.BytesIO(content):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not (text.endswith(b"\n") and isinstance(row, dict) and _is_metrics(row)):
            return
        yield row, text


def _is_metrics(row: Row) -> bool:
    numbers = all(type(value) in (int, float, NoneType) for value in row.values())
    return numbers and all(type(row.get(name)) is int for name in ("step", "sequences"))
