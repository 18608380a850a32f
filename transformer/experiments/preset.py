"""What a named run is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from transformer.config import RunConfig

Scale = Literal["paper", "cpu"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A run by name."""

    make: Callable[[Scale], RunConfig]
    what: str
    """Where it belongs, and what is special about it."""
    after: str = ""
    """The preset whose checkpoint it starts from; its folder is to be given as `start.path`."""
