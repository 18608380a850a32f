"""What a measure of runs is; each has its file in `transformer.measures.of_runs`."""

from collections.abc import Callable, Iterable

from transformer.config.registry import Registry
from transformer.model.loaded import Model, load_model
from transformer.runs.folder import RunFolder

Row = dict[str, float | str | None]
"""The columns of a table by name, None for what there is not; all rows of a measure have them."""
Measure = Callable[[RunFolder], Iterable[Row]]
MEASURES: Registry[Measure] = Registry("measure", "transformer.measures.of_runs")


def at_checkpoints(of_model: Callable[[Model, RunFolder], Row]) -> Measure:
    """The measure of a run that is one of its model at every checkpoint, a row each.

    Those that an interruption left besides are passed over: a table does not depend on them.
    """

    def measure(run: RunFolder) -> Iterable[Row]:
        for step in filter(run.config.is_checkpoint, run.steps()):
            place: Row = {"step": step, "sequences": step * run.config.sequences_per_step}
            yield place | of_model(load_model(run, step), run)

    measure.__doc__ = of_model.__doc__
    return measure
