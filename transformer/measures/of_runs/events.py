"""When ICL emerged, peaked and faded: a row a run."""

from dataclasses import asdict

from transformer.measures.measure import MEASURES
from transformer.measures.timeline import EVALUATORS, timeline


@MEASURES.register("events")
def events(run):
    """When ICL emerged, peaked and faded (`transformer.measures.timeline`)."""
    curves = run.curves()
    if {*EVALUATORS} <= {*curves.values}:
        yield asdict(timeline(curves))
