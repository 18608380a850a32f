"""Flags of commands on a theory, and values given by name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from coopetition.tools.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TheoryFlags:
    theory: str = "toy"
    """Name of the theory: `toy`, a variant such as `toy_no_sharing`, or a rival such as
    `logistic_race`. The error for an unknown name lists all."""


def split_names(words: Iterable[str]) -> tuple[str, ...]:
    """Return names that are separated by commas or spaces."""
    return tuple(name for word in words for name in word.split(",") if name)


def read_assignments(
    flag: str, words: Iterable[str], read: Callable[[str], T], expected: str
) -> dict[str, T]:
    """Return the values of `NAME=VALUE` words by name; a mistake raises `UsageError`."""
    values: dict[str, T] = {}
    for word in split_names(words):
        name, _, text = word.partition("=")
        try:
            value = read(text)
        except ValueError as error:
            raise UsageError(f"{flag} {word}; expected NAME={expected}") from error
        if not name:
            raise UsageError(f"{flag} {word}; expected NAME={expected}")
        if name in values:
            raise UsageError(f"{flag} {' '.join(words)}; give each parameter once")
        values[name] = value
    return values
