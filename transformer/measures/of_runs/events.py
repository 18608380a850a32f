"""When ICL emerged, peaked and faded: a row a run."""

from collections.abc import Iterator
from dataclasses import asdict

from transformer.measures.measure import MEASURES, Row
from transformer.measures.timeline import EVALUATORS, timeline
from transformer.runs.folder import RunFolder


@MEASURES.register("events")
def events(run: RunFolder) -> Iterator[Row]:
    """When ICL emerged, peaked and faded (`transformer.measures.timeline`).

    A run that lacks one of the evaluators has no row.
    """
    curves = run.curves()
    if {*EVALUATORS} <= {*curves.values}:
        yield asdict(timeline(curves))
