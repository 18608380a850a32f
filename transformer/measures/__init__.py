"""Measures: functions that give rows of a table, of a run or of its models.

A measure is registered by `@measure(NAME, per=...)`, which says how often it is taken and of what:

| per        | its argument                                         | example              |
|------------|------------------------------------------------------|----------------------|
| run        | a `Run`: config and curves                           | `events`             |
| checkpoint | a `transformer.model.loaded.Model`                   | `weight_norms`       |
| state      | a `transformer.measures.gradients.State`: a model    | `sharpness`          |
|            | with its optimiser and data, at a kept state         |                      |
| evaluator  | a `transformer.measures.of_models.View`: a model on  | `induction_strength` |
|            | an evaluator's sequences, at a checkpoint            |                      |

All rows of a measure have the same columns, with None for missing values.  Measures per evaluator
share the columns of `reading`.  Keyword-only arguments are settings: tables record their values.
"""

import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from coopetition.fitting.curves import Curves
from coopetition.tools.errors import UsageError, abbreviate
from transformer.config import RunConfig
from transformer.config.registry import Registry

Per = Literal["run", "checkpoint", "state", "evaluator"]
PER_RUN: tuple[Per, ...] = ("run", "checkpoint", "state")  # measured on whole runs
Row = dict[str, float | str | None]
Function = TypeVar("Function", bound=Callable[..., Iterable[Row]])


class Run(Protocol):
    """Interface that a measure per run reads; `transformer.runs.folder.RunFolder` has it."""

    @property
    def config(self) -> RunConfig:
        """Return the configuration of the run."""
        ...

    def curves(self, metric: str = ...) -> Curves:
        """Return a metric by evaluator over training."""
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """A registered measure."""

    per: Per
    function: Callable[..., Iterable[Row]]

    def __call__(self, subject: Any, **settings: Any) -> Iterable[Row]:
        """Return its rows."""
        return self.function(subject, **settings)

    @property
    def doc(self) -> str | None:
        """The docstring of its function."""
        return self.function.__doc__

    @property
    def settings(self) -> dict[str, Any]:
        """The values of its settings, as JSON keeps them."""
        parameters = inspect.signature(self.function).parameters.values()
        values = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
        return json.loads(json.dumps(values))


MEASURES: Registry[Measure] = Registry("measure", "transformer.measures")
"""The measures by name; `measure` adds one."""


def measure(name: str, *, per: Per) -> Callable[[Function], Function]:
    """Return a decorator that registers a function as a measure."""

    def register(function: Function) -> Function:
        MEASURES.register(name)(Measure(per, function))
        return function

    return register


def reading(
    what: str,
    value: float,
    layer: int | None = None,
    head: int | None = None,
    at: float | None = None,
) -> Row:
    """Return a row of a measure per evaluator.

    Parameters
    ----------
    at : the strength, temperature, token or sequence, where there are several
    """
    return {"what": what, "value": value, "layer": layer, "head": head, "at": at}


def find_measures(names: Iterable[str], *per: Per) -> dict[str, Measure]:
    """Return measures by name; unknown ones, and those of other kinds, raise `UsageError`."""
    found = {name: MEASURES[name] for name in names}
    for name, each in found.items():
        if each.per not in per:
            others = [other for other, one in MEASURES.items() if one.per in per]
            raise UsageError(
                f"{name} is measured per {each.per}, not per {' or '.join(per)}; choose one of "
                f"{abbreviate(others, len(others))}"
            )
    return found


def all_settings(names: Iterable[str]) -> dict[str, Any]:
    """Return `{"settings": {MEASURE: ...}}` for a record; empty if no measure has settings."""
    with_settings = {name: own for name in names if (own := MEASURES[name].settings)}
    return {"settings": with_settings} if with_settings else {}
