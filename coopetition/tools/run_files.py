"""The manifest of a run folder, as JSON, for the theory and for the trainer.

The metrics file of a run: lines of JSON, the last of which may be cut short by a crash.

A line is a flat object: `step`, `sequences`, `batch_loss` (mean since the line before), of the last
step `learning_rate` and `gradient_norm` (of its loss, before it, over all that is trained, without
penalties and clipping), `seconds` in training since the run's start, over all sessions, and
`<evaluator>/<metric>`; a number that is undefined is null.  `pandas.read_json(path, lines=True)`
reads the file.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError, abbreviate

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 3  # of run folders; a change that old code cannot read raises it
ADVICE = "put it back, or train the run anew in another folder"


def read_manifest(folder: Path) -> dict[str, Any]:
    """What it holds, of a run of this version's format.

    One that is missing raises `UsageError`; damaged or of another version, `UserError`.
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
    """What is wrong with a manifest."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def not_a_run(folder: Path, lacks: str) -> UsageError:
    """The mistake of naming a folder that is no run's, for it lacks a file that runs have."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        return UsageError(f"{folder} {what}; name the folder of a run")
    found = [*folder.glob(f"*/{lacks}"), *folder.glob(f"*/*/{lacks}")]
    if runs := sorted(str(each.parent.relative_to(folder)) for each in found):
        return UsageError(
            f"{folder} is not a run folder but holds runs; name one: {abbreviate(runs, 5)}"
        )
    return UsageError(f"{folder} is not a run folder: it has no {lacks}; name one that has")


Row = dict[str, Any]


def read_metrics(path: Path) -> list[Row]:
    """The lines so far, but for a last one that was cut short by a crash.

    If one is damaged before the last, raises `UserError`.
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
    """Each whole line, parsed and as it stands; ends at the first that is not whole."""
    for text in io.BytesIO(content):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not (text.endswith(b"\n") and isinstance(row, dict) and _is_metrics(row)):
            return
        yield row, text


def _is_metrics(row: Row) -> bool:
    numbers = all(value is None or _is_number(value) for value in row.values())
    return numbers and all(type(row.get(name)) is int for name in ("step", "sequences"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
