"""Work that is kept piece by piece in a file, so that what was killed goes on where it stopped.

The file holds a line that says what it is, a line of JSON that says of what, and records: a line of
JSON that says what made it, content, and a digest of both.  So what is begun on one machine, or by
one version, may go on by another, and both are known.  A record that a kill cut short, or that is
damaged, and all after it are made again.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from coopetition.tools.errors import UsageError, UserError
from transformer.config.plain import difference

MAGIC = b"coopetition: records of work that may not be whole, 2\n"
DIGEST_BYTES = 16
LONGEST = 2**16  # bytes of a line that says what made a record

Table = dict[str, Any]


@dataclass(slots=True)
class Records:
    """The records of an open file."""

    file: BinaryIO
    end: int
    """Where the next record begins."""
    sizes: list[int]
    """Bytes of the content of every record there is to be."""
    maker: bytes
    """The line of what makes those that are added."""
    done: list[tuple[bytes, int]] = field(default_factory=list)
    """Of those that are there: what made it, and where its content begins."""

    @property
    def n_done(self) -> int:
        """How many are there."""
        return len(self.done)

    def append(self, content: bytes) -> None:
        """Write the next record."""
        assert len(content) == self.sizes[self.n_done]
        self.file.seek(self.end)
        self.file.write(self.maker + content + _digest(self.maker + content))
        self.file.flush()
        self._count(self.maker)

    def read(self, number: int) -> bytes:
        """The content of a record that is done."""
        self.file.seek(self.done[number][1])
        return self.file.read(self.sizes[number])

    def makers(self) -> list[Table]:
        """What made those that are there, and what makes others: each once."""
        lines = dict.fromkeys([*(maker for maker, _ in self.done), self.maker])
        return [json.loads(line) for line in lines]

    def drop(self) -> None:
        """Forget all: the file does not stay."""
        self.done.clear()

    def find(self) -> None:
        """Find those that are there and sound; cut off the rest."""
        self.file.seek(self.end)
        for size in self.sizes:
            maker, content = self.file.readline(LONGEST), self.file.read(size)
            if self.file.read(DIGEST_BYTES) != _digest(maker + content):
                break
            self._count(maker)
        self.file.truncate(self.end)

    def _count(self, maker: bytes) -> None:
        begin = self.end + len(maker)
        self.end = begin + self.sizes[self.n_done] + DIGEST_BYTES
        self.done.append((maker, begin))


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


@contextmanager
def open_records(path: Path, about: Table, sizes: list[int], maker: Table) -> Iterator[Records]:
    """The records in a file, made if it is not there; no other process may have it open.

    Those that are added name their `maker`.  A file that is about something else, or no such file,
    raises `UsageError` and is left as it is, unless no work is in it.  One in which no record is
    done does not stay.
    """
    header = MAGIC + _line(about)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path) as file:
        found = file.read(len(header))
        if found != header:
            # what is part of it was killed before its lines were written
            if not header.startswith(found) and not _is_idle(path):
                raise UsageError(f"{path} {_what_is_wrong(path, about)}")
            file.seek(0)
            file.truncate()
            file.write(header)
        records = Records(file, len(header), sizes, _line(maker))
        records.find()
        try:
            yield records
        finally:
            if not records.done:
                path.unlink(missing_ok=True)


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


def read_head(path: Path) -> tuple[Table | None, Table | None]:
    """What a file of records is about, and what made the first; None for what it does not say."""
    with open(path, "rb") as file:
        if file.readline(len(MAGIC)) != MAGIC:
            return None, None
        return _table(file.readline()), _table(file.readline())


def _line(table: Table) -> bytes:
    return json.dumps(table, sort_keys=True).encode() + b"\n"


def _table(line: bytes) -> Table | None:
    try:
        table = json.loads(line)
    except ValueError:
        return None
    return table if isinstance(table, dict) and line.endswith(b"\n") else None


def _is_idle(path: Path) -> bool:
    """Whether a file is one of records, but its first is not even begun."""
    about, maker = read_head(path)
    return about is not None and maker is None


def _what_is_wrong(path: Path, about: Table) -> str:
    found, _ = read_head(path)
    if found is None:
        return "is there and holds no partial work of this version; remove it or give another name"
    return (
        f"holds partial work on something else ({difference(found, about)}); remove it or give "
        "another name"
    )
