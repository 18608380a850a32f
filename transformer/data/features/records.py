"""Features that an encoder has made so far: a folder of arrays, written one after the other.

`about.json` says which encoder and drawings they are of, and which machines made them: a call may
be continued on another machine or by another version.  An array is whole or not there.
"""

import io
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import remove_stale_temporaries, write_bytes, write_json
from coopetition.tools.locks import hold
from transformer.config.plain import difference

ABOUT, LOCK = "about.json", "lock"


@dataclass(frozen=True, slots=True)
class Records:
    """Features of successive groups of drawings, in half precision."""

    folder: Path
    machines: list[dict[str, Any]]
    """The machines and versions that made them, each once."""

    def n_done(self) -> int:
        """Return the number of records that are there."""
        return next(number for number in itertools.count() if not self._file(number).exists())

    def write(self, number: int, features: NDArray[np.float16]) -> None:
        """Write a record."""
        content = io.BytesIO()
        np.save(content, features)
        write_bytes(self._file(number), content.getvalue())

    def read(self, number: int) -> NDArray[np.float16]:
        """Return a record; a damaged one raises `UserError`."""
        path = self._file(number)
        try:
            return np.load(path)
        except (ValueError, EOFError) as error:
            raise UserError(f"{path} is damaged; remove it to have it made again") from error

    def remove(self) -> None:
        """Remove all records."""
        for path in self.folder.glob("*.npy"):
            path.unlink()

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06}.npy"


@contextmanager
def open_records(folder: Path, about: dict[str, Any], machine: dict[str, Any]) -> Iterator[Records]:
    """Open a folder of records, new or begun, for one process at a time.

    A folder of other records, or of something else, raises `UsageError` and stays as it is.
    A folder without records is removed at the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = UserError(f"{folder} is being written by another process; wait for it or stop it")
    try:
        with hold(folder / LOCK, busy, remove=True):
            remove_stale_temporaries(folder)
            records = Records(folder, _machines(folder, about, machine))
            write_json(folder / ABOUT, {"about": about, "machines": records.machines})
            try:
                yield records
            finally:
                if not records.n_done():
                    (folder / ABOUT).unlink()
    finally:
        with suppress(OSError):  # unless something is in it
            folder.rmdir()


def _machines(folder: Path, about: dict[str, Any], machine: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the machines of the records in a folder and this one; check what they are about."""
    found = read_about(folder)
    if {each.name for each in folder.iterdir()} <= {ABOUT, LOCK}:
        return [machine]
    if not found:
        raise UsageError(
            f"{folder} holds something else than unfinished features of this version; remove it or "
            "give another name"
        )
    if differing := difference(found["about"], about):
        raise UsageError(
            f"{folder} holds unfinished features of something else ({differing}); remove it or "
            "give another name"
        )
    machines = found["machines"]
    return machines if machine in machines else [*machines, machine]


def read_about(folder: Path) -> dict[str, Any]:
    """Return the tables `about` and `machines` of a folder of records; {} if it has none."""
    try:
        found = json.loads((folder / ABOUT).read_text())
        return {"about": dict(found["about"]), "machines": list(found["machines"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
