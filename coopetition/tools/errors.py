"""The two kinds of mistakes that a command reports in one line."""


class UserError(Exception):
    """Something outside the program stopped it: a missing file, a damaged checkpoint, a full disk.

    The message says what came, what was expected and what to change; commands print it
    without a traceback and exit with `exit_code`.
    """

    exit_code = 1


class UsageError(UserError, ValueError):
    """A value that the caller gave cannot be used."""

    exit_code = 2
