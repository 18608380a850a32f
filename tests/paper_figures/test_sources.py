"""The runs that are kept are what their index says."""

import json
import shutil

import pytest

from coopetition.tools.errors import UsageError, UserError
from paper_figures.core import runs as sources
from paper_figures.core.kept_data import DATA, index, path_of, read_rows, rows_by_run, table_records
from paper_figures.core.runs import kept_runs, kept_tables, trained_run
from transformer.config import RunConfig
from transformer.experiments.coopetition import LAYER_1_AT, early_presets
from transformer.experiments.plans import load_plan
from transformer.experiments.presets import PRESETS
from transformer.measures.of_models import head_alone
from transformer.sweeps.measure import Table

COMPUTED = {  # from kept curves; see paper_figures/comparison/confront.py
    "comparison/fits.csv",
    "comparison/forecasts.csv",
    "within_class/predictions.json",
    "within_class/predictions_committed.json",
    "within_class/verdicts.json",
}


def test_every_kept_file_is_in_the_index_once():
    files = {str(path.relative_to(DATA)) for path in DATA.glob("*/*") if path.is_file()} - COMPUTED
    listed = [f"{entry['paper']}/{entry['run_id']}.csv" for entry in index()]
    assert len(set(listed)) == len(listed) and set(listed) <= files
    kinds = {
        node.kind
        for node in load_plan("coopetition", "cpu").nodes.values()
        if isinstance(node, Table)
    }
    assert files - set(listed) <= {f"coopetition/{kind}.csv" for kind in kinds}
    ids = {entry["run_id"] for entry in index()}
    for table in files - set(listed):
        assert {row["run_id"] for row in read_rows(DATA / table, needed="run_id")} <= ids


@pytest.mark.parametrize(
    ("preset", "advice"),
    [
        (
            "coopetition/main",
            "sweep coopetition --scale cpu --runs DIR --only 'main_[0-9]*'` and `python -m",
        ),
        (
            "coopetition/matched",
            "sweep coopetition --scale cpu --runs DIR --only 'matched_[0-9]*'` and",
        ),
        ("coopetition/nothing", "preset 'coopetition/nothing' is unknown"),
        (
            "smoke",
            "train it by `python -m paper_figures preset smoke --scale cpu --retrain`",
        ),
    ],
)
def test_who_asks_for_runs_that_are_not_kept_is_told_what_makes_them(
    tmp_path, monkeypatch, preset, advice
):
    monkeypatch.setattr("paper_figures.core.runs.index", lambda data: [])
    with pytest.raises(UsageError) as refused:
        kept_runs(preset)
    assert advice in str(refused.value) and "\n" not in str(refused.value)
    if "sweep" in advice:
        with pytest.raises(UsageError, match="needs more than --retrain makes; make it by"):
            trained_run(preset, tmp_path, init_seed=None)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("preset", sorted({entry["preset"] for entry in index()}))
def test_kept_runs_are_of_their_preset(preset):
    runs = kept_runs(preset)
    for run in runs:
        kept = run.provenance["config"]
        assert "path" not in kept["data"]["exemplars"]
        config = RunConfig.from_dict(kept)
        assert run.provenance["run_id"] == config.run_id()
        assert run.provenance["step"] * config.data.batch_size == run.n_sequences
        paper, _, name = preset.partition("/")
        scale = run.provenance["scale"]
        shorter = early_presets(scale) if paper == "coopetition" else {}
        expected = shorter.get(name, PRESETS[preset].at(scale)).config
        assert (config.model, config.optim) == (expected.model, expected.optim)
        assert _as_named(config).data == expected.data
        assert config.evaluation == expected.evaluation
        assert run.n_sequences >= expected.n_steps * expected.data.batch_size


def _as_named(config: RunConfig) -> RunConfig:
    """Without what is filled in when exemplars are read."""
    found = {name for name in ("fingerprint", "made_by") if hasattr(config.data.exemplars, name)}
    return config.with_exemplars(**dict.fromkeys(found, ""))


def test_a_kept_run_can_lead():
    seeds = [run.init_seed for run in kept_runs("coopetition/main", first=7)]
    assert seeds[0] == 7 and len(set(seeds)) == len(seeds)
    with pytest.raises(UsageError, match="no run of seed 99"):
        kept_runs("coopetition/main", first=99)
    with pytest.raises(
        UsageError, match="'smoke' is kept at scale cpu; .* --retrain`, or .*demo, glyphs"
    ):
        kept_runs("smoke")


@pytest.fixture
def copied(tmp_path):
    """A folder of one kept run, and its entry."""
    entry = next(each for each in index() if each["preset"] == "coopetition/one_layer")
    (tmp_path / "coopetition").mkdir()
    (tmp_path / "index.json").write_text(json.dumps([entry]))
    shutil.copy(path_of(entry), path_of(entry, tmp_path))
    return tmp_path, entry


def test_damaged_curves_are_told(copied):
    data, entry = copied
    path = path_of(entry, data)
    (run,) = kept_runs("coopetition/one_layer", data=data)
    assert run.curves("loss").sequences[-1] == run.n_sequences
    lines = path.read_text().splitlines()
    for text, told in (
        ("\n".join(lines[:-1]) + "\n", "is damaged .it ends at .* its run at .*; restore it"),
        (path.read_text()[:-20], "fewer cells than the"),
        ("", "is empty"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=told):
            run.curves("loss")


@pytest.mark.parametrize("content", ["", "[", "\x00", "[" * 100_000])
def test_a_damaged_index_is_told(copied, content):
    data, _ = copied
    (data / "index.json").write_text(content)
    with pytest.raises(UserError, match="index.json is damaged .*; restore it"):
        kept_runs("coopetition/one_layer", data=data)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n1,2\n", "no column run_id"),
        ("", "no column run_id"),
        ("run_id,b\n1,2\n3\n", "line 3 has not as many cells as columns"),
        ("run_id,b\n1,2,3\n", "line 2 has not as many"),
    ],
)
def test_a_damaged_table_is_told(tmp_path, content, told):
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=f"table.csv is damaged .{told}"):
        read_rows(path, needed="run_id")


@pytest.fixture
def table(tmp_path):
    """A folder of one kept table, its rows as lines, and the record of all tables."""
    shutil.copytree(DATA, tmp_path / "data", ignore=shutil.ignore_patterns("within_class"))
    data = tmp_path / "data"
    path = data / "coopetition" / "superposition.csv"
    return data, path, path.read_text().splitlines()


def found(data):
    return kept_tables("superposition", "coopetition/main", data=data)


def test_every_kept_table_is_as_its_record_says_and_as_the_plan_has_it():
    for name, of_runs in table_records().items():
        paper, kind = name.split("/")
        rows = rows_by_run(DATA / paper / f"{kind}.csv")
        assert set(of_runs) == set(rows)
        entries = {entry["run_id"]: entry for entry in index()}
        for run_id in of_runs:
            entry = entries[run_id]
            assert kept_tables(kind, entry["preset"], scale=entry["scale"])
    listed = {f"{entry['paper']}/{entry['run_id']}" for entry in index()}
    tables = {f"coopetition/{path.stem}" for path in DATA.glob("coopetition/*.csv")} - listed
    assert table_records().keys() == tables


def test_a_table_that_lost_rows_is_one_line(table):
    data, path, lines = table
    others = [line for line in lines if not line.startswith(lines[1].partition(",")[0])]
    for kept in ([*lines[:3], *lines[4:]], [*lines, lines[1]], lines[:100], others):
        path.write_text("\n".join(kept) + "\n")
        with pytest.raises(UserError, match="superposition.csv.*expected") as error:
            found(data)
        assert "\n" not in str(error.value)


def test_a_table_of_other_settings_is_one_line(table, monkeypatch):
    data, *_ = table
    assert found(data)
    monkeypatch.setattr(sources, "_definitions", sources._definitions.__wrapped__)
    monkeypatch.setitem(head_alone.__kwdefaults__, "temperatures", (0.1, 1.0))
    with pytest.raises(UserError, match="superposition.csv.*stale.*head_alone") as error:
        found(data)
    assert "\n" not in str(error.value)


def test_a_layer_that_is_taken_elsewhere_makes_its_table_stale(monkeypatch):
    monkeypatch.setattr(sources, "_definitions", sources._definitions.__wrapped__)
    monkeypatch.setitem(LAYER_1_AT["cpu"], "fall", 16)
    with pytest.raises(UserError, match="layer_1_of_fall.csv.*stale"):
        kept_tables("layer_1_of_fall", "coopetition/main")
    assert kept_tables("layer_1_of_end", "coopetition/main")


def test_a_table_without_a_record_is_refused(table):
    data, *_ = table
    (data / "tables.json").unlink()
    with pytest.raises(UserError, match="no record"):
        found(data)


def test_what_cannot_be_trained_is_refused_before_the_work(tmp_path):
    with pytest.raises(UsageError, match="preset 'nothing' is unknown"):
        trained_run("nothing", tmp_path, init_seed=None)
    assert not list(tmp_path.iterdir())
