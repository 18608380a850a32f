"""Measured losses that the explorer of the minimal model can overlay."""

from coopetition.fitting.curves import Curves
from paper_figures.core.published import published_curves
from paper_figures.core.runs import kept_runs

PRESETS = {  # preset -> what its runs are, for the reader
    "coopetition/main": "our main run on image features",
    "glyphs": "our run on procedural glyphs",
    "demo": "our run of the demo",
}


def measured_losses() -> dict[str, Curves]:
    """Return the losses of the paper's main run and of kept runs, by title."""
    runs = {
        f"{title}, seed {run.init_seed}": run.curves("loss")
        for preset, title in PRESETS.items()
        for run in kept_runs(preset)
    }
    return {"the paper's main run (figure 5b)": published_curves()} | runs
