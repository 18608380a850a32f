"""Timelines of curves whose events are known."""

from dataclasses import asdict

import numpy as np
import pytest

from coopetition.dynamics.events import RISEN
from coopetition.fitting.curves import Curves
from transformer.measures.timeline import timeline

HALF = [0.5] * 10
RISE_AND_FALL = [0.5, 0.49, 0.51, 0.48, 0.4, 0.6, 0.8, 0.6, 0.4, 0.3]
NEVER = [0.5, 0.54, 0.46, 0.3, 0.1]


@pytest.mark.parametrize(
    ("flip", "icl", "ciwl", "expected"),
    [
        (
            RISE_AND_FALL,  # emergence is not the noise about one half before
            RISE_AND_FALL,
            [*HALF[:8], 0.7, 0.8],
            {"emergence": 4500, "flip_peak": 0.8, "flip_peak_at": 6000, "fade": 7500}
            | {"ciwl_75": 8500, "flip_final": 0.3, "icl_final": 0.3, "icl_peak_at": 6000},
        ),
        (  # noise about one half is no event, and has no time of a peak
            NEVER,
            NEVER,
            HALF[:5],
            {"emergence": None, "fade": None, "ciwl_75": None, "flip_peak": 0.54}
            | {"flip_peak_at": None, "icl_peak": 0.54, "icl_peak_at": None},
        ),
        (  # emergence at the first sample, and before the peak
            [0.52, 0.6, 0.8, 0.4, 0.3, 0.6],
            HALF[:6],
            HALF[:6],
            {"emergence": 0, "fade": 2750},
        ),
        (
            [0.5, 0.7, 0.6, 0.4, 0.2, 0.0],
            [0.4, 0.8, 0.9, 0.8, 0.6, 0.6],
            [0.5, 0.6, 0.7, 0.8, 0.92, 0.96],
            {"crossing": 3000, "flip_10": 4500, "ciwl_90": 3000 + 1000 * 0.1 / 0.12},
        ),
        (  # without ICL there is no crossing, but Flip may vanish
            [0.5, 0.3, 0.15, 0.05],
            [0.6, 0.5, 0.5, 0.5],
            [0.5, 0.7, 0.8, 0.85],
            {"crossing": None, "ciwl_90": None, "flip_10": 2500},
        ),
        ([0.5, 0.4, 0.6, 0.9, 0.8], HALF[:5], HALF[:5], {"emergence": 1500, "fade": None}),
    ],
)
def test_events_are_where_the_curves_put_them(flip, icl, ciwl, expected):
    curves = {name: np.array(y) for name, y in (("flip", flip), ("icl", icl), ("ciwl", ciwl))}
    found = timeline(Curves(np.arange(len(flip)) * 1000.0, curves))
    values, texts = asdict(found), found.describe()
    for name, value in expected.items():
        assert values[name] == (None if value is None else pytest.approx(value)), name
        assert texts[name].startswith("not in this run") or value is not None
    assert (f"below {RISEN}" in texts["flip_peak_at"]) == (found.flip_peak < RISEN)
    assert found.flip_10 is None or texts["flip_10"].endswith("00 sequences")
