"""What an evaluator is; each has its file in `transformer.data.evaluators`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from transformer.config.data import DataConfig
from transformer.config.registry import Registry

EVALUATORS: Registry["Evaluator"] = Registry("evaluator", "transformer.data.evaluators")

AsTraining = Callable[[DataConfig], DataConfig]
F = TypeVar("F", bound=AsTraining)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """A fixed set of sequences that tells strategies apart."""

    data: AsTraining
    """The training data that it would be, from those of a run; raises `UsageError` for a run
    whose data it cannot be drawn from."""
    standing: bool = False
    """Whether every run has it that can; other evaluators are asked for by `evaluation.also`."""
    brief: bool = False
    """Whether its accuracy is shown where there is room for few."""
    held_out: bool = False
    """Whether its classes are those that are not trained on, instead of the first ones."""
    stream: int | None = None
    """Number of its random stream, of the five that kept runs have; None: named by its name."""
    doc: str = ""


def evaluator(
    name: str,
    *,
    standing: bool = False,
    brief: bool = False,
    held_out: bool = False,
    stream: int | None = None,
) -> Callable[[F], F]:
    """A decorator that registers a function from training data to those of an evaluator."""

    def register(data: F) -> F:
        EVALUATORS.register(name)(
            Evaluator(
                data=data,
                standing=standing,
                brief=brief,
                held_out=held_out,
                stream=stream,
                doc=data.__doc__ or "",
            )
        )
        return data

    return register


def summary_evaluators() -> tuple[str, ...]:
    """Names of the evaluators that are shown where there is room for few."""
    return tuple(name for name, each in EVALUATORS.items() if each.brief)
