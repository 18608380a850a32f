"""The mistakes and stops that a command reports in one line."""

from collections.abc import Sequence

NAME_LENGTH = 200  # characters of a name that a message shows


class UserError(Exception):
    """Something outside the program stopped it: a missing file, a damaged checkpoint, a full disk.

    The message says what came, what was expected and what to change; commands print it
    without a traceback and exit with `exit_code`.
    """

    exit_code = 1


class UsageError(UserError, ValueError):
    """A value that the caller gave cannot be used."""

    exit_code = 2


def expect(value: object, kind: type, what: str) -> None:
    """Raise `UsageError` unless a value is of a type; `what` names one, as in "an InitialState"."""
    if not isinstance(value, kind):
        raise UsageError(f"expected {what}, got {value!r:.80} of type {type(value).__name__}")


def some_of(names: Sequence[object], shown: int = 3) -> str:
    """The first of many names, each cut after `NAME_LENGTH`, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(f"{name!s:.{NAME_LENGTH}}" for name in names[:shown]) + more


class Interrupted(UserError):
    """A signal stopped the work, and what was done so far is kept.

    `exit_code` is the shells' for a process that the signal ended: 128 plus its number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
