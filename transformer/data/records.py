"""Work that is kept piece by piece in a file, so that what was killed goes on where it stopped.

The file holds a line that says what it is, a line of JSON that says of what, and records: content
and a digest of it.  A record that a kill cut short, or that is damaged, and all after it are made
again.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from coopetition.tools.errors import UsageError, UserError
from transformer.data.provenance import difference

MAGIC = b"coopetition: records of work that may not be whole\n"
DIGEST_BYTES = 16


@dataclass(slots=True)
class Records:
    """The records of an open file."""

    file: BinaryIO
    first: int
    """Where the first record begins."""
    sizes: list[int]
    """Bytes of every record there is to be."""
    n_done: int = 0

    def append(self, content: bytes) -> None:
        """Write the next record."""
        assert len(content) == self.sizes[self.n_done]
        self.file.seek(self._place(self.n_done))
        self.file.write(content + _digest(content))
        self.file.flush()
        self.n_done += 1

    def read(self, number: int) -> bytes:
        """A record that is done."""
        self.file.seek(self._place(number))
        return self.file.read(self.sizes[number])

    def count(self) -> None:
        """Find how many are there and sound; cut off the rest."""
        self.n_done = 0
        while self.n_done < len(self.sizes):
            content = self.read(self.n_done)
            if self.file.read(DIGEST_BYTES) != _digest(content):
                break
            self.n_done += 1
        self.file.truncate(self._place(self.n_done))

    def _place(self, number: int) -> int:
        return self.first + sum(self.sizes[:number]) + number * DIGEST_BYTES


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


@contextmanager
def open_records(path: Path, about: dict[str, Any], sizes: list[int]) -> Iterator[Records]:
    """The records in a file, made if it is not there; no other process may have it open.

    One that is about something else, or no such file, raises `UsageError` and is left as it is.
    """
    header = MAGIC + json.dumps(about, sort_keys=True).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path) as file:
        found = file.read(len(header))
        if found != header:
            if not header.startswith(found):  # else killed before its lines were written
                raise UsageError(f"{path} {_what_is_wrong(path, about)}")
            file.seek(0)
            file.write(header)
        records = Records(file, len(header), sizes)
        records.count()
        yield records


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    while True:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"{path} is being written by another process; wait for it or stop it"
                ) from error
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                continue  # the process that had it has just finished and removed it
            yield file
            return


def about_records(path: Path) -> dict[str, Any] | None:
    """What a file of records is about; None if it is none, or its lines are not whole."""
    with open(path, "rb") as file:
        if file.readline(len(MAGIC)) != MAGIC:
            return None
        line = file.readline()
    try:
        about = json.loads(line)
    except ValueError:
        return None
    return about if isinstance(about, dict) and line.endswith(b"\n") else None


def _what_is_wrong(path: Path, about: dict[str, Any]) -> str:
    found = about_records(path)
    if found is None:
        return "is there and holds no partial work; remove it or choose another name"
    return (
        f"holds partial work on something else ({difference(found, about)}); remove it or choose "
        "another name"
    )
