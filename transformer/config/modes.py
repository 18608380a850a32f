"""What a data mode is: how sequences are drawn; each has its file in `transformer.data.modes`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformer.config.registry import Registry

MODES: Registry["Mode"] = Registry("data mode", "transformer.data.modes")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a sequence of a mode needs of the exemplars."""

    distinct: int
    """Classes that are distinct for sure."""
    alike: int
    """Items, query included, that may be of one class."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A data mode.

    Attributes
    ----------
    draw : (rng, pool, config, n) -> exemplars (context + 1, n), labels (context, n), target (n,);
        see `transformer.data.sequences`
    needs : what it needs under a `DataConfig`; raises `UsageError` for one that it cannot serve
    doc : what it is, in one line, and more
    """

    draw: Callable[..., Any]
    needs: Callable[[Any], Needs]
    doc: str = ""


def mode(name: str, needs: Callable[[Any], Needs]) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that registers a function which draws sequences as a mode."""

    def register(draw: Callable[..., Any]) -> Callable[..., Any]:
        MODES.register(name)(Mode(draw, needs, draw.__doc__ or ""))
        return draw

    return register
