"""Curves are read from CSV files and run folders, and take samples of any container."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition.compare.curves import Curves, read_curves
from coopetition.tools.errors import UsageError
from coopetition.tools.run_files import MANIFEST_FORMAT


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "`sequences`"),
        ("sequences;icl\n1;2\n", "commas"),
        ("sequences,icl,icl\n1,1,1\n2,1,1\n", "two columns of one name"),
        ("sequences\n1\n2\n", "no curves of loss"),
        ("sequences,icl\n1,2\n", "1 rows"),
        ("sequences,icl\n1,x\n", "line 2: 'x' in column icl"),
        ("sequences,icl\n1,2\n2,1,5\n", "line 3 has 3 cells for 2 columns"),
        ("sequences,icl,ciwl\n1,2,3\n2,3\n", "line 3 has 2 cells for 3 columns"),
        ("sequences,icl\n2,1\n1,1\n", "rise from row to row; it has 2, 1 up to row 2"),
        ("sequences,icl\n1,1\n,1\n", "rise from row to row; it has 1, nan up to row 2"),
        ("sequences,icl\n-1,1\n1,1\n", "counted from 0"),
        ("sequences,icl\n1,1\n2,inf\n", "infinite"),
    ],
)
def test_csv_files_that_cannot_be_used_are_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_curves(write(tmp_path / "c.csv", text))


def test_a_file_of_another_kind_is_refused_in_a_short_line(tmp_path):
    row = {"step": 1, "sequences": 5, **{f"evaluator_{k}/loss": 0.123 for k in range(5000)}}
    for name, content, message in (
        ("metrics.jsonl", 3 * (json.dumps(row).encode() + b"\n"), "name the run's folder"),
        ("long.csv", b"sequences,icl\n1," + 10_000 * b"x", "is not a number"),
        ("binary.csv", bytes(range(256)), "is not a CSV file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=message) as caught:
            read_curves(tmp_path / name)
        assert len(str(caught.value)) < 1000


def test_paths_and_metrics_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_curves(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="not a run folder"):
        read_curves(tmp_path)
    path = write(tmp_path / "c.csv", "sequences,icl/loss,iwl/accuracy\n1,2,3\n2,1,0\n")
    with pytest.raises(UsageError, match=r"no curves of los \(but of loss, accuracy\)"):
        read_curves(path, "los")


def test_blank_cells_are_gaps(tmp_path):
    curves = read_curves(write(tmp_path / "c.csv", "sequences,icl,flip/loss\n1,,2\n2,3,4\n"))
    assert list(curves.values) == ["flip"]
    curves = read_curves(write(tmp_path / "c.csv", "sequences,icl,flip\n1,,2\n2,3,4\n"))
    np.testing.assert_array_equal(curves.values["icl"], [np.nan, 3])
    assert list(curves.between(2).sequences) == [2]


def test_a_metric_of_no_evaluator_is_a_curve_of_its_own_name(tmp_path):
    """In a CSV and in a run folder, where an undefined number is null."""
    text = "sequences,batch_loss,icl/loss\n1,,2\n2,5,1\n"
    row = {"step": 1, "sequences": 1, "batch_loss": None, "icl/loss": 2.0}
    rows = [row, row | {"step": 2, "sequences": 2, "batch_loss": 5.0, "icl/loss": 1.0}]
    write(tmp_path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path / "manifest.json", json.dumps({"format": MANIFEST_FORMAT}))
    for source in (write(tmp_path / "c.csv", text), tmp_path):
        values = read_curves(source, "batch_loss").values
        assert list(values) == ["batch_loss"]
        np.testing.assert_array_equal(values["batch_loss"], [np.nan, 5])
        assert list(read_curves(source).values) == ["icl"]


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
    again = Curves.from_dict(json.loads(json.dumps(curves.to_dict())))
    np.testing.assert_array_equal(again.values["ciwl"], curves.values["ciwl"])


@pytest.mark.parametrize(
    ("sequences", "values"),
    [
        ([0, 1], {"icl": ["a", "b"]}),
        (["a", 1], {"icl": [0, 1]}),
        ([0, 1], [[1, 2]]),
        ([0, 1], {"icl": torch.ones(2, requires_grad=True)}),
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
