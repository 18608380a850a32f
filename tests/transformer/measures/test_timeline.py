"""Time points of training runs, on curves whose answer is plain."""

import numpy as np
import pytest

from coopetition.compare.curves import Curves
from transformer.measures.timeline import timeline


def of(flip, ciwl=None):
    flip = np.array(flip, float)
    ciwl = np.full(len(flip), 0.5) if ciwl is None else np.array(ciwl, float)
    x = np.arange(len(flip)) * 1000.0
    return timeline(Curves(x, {"flip": flip, "icl": flip, "ciwl": ciwl}))


def test_rise_and_fall():
    found = of([0.5, 0.49, 0.51, 0.48, 0.4, 0.6, 0.8, 0.6, 0.4, 0.3], [0.5] * 8 + [0.7, 0.8])
    assert found.emergence == pytest.approx(4500)  # not the noise about one half before
    assert (found.flip_peak, found.flip_peak_at) == (0.8, 6000)
    assert found.fade == pytest.approx(7500)
    assert found.ciwl_75 == pytest.approx(8500)
    assert found.flip_final == found.icl_final == 0.3


def test_what_does_not_happen_is_none():
    never = of([0.5, 0.52, 0.48, 0.3, 0.1])
    assert (never.emergence, never.fade, never.ciwl_75) == (None, None, None)
    lasting = of([0.5, 0.4, 0.6, 0.9, 0.8])
    assert lasting.emergence == pytest.approx(1500)
    assert lasting.fade is None


def test_emergence_is_before_the_peak():
    found = of([0.52, 0.6, 0.8, 0.4, 0.3, 0.6])
    assert found.emergence == 0  # above one half from the first sample on
    assert found.fade == pytest.approx(2750)
