"""Curves are read from run folders and from the logs of other tools."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from coopetition.fitting.logs import FORMATS, Column, Table, log_format
from coopetition.fitting.reading import LEAD, read_curves, select_curves
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.run_files import MANIFEST_FORMAT
from tests.coopetition.fitting.logs.make_logs import EVERY, N_STEPS, curves

LOGS = Path(__file__).parent / "logs"
FIRST_STEP = {"lightning": 0}  # its steps are those before the update
MADE = sorted(path.name for path in LOGS.iterdir() if path.suffix != ".py" and path.name[0] != "_")
MAX_MESSAGE = 300


def write(path, text):
    path.write_text(text)
    return path


def write_run(folder, rows):
    write(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write(folder / "manifest.json", json.dumps({"format": MANIFEST_FORMAT}))
    return folder


@pytest.mark.parametrize("name", MADE)
def test_logs_of_other_tools_are_read(name):
    """Without names: there is one reading of each."""
    found = read_curves(LOGS / name, batch_size=32)
    assert {*found.values} == {"train", "icl", "ciwl"}
    first = FIRST_STEP.get(name, 1)
    steps = np.arange(1, N_STEPS + 1)
    np.testing.assert_array_equal(found.sequences, 32 * (steps - 1 + first))
    exact = [curves(step) for step in range(1, N_STEPS + 1)]
    for curve, values in found.values.items():
        known = np.isfinite(values)
        assert (known == (steps % (1 if curve == "train" else EVERY) == 0)).all()
        expected = [row[curve] for row in np.array(exact)[known]]
        np.testing.assert_allclose(values[known], expected, atol=1e-6)  # written to six decimals
    assert any("guessed" in note for note in found.notes)
    with pytest.raises(UsageError, match="--batch-size"):
        read_curves(LOGS / name)


def test_files_and_their_folders_are_the_same_log():
    for folder, file in (
        ("hugging_face", "trainer_state.json"),
        ("lightning", "metrics.csv"),
        ("tensorboard_events", "events.out.tfevents.1000000000.machine.1.0"),
    ):
        whole, alone = (read_curves(p, batch_size=1) for p in (LOGS / folder, LOGS / folder / file))
        for name, values in whole.values.items():
            np.testing.assert_array_equal(alone.values[name], values)


def test_columns_are_named(tmp_path):
    names = {"icl": "eval/icl_loss", "other": "train/loss"}
    found = read_curves(LOGS / "wandb_export.csv", columns=names, x="Step", batch_size=2)
    assert [*found.values] == ["icl", "other"] and found.sequences[-1] == 2 * N_STEPS
    for wrong in ({"icl": "eval/icl"}, {"icl": 3}, ["icl"]):
        with pytest.raises(UsageError):
            read_curves(LOGS / "wandb_export.csv", columns=wrong, batch_size=2)
    with pytest.raises(UsageError, match="'steps'"):
        read_curves(LOGS / "wandb_export.csv", x="steps", batch_size=2)
    for batch_size in (0, math.nan, "32"):
        with pytest.raises(UsageError, match="batch_size"):
            read_curves(LOGS / "rows.jsonl", batch_size=batch_size)


def test_what_has_two_readings_is_not_guessed(tmp_path):
    """Names of curves, of the column of steps and of runs are given."""
    for text, remedy in (
        ("step,train_loss_step,train_loss_epoch,icl_loss\n1,1,1,1\n2,1,1,1\n", "--columns train="),
        ("step,global_step,icl_loss\n1,1,1\n2,1,1\n", "--x"),
        ("epoch,icl_loss\n1,1\n2,1\n", "--x"),
        ("Step,a - icl_loss,b - icl_loss\n1,1,1\n2,1,1\n", "--columns .*icl="),
        ("run,step,metric,value\na,1,icl/loss,1\nb,1,icl/loss,1\n", "--columns .*icl="),
        ("step,loss,val_loss\n1,1,1\n2,1,1\n", None),
    ):
        path = write(tmp_path / "c.csv", text)
        if remedy is None:
            assert {*read_curves(path, batch_size=1).values} == {"loss", "val_loss"}
            continue
        with pytest.raises(UsageError, match=remedy):
            read_curves(path, batch_size=1)


def test_the_folder_of_one_of_several_runs_is_advised(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    for name in "ab":
        with SummaryWriter(str(tmp_path / name)) as writer:
            writer.add_scalar("icl_loss", 1.0, 1)
    with pytest.raises(UsageError, match="--columns") as caught:
        read_curves(tmp_path, batch_size=1)
    assert str(caught.value)[-2:] in ("/a", " a")


def test_one_of_several_runs_is_read(tmp_path):
    """From wandb's wide history, and from a long table of ours."""
    wide = "run_id,_step,icl_loss\na,1,5\na,2,4\nb,1,3\nb,2,2\n"
    found = read_curves(
        write(tmp_path / "w.csv", wide), columns={"icl": "b - icl_loss"}, batch_size=10
    )
    np.testing.assert_array_equal(found.values["icl"], [3, 2])
    long = "run,step,sequences,evaluator,metric,value\n" + "".join(
        f"{run},{k},{32 * k},{evaluator},loss,{k}\n"
        for run in "ab"
        for k in (1, 2)
        for evaluator in ("icl", "ciwl")
    )
    found = read_curves(write(tmp_path / "l.csv", long), columns={"icl": "b - icl/loss"})
    np.testing.assert_array_equal(found.sequences, [32, 64])
    one = "\n".join(line for line in long.splitlines() if line[:2] != "b,")
    assert [*read_curves(write(tmp_path / "one.csv", one)).values] == ["icl", "ciwl"]


def test_nested_json_and_lists_of_objects_are_read(tmp_path):
    rows = [{"step": k, "eval": {"icl": {"loss": k}}, "tags": ["a"]} for k in (1, 2)]
    for text in (json.dumps(rows, indent=1), "\n".join(map(json.dumps, rows))):
        path = write(tmp_path / "rows.json", text)
        found = read_curves(path, columns={"icl": "eval/icl/loss"}, batch_size=1)
        np.testing.assert_array_equal(found.values["icl"], [1, 2])


def test_a_last_line_that_is_cut_off_is_left_out(tmp_path):
    rows = [*(json.dumps({"step": k, "icl/loss": k}) for k in (1, 2)), '{"step": 3, "icl']
    found = read_curves(write(tmp_path / "rows.jsonl", "\n".join(rows)), batch_size=1)
    np.testing.assert_array_equal(found.values["icl"], [1, 2])
    assert any("last line" in note for note in found.notes)
    path = write(tmp_path / "rows.jsonl", "\n".join([rows[0], rows[2], rows[1]]))
    with pytest.raises(UsageError, match="line 2"):
        read_curves(path, batch_size=1)


def test_training_is_a_word_for_train(tmp_path):
    path = write(tmp_path / "c.csv", "step,training_loss,icl_loss\n1,3,1\n2,2,1\n")
    assert {*read_curves(path, batch_size=1).values} == {"train", "icl"}
    path = write(tmp_path / "c.csv", "step,training_loss,train_loss\n1,3,1\n2,2,1\n")
    with pytest.raises(UsageError, match="training_loss, train_loss"):
        read_curves(path, batch_size=1)


def test_a_guessed_column_is_one_curve(tmp_path):
    rows = [{"step": k, "train": {"loss": k}, "eval": {"icl": {"loss": k}}} for k in (1, 2)]
    path = write(tmp_path / "rows.jsonl", "\n".join(map(json.dumps, rows)))
    assert {*read_curves(path, batch_size=1).values} == {"train", "icl"}


def test_tensorboard_events_of_our_runs_count_sequences(smoke_run, tmp_path):
    pytest.importorskip("tensorboard")
    from transformer.runs.export import write_tensorboard

    write_tensorboard(smoke_run, tmp_path / "events")
    found, expected = read_curves(tmp_path / "events"), smoke_run.curves("loss")
    np.testing.assert_array_equal(found.sequences, expected.sequences)
    np.testing.assert_allclose(found.values["icl"], expected.values["icl"], rtol=1e-6)


def test_other_tensorboard_data_is_passed_over(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "run")) as writer:
        for step in (1, 2):
            writer.add_scalar("icl_loss", 1 / step, step)
            writer.add_text("note", "a text", step)
            writer.add_histogram("weights", np.arange(5.0), step)
    found = read_curves(tmp_path, columns={"icl": "run/icl_loss"}, batch_size=8)
    np.testing.assert_array_equal(found.values["icl"], [1, 0.5])


def test_a_format_of_ones_own_is_registered(tmp_path, monkeypatch):
    monkeypatch.setattr("coopetition.fitting.logs.FORMATS", list(FORMATS))

    @log_format
    def read_pairs(source):
        if source.path.suffix != ".pairs":
            return None
        pairs = [line.split(":") for line in source.text.splitlines()]
        steps, values = map(list, zip(*pairs, strict=True))
        table = Table({"step": steps, "icl": values}, range(len(pairs)))
        return {"icl": Column(table, "icl")}

    found = read_curves(write(tmp_path / "c.pairs", "1:5\n2:4\n"), batch_size=8)
    np.testing.assert_array_equal(found.values["icl"], [5, 4])


CELLS = st.one_of(
    st.sampled_from(["", "NA", "None", "nan", " "]),
    st.floats(0, 1e6).map(lambda x: f"{x:.6g}"),
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=3, max_size=8),
    st.sampled_from([",", ";", "\t", "|", " "]),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
@example([("1.5", ""), ("2.5", "NA"), ("3", "1")], ";", True, "utf-16", "\r\n", True)
def test_tables_are_read_with_any_separator_and_encoding(
    tmp_path_factory, cells, separator, comma, encoding, end, commented
):
    cells = [("5", "6"), *cells, ("7.25", "8")]
    words = [[x.strip() or "-" if separator == " " else x for x in row] for row in cells]
    rows = [["step", "icl", "ciwl"], *([str(k), *row] for k, row in enumerate(words))]
    text = [
        separator.join(
            f'"{x}"' if comma and separator == "," else x
            for x in (x.replace(".", ",") if comma else x for x in row)
        )
        for row in rows
    ]
    if commented:
        text = ["# a comment, with separators; of\tall kinds", *text, "# end"]
    path = tmp_path_factory.mktemp("table") / "c.txt"
    path.write_bytes((end.join(text) + end).encode(encoding))
    found = read_curves(path, batch_size=1)
    for column, name in enumerate(("icl", "ciwl")):
        numbers = [row[column] for row in cells]
        expected = [(k, float(x)) for k, x in enumerate(numbers) if x.strip()[:1].isdigit()]
        known = np.isfinite(found.values[name])
        np.testing.assert_array_equal(
            [*zip(found.sequences[known], found.values[name][known], strict=True)], expected
        )


def test_percentages_are_shares(tmp_path):
    path = write(tmp_path / "c.csv", "step;icl/accuracy\n1;95.2%\n2;96,5 %\n")
    found = read_curves(path, "accuracy", batch_size=1)
    np.testing.assert_allclose(found.values["icl"], [0.952, 0.965], rtol=1e-12)


def test_exports_of_excel_are_read_or_a_remedy_is_given(tmp_path):
    text = "sep=;\r\nstep;icl;Größe\r\n1;0,5;a\r\n2;0,4;b\r\n"
    path = tmp_path / "c.csv"
    path.write_bytes(text.encode())
    np.testing.assert_array_equal(read_curves(path, batch_size=1).values["icl"], [0.5, 0.4])
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="save it as UTF-8"):
        read_curves(path, batch_size=1)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "--x"),
        ("sequences,icl,icl\n1,1,1\n2,1,1\n", "two columns of one name"),
        ("sequences\n1\n2\n", "no curves of loss"),
        ("sequences,icl\n1,2\n", "1 samples"),
        ("sequences,icl\n1,x\n", "line 2 of column icl has 'x'"),
        ("sequences,icl\n1,2\n2,1,5\n", "line 3 has 3 cells for 2 columns"),
        ("sequences,icl,ciwl\n1,2,3\n2,3\n", "line 3 has 2 cells for 3 columns"),
        ("sequences,icl\n2,1\n1,1\n", "from 2 to 1 in line 3.*--duplicates"),
        ("sequences,icl\n1,1\n1,1\n", "from 1 to 1 in line 3.*--duplicates"),
        ("sequences,icl\n1,1\n,1\n", "line 3 has no number in column sequences"),
        ("sequences,icl\n1k,1\n1,1\n", "line 2 .*column sequences.*'1k'"),
        ("sequences,icl\n-1,1\n1,1\n", "negative"),
        ("sequences,icl\n1,1\n2,inf\n", "infinite"),
        ("# a\n\nsequences,icl\n1,1\n2,inf\n", "line 5"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path, text, named):
    with pytest.raises(UsageError, match=named) as caught:
        read_curves(write(tmp_path / "c.csv", text))
    assert len(str(caught.value)) <= MAX_MESSAGE


NAMES = (
    *("log.csv", "metrics.jsonl", "trainer_state.json", "metrics.csv"),
    *("events.out.tfevents.1.machine", "run-.-tag-icl_loss.csv"),
)
PIECES = (
    *("sequences", "step", "icl", "icl/loss", "Step", "Value", "Wall time", "run", "metric"),
    *("value", "log_history", "loss", "a - icl__MIN", "1", "2", "3.5", "-1", "1e999", "nan", "x"),
    *(",", ";", "\t", " ", "\n", "\n", '"', "{", "}", "[", "]", ":", "#", "null", "\0", "é"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
FILES = st.one_of(
    st.binary(max_size=200),
    TEXTS.map(str.encode),
    TEXTS.map(lambda text: text.encode("utf-16")),
    st.lists(st.sampled_from(PIECES[:20]), max_size=300).map(
        lambda n: ("k" * 500).join(n).encode()
    ),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.sampled_from(PIECES) | st.integers(),
        lambda x: st.lists(x, max_size=4) | st.dictionaries(st.sampled_from(PIECES), x, max_size=4),
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    FILES,
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {},
        optional={
            "batch_size": st.just(1.0),
            "x": st.just("step"),
            "columns": st.just({"icl": "icl"}),
            "duplicates": st.sampled_from(["last", "mean"]),
            "first": st.sampled_from([None, 1.0]),
        },
    ),
)
@example(b"sequences,icl\n1," + 200_000 * b"x", "log.csv", {})
@example(
    b"\n".join([b",".join(f"column_{k}".encode() for k in range(5000))] * 2),
    "l.csv",
    {"batch_size": 1.0},
)
@example(
    json.dumps({f"evaluator_{k}/loss": 0.1 for k in range(5000)}).encode(),
    "m.json",
    {"batch_size": 1.0},
)
@example(("[" * 100_000).encode(), "m.json", {})
@example(b'{"step": 1' + b"0" * 5000 + b', "icl/loss": 1}\n', "m.jsonl", {"batch_size": 1.0})
@example(bytes(range(256)), "binary.csv", {})
def test_any_other_file_is_refused_in_a_short_line(tmp_path_factory, content, name, how):
    path = tmp_path_factory.mktemp("file") / name
    path.write_bytes(content)
    try:
        read_curves(path, **how)
    except UserError as error:
        assert 0 < len(str(error)) <= MAX_MESSAGE
        assert "\n" not in str(error)


def test_paths_and_metrics_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_curves(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="not a run folder.*TensorBoard"):
        read_curves(tmp_path)
    path = write(tmp_path / "c.csv", "sequences,icl/loss,iwl/accuracy\n1,2,3\n2,1,0\n")
    with pytest.raises(UsageError, match=r"no curves of los, but loss, accuracy"):
        read_curves(path, "los")
    with pytest.raises(UsageError, match="duplicates"):
        read_curves(path, duplicates="first")
    path = write(tmp_path / "c.csv", "step,loss,icl_loss\n1,2,3\n2,1,0\n")
    with pytest.raises(UsageError, match=r"columns .*icl_loss.*in_context_accuracy"):
        read_curves(path, "acc", batch_size=1)


@pytest.mark.parametrize("kind", ["checkpoint-", "version_"])
def test_the_newest_log_in_a_folder_is_advised(tmp_path, kind):
    for number in (9, 10):
        (tmp_path / f"{kind}{number}").mkdir()
    with pytest.raises(UsageError, match=f"{kind}10"):
        read_curves(tmp_path, batch_size=1)


def test_blank_cells_are_gaps(tmp_path):
    path = write(tmp_path / "c.csv", "sequences,icl,flip/loss\n1,,2\n2,3,4\n")
    assert list(read_curves(path).values) == ["flip"]
    found = read_curves(write(tmp_path / "c.csv", "sequences,icl,flip\n1,,2\n2,3,4\n"))
    np.testing.assert_array_equal(found.values["icl"], [np.nan, 3])
    assert list(found.between(2).sequences) == [2]


def test_rows_without_values_do_not_extend_the_curves(tmp_path):
    path = write(tmp_path / "c.csv", "sequences,icl,ciwl\n1,1,\n2,3,4\n3,nan,5\n4,nan,\n")
    assert select_curves(path).end() == 3


def test_a_metric_of_no_evaluator_is_a_curve_of_its_own_name(tmp_path):
    """In a CSV and in a run folder, where an undefined number is null."""
    text = "sequences,batch_loss,icl/loss\n1,,3\n2,5,2\n3,4,1\n"
    row = {"step": 1, "sequences": 1, "batch_loss": None, "icl/loss": 3.0}
    rows = [
        row,
        row | {"step": 2, "sequences": 2, "batch_loss": 5.0, "icl/loss": 2.0},
        row | {"step": 3, "sequences": 3, "batch_loss": 4.0, "icl/loss": 1.0},
    ]
    for source in (write(tmp_path / "c.csv", text), write_run(tmp_path, rows)):
        found = read_curves(source, "batch_loss")
        assert list(found.values) == ["batch_loss"]
        np.testing.assert_array_equal(found.values["batch_loss"], [5, 4])
        np.testing.assert_array_equal(found.sequences, [2, 3])
        assert list(read_curves(source).values) == ["icl"]


def test_only_the_fitted_columns_are_parsed(tmp_path):
    text = "sequences,icl,timestamp,other\n1,1,2020-01-01 10:00,inf\n2,3,2020-01-02 10:00,5\n"
    found = read_curves(write(tmp_path / "c.csv", text))
    np.testing.assert_array_equal(found.values["icl"], [1, 3])
    assert any("timestamp" in note for note in found.notes)
    assert [*read_curves(tmp_path / "c.csv", columns={"icl": "icl"}).values] == ["icl"]


def test_the_part_is_chosen_before_anything_is_checked(tmp_path):
    text = "sequences,icl\n-5,x\ntotal,\n1,1\n2,2\n3,3\n4,inf\n4,\n4,diverged\n,\n"
    path = write(tmp_path / "c.csv", text)
    with pytest.raises(UsageError):
        read_curves(path)
    found = read_curves(path, first=0.5, last=3)
    np.testing.assert_array_equal(found.values["icl"], [1, 2, 3])


@pytest.mark.parametrize(("cell", "is_read"), [("1,000", False), ("10,5", True), ("0,125", True)])
def test_steps_with_commas_have_one_reading(tmp_path, cell, is_read):
    path = write(tmp_path / "c.csv", f"step;icl\n0;1\n{cell};2\n20;3\n")
    if is_read:
        found = read_curves(path, batch_size=1)
        assert found.sequences[1] == float(cell.replace(",", "."))
    else:
        with pytest.raises(UsageError, match="line 3.*two readings"):
            read_curves(path, batch_size=1)


@pytest.mark.parametrize(
    ("cells", "is_read"),
    [
        (("2,345", "1,900", "1,200", "900"), False),
        (("2,345", "1,900", "1,200", "1,100"), True),
        (("2,345", "1,900", "1,200", "0,900"), True),
        (("2,345", "1,9", "1,200", "900"), True),
        (("2345", "1900", "1200", "900"), True),
    ],
)
def test_values_with_commas_have_one_reading(tmp_path, cells, is_read):
    rows = "".join(f'{k},"{cell}"\n' for k, cell in enumerate(cells))
    path = write(tmp_path / "c.csv", f"sequences,icl\n{rows}")
    if is_read:
        numbers = [float(cell.replace(",", ".")) for cell in cells]
        np.testing.assert_array_equal(read_curves(path).values["icl"], numbers)
    else:
        with pytest.raises(UsageError, match="icl"):
            read_curves(path)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("1.000;1,5\n2.000;1,4\n10.000;1,3\n", 2),
        ("0;1.5\n800;1.4\n1.000;1.3\n1.200;1.2\n", 4),
        ("800;1.4\n1.000.000;1.3\n", 3),
        ("1000;1,4\n1.200;1,3\n", 3),
        ("0;1.5\n1.125;1.4\n1.25;1.3\n", None),
        ("0.500;1.5\n1.000;1.4\n", None),
        ("900.000;1.5\n1000.000;1.4\n", None),
    ],
)
def test_steps_with_points_have_one_reading(tmp_path, rows, line):
    path = write(tmp_path / "c.csv", f"step;icl\n{rows}")
    for duplicates in ("error", "last"):
        if line is None:
            steps = [float(row.split(";")[0]) for row in rows.split()]
            found = read_curves(path, batch_size=1, duplicates=duplicates)
            np.testing.assert_array_equal(found.sequences, steps)
        else:
            with pytest.raises(UsageError, match=f"line {line}.*two readings"):
                read_curves(path, batch_size=1, duplicates=duplicates)


@pytest.mark.parametrize("name", ["trian", "Train", "ICL", "cwil", "flips"])
def test_a_misspelt_curve_is_refused(tmp_path, name):
    path = write(tmp_path / "log.csv", "sequences,a\n1,0.1\n2,0.2\n")
    with pytest.raises(UsageError, match="did you mean"):
        read_curves(path, columns={name: "a"})
    assert {*read_curves(path, columns={"my_probe": "a"}).values} == {"my_probe"}


def test_accuracies_of_flip_are_found(tmp_path):
    head = ("step", *(f"eval/{name}_accuracy" for name in ("train", "icl", "ciwl", "flip")))
    path = write(tmp_path / "log.csv", ",".join(head) + "\n1,0.5,0.5,0.5,0.5\n2,0.6,0.6,0.5,0.6\n")
    found = read_curves(path, "accuracy", batch_size=32)
    assert [*found.values] == ["train", "icl", "ciwl", "flip"]


def test_a_column_is_one_curve(tmp_path):
    path = write(tmp_path / "c.csv", "sequences,a\n0,1\n1,2\n")
    with pytest.raises(UsageError, match="name a column once"):
        read_curves(path, columns={"icl": "a", "ciwl": "a"})


def test_a_resumed_log_is_read_as_asked(tmp_path):
    """Steps 3 and 4 are those of the session that was given up."""
    text = "step,icl\n1,1\n2,2\n3,3\n4,4\n3,30\n5,50\n"
    path = write(tmp_path / "c.csv", text)
    with pytest.raises(UsageError, match="--duplicates last"):
        read_curves(path, batch_size=1)
    last = read_curves(path, batch_size=1, duplicates="last")
    np.testing.assert_array_equal(last.sequences, [1, 2, 3, 5])
    np.testing.assert_array_equal(last.values["icl"], [1, 2, 30, 50])
    assert any("2 of 6 samples of icl were replaced" in note for note in last.notes)
    mean = read_curves(path, batch_size=1, duplicates="mean")
    np.testing.assert_array_equal(mean.sequences, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(mean.values["icl"], [1, 2, 16.5, 4, 50])


def flip_rows(rate=lambda k: 1e-3):
    """A run in which ICL emerges at 400 sequences."""
    return [
        {"step": k, "sequences": 100 * k, "learning_rate": rate(k), "icl/loss": 1.0 / (k + 1)}
        | {
            "flip/in_context_accuracy": min(0.1 + 0.1 * k, 0.9),
            "icl/in_context_loss": 1.0 / (k + 1),
        }
        for k in range(20)
    ]


def test_the_start_of_a_fit_is_found(tmp_path):
    run = write_run(tmp_path, flip_rows())
    found = read_curves(run)
    assert found.sequences[0] == 400 >= LEAD * 400 > 300
    assert any("360" in note for note in found.notes)
    whole = read_curves(run, "in_context_loss")
    assert whole.sequences[0] == 0 and not (whole.notes or whole.cautions), (
        "the early phase does not affect it"
    )
    early = read_curves(run, last=300)
    assert early.sequences[0] == 0 and "emerge" in early.cautions[0], "it has not emerged yet"
    path = write(tmp_path / "c.csv", "sequences,icl\n1,1\n2,1\n")
    (caution,) = read_curves(path).cautions
    assert "--from" in caution and "first" in caution
    everything = read_curves(path, first=0)
    assert not everything.cautions and everything.sequences[0] == 1
    assert read_curves(run, first=0).sequences[0] == 0


def test_a_column_of_another_metric_is_cautioned(tmp_path):
    path = write(tmp_path / "c.csv", "step,train_acc,icl_loss,x\n1,0.1,3,1\n2,0.5,2,1\n")
    for curve, metric in (("train_acc", "loss"), ("icl_loss", "accuracy")):
        named = {"icl": curve, "acc": "x"}
        (caution,) = read_curves(path, metric, columns=named, batch_size=1, first=0).cautions
        assert curve in caution and "--metric" in caution
    for curve, metric in (("train_acc", "accuracy"), ("icl_loss", "loss"), ("x", "loss")):
        named = {"icl": curve}
        assert not read_curves(path, metric, columns=named, batch_size=1, first=0).cautions


def test_a_changing_learning_rate_is_cautioned(tmp_path):
    run = write_run(tmp_path, flip_rows(lambda k: 1e-3 * min(k / 10, 1)))
    (caution,) = read_curves(run, first=0).cautions
    assert "learning rate" in caution
    assert not read_curves(run, first=1000).cautions, "after the warm-up it is constant"


@pytest.mark.parametrize("x", [None, "sequences"])
def test_sequences_are_not_multiplied_by_a_batch_size(x, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("sequences,icl\n" + "".join(f"{k},{1 / (k + 1)}\n" for k in range(20)))
    assert read_curves(path, batch_size=1, x=x, first=0).sequences[-1] == 19
    with pytest.raises(UsageError):
        read_curves(path, batch_size=32, x=x, first=0)
