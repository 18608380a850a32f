"""Values of which several are one flag."""

from typing import Self


class InOneText:
    """Base of values of which a tuple is one flag's text, read and written by their class."""

    @classmethod
    def read_flag(cls, text: str) -> tuple[Self, ...]:
        """The values that a text says; a mistake raises `UsageError`."""
        raise NotImplementedError

    @classmethod
    def write_flag(cls, values: tuple[Self, ...]) -> str:
        """The inverse of `read_flag`."""
        raise NotImplementedError
