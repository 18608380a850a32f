"""Lock files (`flock`: POSIX systems only); the system frees the lock of a process that dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coopetition.tools.errors import UserError

WAITS_S = (0.05, 0.1, 0.2)  # another process may just be asking whether the lock is held


@contextmanager
def hold(
    path: Path, busy: UserError, *, shared: bool = False, remove: bool = False
) -> Iterator[None]:
    """Hold a lock file, alone or (`shared`) with others that share it, or raise `busy`.

    With `remove` the file is removed at the end.
    """
    while True:
        with open(path, "a") as file:
            _acquire(file.fileno(), busy, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            if not _is_at(path, file.fileno()):
                continue  # the process that held it has just removed it
            try:
                yield
            finally:
                if remove:
                    path.unlink()
            return


def _acquire(descriptor: int, busy: UserError, kind: int) -> None:
    for wait in (*WAITS_S, None):
        try:
            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if wait is None:
                raise busy from error
            time.sleep(wait)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock file alone."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
