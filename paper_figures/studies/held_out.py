"""The part of a run that a forecast knows, and the events after it."""

from coopetition.dynamics.events import RISEN, crossing_time, find_forecast_events
from paper_figures.coopetition.fits import measured_errors
from paper_figures.core.runs import FigureRun

MARGIN = 1.5  # of the time at which Flip has risen


def known_until(run: FigureRun) -> float | None:
    """Return `MARGIN` times the first time at which Flip exceeds `RISEN`.

    This uses nothing of the future.  None if Flip never does, or if the run ends before that.
    """
    flip = run.curves().select(("flip",))
    risen = crossing_time(flip.sequences, flip.values["flip"], RISEN, rising=True)
    if risen is None or MARGIN * risen >= run.n_sequences:
        return None
    return MARGIN * risen


def measured_events(run: FigureRun) -> dict[str, float | None]:
    """Return a run's events as forecasts define them: Flip above one half is preference for ICL."""
    curves = run.curves()
    preference = {"preference": curves.values["flip"] - 0.5}
    return find_forecast_events(curves.sequences, measured_errors(curves) | preference)
