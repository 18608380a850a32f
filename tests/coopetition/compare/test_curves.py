"""Reading curves from CSV files and run folders."""

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
        ("a,b\n1,2\n", "expected `sequences` among them"),
        ("sequences,icl\n1,x\n", "'x' in column icl is not a number"),
        ("sequences,icl\n1,2\n", "has 1 rows of measurements; expected two"),
        ("sequences\n1\n2\n", "holds no curves of loss .but of nothing"),
        ("sequences,icl\n2,1\n1,1\n", "rise from row to row; it has 2, 1 up to row 2"),
        ("sequences,icl\n1,1\n,1\n", "rise from row to row; it has 1, nan up to row 2"),
        ("sequences,icl\n-1,1\n1,1\n", "counted from 0, not -1"),
        ("sequences,icl\n1,1\n2,inf\n", "infinite"),
        ("sequences,icl,icl\n1,1,1\n2,1,1\n", "two columns of one name"),
        ("", "is empty; expected a column `sequences`"),
        ("sequences;icl\n1;2\n", "with commas between"),
        ("sequences,icl\n1,2\n2,1,5\n", "line 3 has 3 cells"),
        ("sequences,icl\n1,2,5\n2,1,5\n", "decimal points"),
    ],
)
def test_unusable_csv_files_are_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_curves(write(tmp_path / "c.csv", text))


@pytest.mark.parametrize("n_lines", [1, 3])
def test_a_file_of_another_kind_is_refused_in_a_short_line(tmp_path, n_lines):
    """A JSON file of one long line, and the metrics of a run, which are of its folder."""
    row = {"step": 1, "sequences": 5, **{f"evaluator_{k}/loss": 0.123 for k in range(5000)}}
    path = write(tmp_path / "metrics.jsonl", n_lines * (json.dumps(row) + "\n"))
    with pytest.raises(UsageError, match="name the run's folder") as caught:
        read_curves(path)
    assert len(str(caught.value)) < 1000
    long = write(tmp_path / "long.csv", f"sequences,icl\n1,{'x' * 10_000}\n")
    with pytest.raises(UsageError, match="is not a number") as caught:
        read_curves(long)
    assert len(str(caught.value)) < 1000


def test_a_line_that_was_cut_short_is_refused(tmp_path):
    path = tmp_path / "cut.csv"
    path.write_text("sequences,icl,ciwl\n1,2,3\n2,3\n")
    with pytest.raises(UsageError, match="line 3 has 2 cells"):
        read_curves(path)


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
    np.testing.assert_array_equal(curves.std["icl"], [0.1] * 3)
    assert len(curves.between(1).values["icl"]) == 2 and repr(curves)
    wrong: list[tuple] = [
        ([0, 1], {"icl": ["a", "b"]}),
        (["a", 1], {"icl": [0, 1]}),
        ([0, 1], [[1, 2]]),
        ([0, 1], {"icl": torch.ones(2, requires_grad=True)}),
    ]
    for sequences, values in wrong:
        with pytest.raises(UsageError):
            Curves(sequences, values)


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(2, 20))
def test_curves_that_are_measured_rarely_are_thinned_by_themselves(n_rows, every, most):
    """However often: all samples of a rare curve are kept if it has few, evenly else."""
    sequences = np.arange(float(n_rows * every))
    icl = np.where(sequences % every == 0, sequences, np.nan)
    thin = Curves(sequences, {"train": sequences, "icl": icl}).thinned(most)
    for name, n in (("train", n_rows * every), ("icl", n_rows)):
        kept = thin.values[name][np.isfinite(thin.values[name])]
        assert len(kept) == min(n, most) and (kept[0] == 0)
        assert kept[-1] == np.nanmax({"train": sequences, "icl": icl}[name])
        steps = np.diff(kept) / (every if name == "icl" else 1)
        assert steps.max() - steps.min() <= 1
        np.testing.assert_array_equal(kept, thin.sequences[np.isfinite(thin.values[name])])


def test_blank_cells_are_gaps(tmp_path):
    curves = read_curves(write(tmp_path / "c.csv", "sequences,icl,flip/loss\n1,,2\n2,3,4\n"))
    assert list(curves.values) == ["flip"]
    curves = read_curves(write(tmp_path / "c.csv", "sequences,icl,flip\n1,,2\n2,3,4\n"))
    np.testing.assert_array_equal(curves.values["icl"], [np.nan, 3])
    assert list(curves.between(2).sequences) == [2]


def test_unusable_paths_and_metrics_are_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_curves(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="not a run folder"):
        read_curves(tmp_path)
    path = write(tmp_path / "c.csv", "sequences,icl/loss,iwl/accuracy\n1,2,3\n2,1,0\n")
    with pytest.raises(UsageError, match=r"no curves of los \(but of loss, accuracy\)"):
        read_curves(path, "los")


def test_what_is_of_no_evaluator_is_a_curve_of_its_own_name(tmp_path):
    """In a CSV and in a run folder, where what is undefined is null."""
    text = "sequences,batch_loss,icl/loss\n1,,2\n2,5,1\n"
    row = {"step": 1, "sequences": 1, "batch_loss": None, "icl/loss": 2.0}
    rows = [row, row | {"step": 2, "sequences": 2, "batch_loss": 5.0, "icl/loss": 1.0}]
    write(tmp_path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path / "manifest.json", json.dumps({"format": MANIFEST_FORMAT}))
    for source in (write(tmp_path / "c.csv", text), tmp_path):
        (name, values), *others = read_curves(source, "batch_loss").values.items()
        assert name == "batch_loss" and not others
        np.testing.assert_array_equal(values, [np.nan, 5])
        assert list(read_curves(source).values) == ["icl"]


def test_curves_are_short_to_print_and_tables_to_work_with():
    curves = Curves(np.linspace(0, 1e6, 500), {"icl": np.linspace(3, 1, 500)}, "somewhere")
    assert repr(curves) == "<Curves icl: 500 samples, 0 to 1e+06 sequences, somewhere>"
    assert "3 to 1" in curves._repr_html_()
    assert (
        repr(Curves(np.array([]), {})) and Curves(np.array([]), {"icl": np.array([])})._repr_html_()
    )
    frame = curves.to_frame()
    assert list(frame.columns) == ["sequences", "icl"] and len(frame) == 500
    assert curves == curves and curves != curves.between(5.0) and hash(curves)
