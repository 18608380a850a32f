"""Time points of training runs, on curves whose answer is plain."""

import numpy as np
import pytest

from coopetition.compare.curves import Curves
from transformer.measures.events import timeline


def of(flip, ciwl=None, icl=None):
    flip = np.array(flip, float)
    ciwl = np.full(len(flip), 0.5) if ciwl is None else np.array(ciwl, float)
    icl = flip if icl is None else np.array(icl, float)
    x = np.arange(len(flip)) * 1000.0
    return timeline(Curves(x, {"flip": flip, "icl": icl, "ciwl": ciwl}))


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


def test_the_later_marks_of_a_takeover():
    flip, icl = [0.5, 0.7, 0.6, 0.4, 0.2, 0.0], [0.4, 0.8, 0.9, 0.8, 0.6, 0.6]
    found = of(flip, [0.5, 0.6, 0.7, 0.8, 0.92, 0.96], icl)
    assert found.crossing == pytest.approx(3000)
    assert found.flip_10 == pytest.approx(4500)
    assert found.ciwl_90 == pytest.approx(3000 + 1000 * 0.1 / 0.12)
    assert found.describe()["flip_10"] == "4,500 sequences"


def test_without_icl_there_is_no_crossing_but_flip_may_vanish():
    found = of([0.5, 0.3, 0.15, 0.05], [0.5, 0.7, 0.8, 0.85], [0.6, 0.5, 0.5, 0.5])
    assert (found.crossing, found.ciwl_90) == (None, None)
    assert found.flip_10 == pytest.approx(2500)
