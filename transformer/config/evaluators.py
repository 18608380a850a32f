"""Evaluators: fixed sets of sequences that tell strategies apart."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from transformer.config.data import DataConfig
from transformer.config.registry import Registry

EVALUATORS: Registry["Evaluator"] = Registry("evaluator", "transformer.data.evaluators")
"""The evaluators by name; `evaluator` adds one."""

DataOf = Callable[[DataConfig], DataConfig]
F = TypeVar("F", bound=DataOf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """A fixed set of sequences that tells strategies apart."""

    data: DataOf
    """Returns its sequences as training data, from the training data of a run; raises `UsageError`
    if it cannot be drawn for that run."""
    default: bool = False
    """Whether every run has it, if it can be drawn; `evaluation.also` adds others."""
    in_summary: bool = False
    """Whether short tables show its accuracy."""
    held_out: bool = False
    """Whether its classes are the held-out ones, instead of the first ones."""
    stream: int | None = None
    """Number of its random stream, for the five of the kept runs; None: its name seeds it."""
    doc: str = ""


def evaluator(name: str, **settings: Any) -> Callable[[F], F]:
    """Return a decorator that registers a function of training data as an evaluator.

    Parameters
    ----------
    settings : fields of `Evaluator`
    """

    def register(data: F) -> F:
        EVALUATORS.register(name)(Evaluator(data=data, doc=data.__doc__ or "", **settings))
        return data

    return register


def summary_evaluators() -> tuple[str, ...]:
    """Return the names of the evaluators that short tables show."""
    return tuple(name for name, each in EVALUATORS.items() if each.in_summary)
