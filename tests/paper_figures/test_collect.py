"""Finished runs of a sweep are kept where figures look for them."""

import fcntl
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from coopetition.fitting.reading import read_curves
from coopetition.tools.errors import UsageError, UserError
from paper_figures.core.collect import _preset, keep_finished
from paper_figures.core.kept_data import curves_path, load_index, table_records
from paper_figures.core.runs import kept_runs, kept_tables
from tests.transformer.conftest import tiny_config
from transformer.config import OptimConfig, RunConfig
from transformer.experiments.plans import load_plan
from transformer.runs.folder import load_run
from transformer.sweeps.measure import RunTable
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

TINY = tiny_config()
RUN = replace(TINY, evaluation=replace(TINY.evaluation, every=5), init_seed=6)


def plan_of(n_steps: int) -> Plan:
    config = replace(RUN, n_steps=n_steps)
    both = {"a": config, "b": replace(config, init_seed=7)}
    return Plan(
        [
            Train(name="main_6", config=config, aliases=("seeds_6_2",)),
            Train(name="long", config=replace(config, n_steps=40), extends="main_6"),
            Train(name="seeds_6_3", config=replace(config, data_seed=3)),
            Train(name="together", config=both),
        ]
    )


def measured_plan() -> Plan:
    config = replace(RUN, n_steps=10)
    return Plan(
        [
            Train(name="first", config=config),
            Train(name="second", config=replace(config, init_seed=8)),
            RunTable(name="norms_first", measure="weight_norms", of=("first",)),
            RunTable(name="norms_second", measure="weight_norms", of=("second",)),
        ]
    )


def work(plan, folder, names=()):
    for name in names or plan.nodes:
        plan.nodes[name].execute(folder, "cpu", 1)


def keep(runs, data, plan=None, paper="coopetition"):
    return keep_finished(plan or measured_plan(), runs, paper, "cpu", data)[0]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two runs, and its measures."""
    runs = tmp_path_factory.mktemp("swept")
    work(measured_plan(), runs)
    return runs


@pytest.fixture
def runs(swept, tmp_path):
    shutil.copytree(swept, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data" / "coopetition").mkdir(parents=True)
    return tmp_path / "data"


def test_finished_runs_are_kept_once_and_longer_ones_replace_them(tmp_path, data):
    runs = tmp_path / "sweep"
    with pytest.raises(UsageError, match="sweep is not a folder"):
        keep(runs, data, plan_of(10))
    runs.mkdir()
    with pytest.raises(UsageError, match="no finished run"):
        keep(runs, data, plan_of(10))
    work(plan_of(10), runs, ("main_6", "together"))
    assert keep(runs, data, plan_of(10)) == ["main_6", "together/b"], "each run once"
    assert keep(runs, data, plan_of(10)) == []
    work(plan_of(20), runs, ("main_6", "seeds_6_3"))
    kept, left_out = keep_finished(plan_of(20), runs, "coopetition", "cpu", data)
    assert (kept, left_out) == (["main_6", "seeds_6_3"], ["together: not finished"])
    presets = {entry["preset"]: entry for entry in load_index(data)}
    together = presets.pop("coopetition/together/b")
    assert (together["step"], together["config"]["init_seed"]) == (10, 7)
    assert set(presets) == {"coopetition/main", "coopetition/seeds_6_3"}
    for entry in presets.values():
        assert (entry["scale"], entry["step"], entry["status"]) == ("cpu", 20, "finished")
        assert RunConfig.from_dict(entry["config"]).run_id() == entry["run_id"]
        curves = read_curves(curves_path(entry, data), "loss", first=0)
        np.testing.assert_array_equal(curves.sequences, [0, 40, 80, 120, 160])
    work(plan_of(20), runs, ("long",))
    assert keep(runs, data, plan_of(20)) == ["long"]
    entry = next(each for each in load_index(data) if each["step"] == 40)
    assert entry["preset"] == "coopetition/main"
    others = ["coopetition/seeds_6_2", "coopetition/together/a", "coopetition/long"]
    assert entry["also"] == others, "its earlier presets too"
    files = {*(data / "coopetition").iterdir()}
    assert files == {curves_path(each, data) for each in load_index(data)} and len(files) == 3


def spoil_metrics(run):
    path = run / "metrics.jsonl"
    path.write_bytes(b"spoilt\n" + path.read_bytes())


def change_seed(run):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["config"]["init_seed"] = 99
    (run / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda run: (run / "manifest.json").write_text("{"), "manifest.json"),
        (spoil_metrics, "metrics.jsonl"),
        (lambda run: shutil.rmtree(run) or run.mkdir(), "not finished"),
        (change_seed, "another run"),
    ],
)
def test_what_cannot_be_kept_is_reported_and_does_not_stop_the_others(runs, data, spoil, why):
    spoil(runs / "first")
    kept, left_out = keep_finished(measured_plan(), runs, "coopetition", "cpu", data)
    assert kept == ["second", "weight_norms.csv"]
    assert left_out[0].startswith("first: ") and why in left_out[0]
    assert all("\n" not in sentence for sentence in left_out)


def test_tables_are_merged_by_run(runs, data):
    path = data / "coopetition" / "weight_norms.csv"
    first, second = (load_run(runs / name).config.run_id() for name in ("first", "second"))
    path.write_text(f"run,run_id,old\nelsewhere,abc,1\nfirst,{first},2\n")
    assert "weight_norms.csv" in keep(runs, data)
    rows = pd.read_csv(path).set_index("run_id")
    assert rows["run"].to_dict() == {"abc": "elsewhere", first: "first", second: "second"}
    assert rows["old"].dropna().to_dict() == {"abc": 1}
    measured = pd.read_csv(runs / "norms_first" / "table.csv").set_index("run_id")
    assert rows.loc[first, "labels"] == measured.loc[first, "labels"]
    record = table_records(data)["coopetition/weight_norms"]
    assert record.keys() == {first, second}, "of the other nothing is known"
    assert record[first]["node"] == "norms_first"
    assert record[first]["measures"]["weight_norms"]["n_rows"] == len(measured)
    assert keep(runs, data) == [], "all of it is kept already"


def test_of_a_run_in_two_lengths_the_rows_of_the_longer_are_kept(runs, data):
    """Whichever sweep is kept last, and if one table has both."""
    longer = Train(name="first", config=replace(RUN, n_steps=20))
    both = Plan(
        [
            replace(longer, name="short", config=replace(RUN, n_steps=10)),
            longer,
            RunTable(name="norms", measure="weight_norms", of=("first", "short")),
        ]
    )
    elsewhere = runs.parent / "elsewhere"
    work(both, elsewhere)
    keep(elsewhere, data, both)
    path = data / "coopetition" / "weight_norms.csv"
    table, steps = path.read_text(), pd.read_csv(path)["step"]
    assert steps.max() == 20 and not steps.duplicated().any()
    assert keep(runs, data) == ["second", "weight_norms.csv"]
    assert path.read_text().startswith(table)
    assert keep(elsewhere, data, both) == []


def test_what_is_measured_anew_is_kept_although_the_kept_run_is_longer(runs, data):
    keep(runs, data)
    entries = [entry | {"step": 10**6} for entry in load_index(data)]
    (data / "index.json").write_text(json.dumps(entries))
    table = runs / "norms_first" / "table.csv"
    frame = pd.read_csv(table)
    frame["labels"] += 1
    frame.to_csv(table, index=False)
    record = table.with_suffix(".json")
    about = json.loads(record.read_text())
    del about["table_hash"]  # as if it had been measured so
    record.write_text(json.dumps(about))
    assert keep(runs, data) == ["weight_norms.csv"]


def test_a_kill_leaves_an_index_of_what_is_there(runs, data, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("paper_figures.core.collect.write_json", killed)
        keep(runs, data)
    assert load_index(data) == []
    assert keep(runs, data) == ["first", "second", "weight_norms.csv"]
    files = {path.name for path in (data / "coopetition").iterdir()}
    assert files == {f"{entry['run_id']}.csv" for entry in load_index(data)} | {"weight_norms.csv"}


def test_a_longer_run_of_another_plan_replaces_a_shorter(runs, data):
    (data / "coopetition_early").mkdir()
    keep(runs, data, paper="coopetition_early")
    longer = Plan([Train(name="first", config=replace(RUN, n_steps=20))])
    work(longer, runs)
    assert keep(runs, data, longer) == ["first"]
    entry = load_index(data)[0]
    assert (entry["paper"], entry["step"]) == ("coopetition", 20)
    assert (entry["preset"], entry["also"]) == ("coopetition_early/first", ["coopetition/first"])
    files = {path for path in data.glob("*/*") if path.stem != "weight_norms"}
    assert files == {curves_path(each, data) for each in load_index(data)}


def test_two_calls_do_not_keep_at_once(runs, data):
    descriptor = os.open(data, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(keep, runs, data)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        assert load_index(data) == []
        os.close(descriptor)
        assert waiting.result() == ["first", "second", "weight_norms.csv"]


@pytest.fixture(scope="module")
def trained_together(tmp_path_factory):
    """What is kept of a small default run of the transience paper and its measure."""
    folder = tmp_path_factory.mktemp("transience")
    runs, data = folder / "runs", folder / "data"
    node = load_plan("transience", "smoke").nodes["default"]
    plan = Plan([node, RunTable(name="transience", measure="transience", of=("default",))])
    work(plan, runs)
    keep_finished(plan, runs, "transience", "smoke", data)
    return data


@pytest.mark.parametrize("preset", ["default", "width_64", "p_bursty_1"])
def test_runs_that_are_trained_together_are_kept_and_measured(trained_together, preset):
    data = trained_together
    runs = kept_runs(f"transience/{preset}", 6, "smoke", data)
    assert [run.init_seed for run in runs] == [6, 5, 7]
    for table in kept_tables(f"transience/{preset}", "transience", 5, "smoke", data):
        assert [row["metric"] for row in table.rows] == ["in_context_accuracy", "accuracy"]
        assert table.rows[0]["fate"] in ("never rose", "stays", "faded")


def test_the_number_in_a_preset_is_not_taken_for_a_seed():
    assert _preset("transience", "depth_6/init_seed=6", 6) == "transience/depth_6"
    assert _preset("coopetition", "main/init_seed=6", 6) == "coopetition/main"
    assert _preset("coopetition", "main_6", 6) == "coopetition/main"


def test_a_run_that_diverged_is_kept_until_then(tmp_path, data):
    """Once the other runs of its node are finished; the node itself counts as failed."""
    tame = replace(RUN, n_steps=10, optim=OptimConfig(algorithm="sgd"))
    wild = replace(tame, init_seed=7, optim=replace(tame.optim, learning_rate=1e30))
    node = Train(name="pair", config={"a": tame, "b": wild})
    (tmp_path / "sweep").mkdir()
    assert not node.is_over(tmp_path / "sweep")
    with pytest.raises(UserError, match="finite"):
        node.execute(tmp_path / "sweep", "cpu", 1)
    assert node.is_over(tmp_path / "sweep")
    with pytest.raises(UserError, match="finite"):
        node.is_done(tmp_path / "sweep")
    assert len(keep(tmp_path / "sweep", data, Plan([node]))) == 2
    kept = {record["status"]: record["step"] for record in load_index(data)}
    assert kept["finished"] == 10 and kept["diverged"] < 10
