"""Curves take samples of any container, and are thinned each among its own samples."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition.fitting.curves import Curves
from coopetition.fitting.estimate import fit
from coopetition.fitting.simulation import simulate
from coopetition.tools.errors import UsageError
from coopetition.tools.files import to_json
from tests.coopetition.conftest import TRUTH

QUICK = {"n_screened": 16, "n_starts": 2}


def test_samples_of_any_container_are_taken():
    numbers = [3.0, 2.0, 1.0]
    filtered = pd.Series([9.0, *numbers])[[False, True, True, True]]  # its index starts at 1
    masked = np.ma.masked_array([3, 2, 7], mask=[False, False, True])
    curves = Curves(
        pd.Series([0, 1, 2]),
        {"icl": filtered, "ciwl": masked, "train": [3, None, 1], "flip": torch.tensor(numbers)},
        std={"icl": 0.1},
    )
    assert {each.dtype for each in (curves.sequences, *curves.values.values())} == {np.dtype(float)}
    np.testing.assert_array_equal(curves.values["ciwl"], [3, 2, np.nan])
    np.testing.assert_array_equal(curves.values["train"], [3, np.nan, 1])
    part = curves.between(1).thinned(2).select(("icl",))
    np.testing.assert_array_equal(part.std["icl"], [0.1] * 2)
    again = Curves.from_saved(json.loads(to_json(curves.to_saved())))
    np.testing.assert_array_equal(again.values["ciwl"], curves.values["ciwl"])


@pytest.mark.parametrize(
    ("sequences", "values"),
    [
        ([0, 1], {"icl": ["a", "b"]}),
        (["a", 1], {"icl": [0, 1]}),
        ([0, 1], [[1, 2]]),
        ([0, 1], {"icl": torch.ones(2, requires_grad=True)}),
        ([0, 1], {"icl": [1j, 2j]}),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), {"icl": [0, 1]}),
        ([0, 1], {"icl": (k for k in range(2))}),
        ([0, 1], pd.DataFrame({"icl": [1, 2]})),
    ],
)
def test_samples_that_are_no_numbers_are_refused(sequences, values):
    with pytest.raises(UsageError):
        Curves(sequences, values)


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(2, 20))
def test_each_curve_is_thinned_evenly_however_rarely_it_was_measured(n_rows, every, most):
    sequences = np.arange(float(n_rows * every))
    icl = np.where(sequences % every == 0, sequences, np.nan)
    thin = Curves(sequences, {"train": sequences, "icl": icl}).thinned(most)
    for name, curve, spacing in (("train", sequences, 1), ("icl", icl, every)):
        known = np.isfinite(thin.values[name])
        kept = thin.values[name][known]
        assert len(kept) == min(np.isfinite(curve).sum(), most)
        assert kept[0] == 0 and kept[-1] == np.nanmax(curve)
        assert np.ptp(np.diff(kept)) <= spacing
        np.testing.assert_array_equal(kept, thin.sequences[known])


def test_curves_are_short_to_print_and_tables_to_work_with():
    curves = Curves(np.linspace(0, 1e6, 500), {"icl": np.linspace(3, 1, 500)}, "somewhere")
    assert repr(curves) == "<Curves icl: 500 samples, 0 to 1e+06 sequences, somewhere>"
    empty = Curves(np.array([]), {"icl": np.array([])})
    assert repr(empty) and empty._repr_html_()
    frame = curves.to_frame()
    assert list(frame.columns) == ["sequences", "icl"] and len(frame) == 500
    assert curves == curves and curves != curves.between(5.0) and hash(curves)


CONTAINERS = {
    "list": list,
    "series": lambda x: pd.Series([np.nan, *x])[1:],  # a filtered one: its index starts at 1
    "tensor": torch.tensor,
    "masked": np.ma.masked_invalid,
    "floats of 32 bits": np.float32,
    "scalars": lambda x: [np.float64(each) for each in x],
    "objects": lambda x: np.array(x, object),
}


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 100, width=32), min_size=2, max_size=6),
    st.sampled_from(sorted(CONTAINERS)),
)
def test_a_container_is_worth_the_array_of_its_numbers(numbers, kind):
    """So a fit is the same: it sees float64 arrays only."""
    given_as = CONTAINERS[kind](numbers)
    sequences = np.arange(len(numbers))
    found = Curves(sequences, {"icl": given_as}, std={"icl": given_as})
    plain = Curves(sequences.astype(float), {"icl": np.array(numbers)}, std={"icl": numbers})
    assert to_json(found.to_saved()) == to_json(plain.to_saved())


@pytest.fixture(scope="module")
def dense():
    """Exact curves at 4,001 samples."""
    return simulate("logistic_race", TRUTH, n=4001, noise=1e-9, correlation=0.0)


PERIODS = st.integers(2, 200).flatmap(
    lambda period: st.tuples(st.just(period), st.integers(0, period - 1))
)


@settings(deadline=None, max_examples=10)
@given(PERIODS)
def test_sparse_evaluations_are_all_used(dense, sparse):
    period, offset = sparse
    evaluated = np.arange(len(dense.sequences)) % period == offset
    values = {n: np.where(evaluated, dense.values[n], np.nan) for n in ("icl", "ciwl")}
    rows = fit(Curves(dense.sequences, values), "logistic_race", **QUICK)
    alone = dense.select(("icl", "ciwl"))._at(evaluated)
    expected = fit(alone, "logistic_race", **QUICK)
    n = int(evaluated.sum())
    assert {each.n for each in rows.curves.values()} == {min(n, 1000)}
    np.testing.assert_allclose(rows.theta, expected.theta, rtol=1e-9, atol=1e-12)
    both = fit(Curves(dense.sequences, values | {"train": dense.values["train"]}), "logistic_race")
    assert both.curves["icl"].n == min(n, 1000) and both.curves["train"].n == 1000
    for name, value in TRUTH.items():
        assert both.parameters[name].value == pytest.approx(value, rel=0.01), name


@settings(deadline=None, max_examples=200)
@given(PERIODS)
def test_thinning_keeps_all_samples_of_rare_curves(sparse):
    period, offset = sparse
    sequences = np.arange(20_000.0)
    rare = np.where(sequences % period == offset, sequences, np.nan)
    thin = Curves(sequences, {"train": sequences, "icl": rare}).thinned(1000)
    n = int(np.isfinite(rare).sum())
    assert np.isfinite(thin.values["icl"]).sum() == min(n, 1000)
    assert np.isfinite(thin.values["train"]).sum() == 1000
