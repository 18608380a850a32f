"""Write the explorer as one HTML file that loads nothing from elsewhere."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from coopetition.dynamics.events import DIVERGED_ABOVE, LEARNT_BELOW
from coopetition.dynamics.solve import ROUNDING
from coopetition.explorer.javascript import evaluation_source
from coopetition.explorer.settings import (
    NUMBERS,
    SLIDERS,
    T1,
    THRESHOLD,
    presets,
    published_problem,
    published_setting,
)
from coopetition.fitting.curves import Curves
from coopetition.model.presets import CIWL, ICL, PUBLISHED_DIMS, PUBLISHED_SEEDS, two_strategies
from coopetition.plot.style import COLOURS, FURTHER, LABELS
from coopetition.plot.toy import TIME
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_ending, write_text

FOLDER = files("coopetition.explorer")
N_SAMPLES = 60  # of an overlay


def write_explorer(path: Path | str, overlays: Mapping[str, Curves] | None = None) -> Path:
    """Write the explorer of the minimal model to an HTML file and return its path.

    overlays : measured losses that the page can overlay, by title
    """
    path = Path(path)
    check_ending(path, ".html")
    write_text(path, render_page(overlays or {}))
    return path


def render_page(overlays: Mapping[str, Curves]) -> str:
    """Return the text of the page: the same overlays give the same text."""
    parts = {
        "style": _colours() + _read("style.css"),
        "data": json.dumps(_page_data(overlays), allow_nan=False).replace("<", r"\u003c"),
        "evaluate": evaluation_source(two_strategies()),
        "model": _read("model.js"),
        "view": _read("view.js"),
    }
    return re.sub(r"{{(\w+)}}", lambda found: parts[found[1]], _read("page.html"))


def _read(name: str) -> str:
    return FOLDER.joinpath(name).read_text(encoding="utf-8")


def _colours() -> str:
    """Return the colours of curves as CSS; a factor of one strategy has the strategy's colour."""
    colours = {"total": COLOURS["total"], "icl": COLOURS[ICL], "ciwl": COLOURS[CIWL]}
    colours |= {"a": COLOURS[ICL], "b": FURTHER[2], "c": FURTHER[0], "d": COLOURS[CIWL]}
    lines = (f"--{name}-colour: {colour};" for name, colour in colours.items())
    return f":root {{ {' '.join(lines)} }}\n"


def _page_data(overlays: Mapping[str, Curves]) -> dict[str, Any]:
    """Return what the JavaScript of the page knows about the model, as plain values."""
    model = two_strategies()
    named = presets()
    icl, ciwl = model.mechanisms
    (rival_factor,) = set(ciwl.factors) - set(icl.factors)
    return {
        "factors": model.factors,
        "dims": PUBLISHED_DIMS,
        "mechanisms": [
            {"name": m.name, "factors": m.factors, "symbol": f"mu_{m.name}",
             "parameter": f"mu{k}"}
            for k, m in enumerate(model.mechanisms, start=1)
        ],
        "costs": [
            {"name": c.name, "factors": c.factors, "symbol": f"alpha_{c.name}",
             "parameter": "alpha"}
            for c in model.costs
        ],
        "losses": [*(part.name for part in model.parts), "total"],
        "t1": T1,
        "threshold": THRESHOLD,
        "rounding": ROUNDING,
        "divergedAbove": DIVERGED_ABOVE,
        "learntBelow": LEARNT_BELOW,
        "numbers": NUMBERS,
        "sliders": {name: asdict(slider) for name, slider in SLIDERS.items()},
        "draws": {
            k: {"norms": published_problem(k).norms, "setting": asdict(published_setting(k))}
            for k in PUBLISHED_SEEDS
        },
        "start": next(iter(named)),
        "presets": {name: asdict(preset) for name, preset in named.items()},
        "overlays": {title: _overlay(title, curves) for title, curves in overlays.items()},
        "names": LABELS,
        "timeLabel": TIME,
        "rivalFactor": rival_factor,
    }  # fmt: skip


def _overlay(title: str, curves: Curves) -> dict[str, list[float]]:
    """Return the samples that have losses of ICL and CIWL, thinned and rounded.

    Sequences are counted from the first sample.
    """
    both = curves.select((ICL, CIWL))
    known = np.all(np.isfinite([*both.values.values()]), axis=0)
    places = np.flatnonzero(known)
    if len(places) < 2:
        raise UsageError(
            f"the curves {title!r} have {len(places)} samples of both {ICL} and {CIWL}; give at "
            "least 2"
        )
    spread = np.linspace(0, len(places) - 1, min(N_SAMPLES, len(places))).round().astype(int)
    columns = {"sequences": both.sequences - both.sequences[places[0]]} | both.values
    overlay = {
        name: [float(f"{value:.5g}") for value in values[places[spread]]]
        for name, values in columns.items()
    }
    for name in (ICL, CIWL):
        if len(set(overlay[name])) == 1:
            raise UsageError(
                f"the curve of {name} of {title!r} is constant, {overlay[name][0]:g}; give a curve "
                "that changes, or leave these curves out"
            )
    return overlay
