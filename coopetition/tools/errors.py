"""Errors that a command reports in one line, and checks that raise them."""

import re
from collections.abc import Sequence

LACK_OF_MEMORY = re.compile(r"out of memory|can't allocate|_ALLOC_FAILED")  # as torch says
MAX_NAME_LENGTH = 200  # characters of a name that a message shows


class UserError(Exception):
    """Something outside the program stopped it: a missing file, a damaged checkpoint, a full disk.

    The message says what was given, what was expected and what to change.  Commands print it
    without a traceback and exit with `exit_code`.
    """

    exit_code = 1


class UsageError(UserError, ValueError):
    """A value that the caller gave cannot be used."""

    exit_code = 2


class Interrupted(UserError):
    """A signal stopped the work, and what was done so far is kept.

    `exit_code` is what a shell gives for a process that the signal ended: 128 plus its number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether numpy, or torch on any device, could not allocate memory."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and LACK_OF_MEMORY.search(str(error)) is not None
    )


def check_type(value: object, kind: type | tuple[type, ...], description: str) -> None:
    """Raise `UsageError` unless a value is of a type; `description` names one, as "a Model"."""
    if not isinstance(value, kind):
        shown = repr(value)
        shown = "a value" if "\n" in shown else f"{shown:.80}"  # not the numbers of a table
        raise UsageError(f"expected {description}, got {shown} of type {type(value).__name__}")


def abbreviate(names: Sequence[object], shown: int = 3) -> str:
    """Return the first names, each cut to `MAX_NAME_LENGTH`, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(f"{name!s:.{MAX_NAME_LENGTH}}" for name in names[:shown]) + more
