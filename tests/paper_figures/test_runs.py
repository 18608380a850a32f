"""The runs and tables that are kept are what their records say."""

import json
import os
import shutil

import pytest

from coopetition.tools.errors import UsageError, UserError
from paper_figures.core import runs as runs_module
from paper_figures.core.kept_data import (
    DATA,
    cache_until_changed,
    curves_path,
    damaged_file_error,
    load_index,
    presets_of,
    read_other_rows,
    read_rows,
    rows_by_run,
    table_records,
)
from paper_figures.core.runs import FigureRun, Runs, kept_runs, kept_tables
from transformer.config import RunConfig
from transformer.experiments.coopetition import LAYER_1_AT, early_presets
from transformer.experiments.presets import PRESETS
from transformer.measures.of_models import head_alone

MAIN = "coopetition/main"


def test_every_kept_file_is_in_the_records_once():
    papers = {entry["paper"] for entry in load_index()}
    paths = [path for paper in papers for path in DATA.glob(f"{paper}/*.csv")]
    files = {f"{path.parent.name}/{path.stem}" for path in paths}
    runs = [f"{entry['paper']}/{entry['run_id']}" for entry in load_index()]
    assert len(set(runs)) == len(runs)
    assert files == {*runs, *table_records()}


@pytest.mark.parametrize(
    ("preset", "advice"),
    [
        (MAIN, "sweep coopetition --scale cpu --runs DIR --only 'main_[0-9]*'` and `python -m"),
        ("coopetition/grafted_*", "--only 'grafted_*'`"),
        ("coopetition/nothing", "preset 'coopetition/nothing' is unknown"),
        ("smoke", "python -m transformer train --preset smoke"),
    ],
)
def test_the_error_for_runs_that_are_not_kept_says_how_to_make_them(monkeypatch, preset, advice):
    monkeypatch.setattr(runs_module, "load_index", lambda data: [])
    with pytest.raises(UsageError) as refused:
        kept_runs(preset)
    assert advice in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("preset", sorted({entry["preset"] for entry in load_index()}))
def test_kept_runs_are_of_their_preset(preset):
    for run in kept_runs(preset):
        record = run.provenance["config"]
        assert "path" not in record["data"]["exemplars"]
        config = RunConfig.from_dict(record)
        assert run.provenance["run_id"] == config.run_id()
        assert run.curves("loss").sequences[-1] == run.n_sequences
        paper, _, name = preset.partition("/")
        scale = run.provenance["scale"]
        shorter = early_presets(scale) if paper == "coopetition" else {}
        expected = shorter.get(name, PRESETS[preset].at(scale)).config
        assert (config.model, config.optim) == (expected.model, expected.optim)
        assert _without_fingerprints(config).data == expected.data
        assert config.evaluation == expected.evaluation
        is_whole = run.n_sequences >= expected.n_steps * expected.data.batch_size
        assert is_whole == (run.provenance["status"] != "diverged")


def _without_fingerprints(config: RunConfig) -> RunConfig:
    """Return a config without what is filled in when exemplars are read."""
    filled = {name for name in ("fingerprint", "made_by") if hasattr(config.data.exemplars, name)}
    return config.with_exemplars(**dict.fromkeys(filled, ""))


def test_a_kept_run_can_lead():
    seeds = [run.init_seed for run in kept_runs(MAIN, first=7)]
    assert seeds[0] == 7 and len(set(seeds)) == len(seeds)
    with pytest.raises(UsageError, match="99"):
        kept_runs(MAIN, first=99)


def test_a_run_of_several_presets_has_the_number_of_the_one_that_was_asked_for():
    assert {run.number for run in kept_runs("transience/depth_2")} == {2}
    assert FigureRun("run", DATA, {"preset": "transience/l2_3e-05"}).number == 3e-5
    found = {run.provenance["preset"] for run in kept_runs("transience/classes_6400")}
    assert found == {"transience/classes_6400"}


def test_a_pattern_finds_the_runs_of_all_presets_in_the_order_of_their_numbers():
    runs = kept_runs("coopetition/grafted_*")
    numbers = [run.number for run in runs]
    assert numbers == sorted(numbers) and {4, 9.8, 64} <= {*numbers}
    assert {run.provenance["preset"] for run in runs} == {
        preset for entry in load_index() for preset in presets_of(entry) if "/grafted_" in preset
    }
    need = Runs("coopetition/grafted_*")
    assert need.seeds("cpu") == {run.init_seed for run in runs}
    assert "coopetition/grafted_20M" in need.missing(runs)


@pytest.fixture
def copied(tmp_path):
    """A folder of one kept run, and its entry."""
    entry = next(each for each in load_index() if each["preset"] == "coopetition/one_layer")
    (tmp_path / "coopetition").mkdir()
    (tmp_path / "index.json").write_text(json.dumps([entry]))
    shutil.copy(curves_path(entry), curves_path(entry, tmp_path))
    return tmp_path, entry


def test_damaged_curves_are_refused(copied):
    data, entry = copied
    path = curves_path(entry, data)
    (run,) = kept_runs("coopetition/one_layer", data=data)
    lines = path.read_text().splitlines()
    for text in ("\n".join(lines[:-1]) + "\n", path.read_text()[:-20], "", None):
        path.unlink() if text is None else path.write_text(text)
        with pytest.raises(UserError, match=path.name):
            run.curves("loss")


def test_git_restores_only_files_of_the_package(tmp_path):
    kept, other = DATA / "index.json", tmp_path / "index.json"
    assert f"git checkout -- {kept}" in str(damaged_file_error(kept, "it is empty"))
    assert "git checkout" not in str(damaged_file_error(other, "it is empty"))


@pytest.mark.parametrize("content", ["", "[", "\x00", "[" * 100_000])
def test_a_damaged_index_is_refused(copied, content):
    data, _ = copied
    (data / "index.json").write_text(content)
    with pytest.raises(UserError, match=r"index\.json"):
        kept_runs("coopetition/one_layer", data=data)


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "", "run_id,b\n1,2\n3\n", "run_id,b\n1,2,3\n"])
def test_a_damaged_table_is_refused(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=r"table\.csv"):
        read_rows(path, needed="run_id")


def test_a_file_is_read_again_only_after_a_change(tmp_path):
    path, n_read = tmp_path / "file", 0

    @cache_until_changed(8)
    def read_upper(path, end):
        nonlocal n_read
        n_read += 1
        return path.read_text().upper() + end

    path.write_text("a")
    os.utime(path, ns=(0, 1))
    assert [read_upper(path, end) for end in "!?!?"] == ["A!", "A?", "A!", "A?"]
    assert n_read == 2
    path.write_text("b")
    os.utime(path, ns=(0, 2))
    assert read_upper(path, "!") == "B!" and n_read == 3


def test_rows_of_a_table_can_be_replaced(tmp_path):
    path = tmp_path / "table.csv"
    assert read_other_rows(path, "model", ["first"]) == []
    path.write_text("model,x\nfirst,1\nsecond,2\nfirst,3\n")
    assert read_other_rows(path, "model", ["first"]) == [{"model": "second", "x": "2"}]


@pytest.fixture
def table(tmp_path):
    """A copy of the kept data, one of its tables, and the lines of that."""
    shutil.copytree(DATA, tmp_path / "data", ignore=shutil.ignore_patterns("within_class"))
    data = tmp_path / "data"
    path = data / "coopetition" / "superposition.csv"
    return data, path, path.read_text().splitlines()


def load(data):
    return kept_tables(MAIN, "superposition", data=data)


def test_every_kept_table_is_as_its_record_and_the_plan_say():
    entries = {entry["run_id"]: entry for entry in load_index()}
    for name, of_runs in table_records().items():
        paper, kind = name.split("/")
        assert of_runs.keys() == rows_by_run(DATA / paper / f"{kind}.csv").keys()
        for run_id in of_runs:
            entry = entries[run_id]
            assert kept_tables(entry["preset"], kind, scale=entry["scale"])


def test_a_table_that_lost_rows_is_refused(table):
    data, path, lines = table
    others = [line for line in lines if not line.startswith(lines[1].partition(",")[0])]
    for kept in ([*lines[:3], *lines[4:]], [*lines, lines[1]], lines[:100], others):
        path.write_text("\n".join(kept) + "\n")
        with pytest.raises(UserError, match=r"superposition\.csv"):
            load(data)
    path.write_text("\n".join(lines) + "\n")
    assert load(data)
    (data / "tables.json").unlink()
    with pytest.raises(UserError, match="no record"):
        load(data)


def test_a_table_that_the_plan_measures_otherwise_is_stale(table, monkeypatch):
    data, *_ = table
    assert load(data)
    monkeypatch.setattr(runs_module, "_definitions", runs_module._definitions.__wrapped__)
    monkeypatch.setitem(head_alone.__kwdefaults__, "temperatures", (0.1, 1.0))
    with pytest.raises(UserError, match=r"superposition.csv.*stale.*head_alone"):
        load(data)
    monkeypatch.setitem(LAYER_1_AT["cpu"], "fall", 16)
    with pytest.raises(UserError, match=r"layer_1_of_fall.csv.*stale"):
        kept_tables(MAIN, "layer_1_of_fall")
    assert kept_tables(MAIN, "layer_1_of_end")
