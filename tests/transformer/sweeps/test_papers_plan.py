"""Plans at scale smoke: that of the coopetition paper from glyphs to tables, and controls."""

import shutil

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from transformer.cli import main
from transformer.experiments.plans import load_plan
from transformer.experiments.within_class import LEVELS
from transformer.runs.folder import load_run
from transformer.runs.table import find_runs
from transformer.sweeps.status import plan_status
from transformer.sweeps.train import Train

SWEEP = ["sweep", "coopetition", "--scale", "smoke", "--jobs", "2", "--device", "cpu", "--runs"]
CHAIN = ("encoder", "features", "ciwl_only_5", "grafted_4M_5")  # a graft and what it needs


@pytest.fixture(scope="module")
def plan():
    return load_plan("coopetition", "smoke")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder with the graft and what it needs."""
    runs = tmp_path_factory.mktemp("smoke") / "runs"
    assert main([*SWEEP, str(runs), "--only", "grafted_4M_5"]) == 0
    return runs


def test_a_graft_starts_from_part_of_its_source(swept):
    assert {path.name for path in swept.iterdir() if path.name[0] != "."} == {*CHAIN}
    graft, source = (load_run(swept / name) for name in ("grafted_4M_5", "ciwl_only_5"))
    assert graft.config.start.run_id == source.config.run_id()
    grafted = graft.checkpoint(graft.config.n_steps).tensors
    original = source.checkpoint(graft.config.start.step).tensors
    assert grafted["W_U"].equal(original["W_U"]) and not grafted["W_E"].equal(original["W_E"])


def test_features_that_a_run_was_not_trained_on_are_reported(swept, plan, tmp_path):
    runs = shutil.copytree(swept, tmp_path / "runs")
    file = runs / "features" / "features.safetensors"
    with safe_open(file, "pt") as opened:
        values, metadata = opened.get_tensor("features"), opened.metadata()
    save_file({"features": values * 1.5}, file, metadata)
    statuses = plan_status(plan.select(["grafted_4M_5"]), runs)
    assert [statuses[name].state for name in CHAIN] == ["done", "done", "failed", "failed"]
    assert "(data.exemplars.fingerprint=" in statuses["ciwl_only_5"].message
    assert load_run(runs / "ciwl_only_5").is_finished(), "nothing is lost"


def test_the_controls_without_icl_are_trained_and_measured_at_every_level(tmp_path):
    plan = load_plan("within_class", "smoke").select(["ciwl_only_*_14"])
    for node in plan.nodes.values():
        node.execute(tmp_path, "cpu", 1)
    assert {*find_runs(tmp_path)} == {f"ciwl_only_{level}_14" for level in LEVELS}
    for name in plan.nodes:
        last = load_run(tmp_path / name).metrics()[-1]
        assert 0 <= last["ciwl/in_context_accuracy"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_plan_runs(plan, tmp_path):
    assert main([*SWEEP, str(tmp_path)]) == 0
    trained = [name for name, node in plan.nodes.items() if isinstance(node, Train)]
    assert sorted(find_runs(tmp_path)) == sorted(trained)
    events = (tmp_path / "events" / "table.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in events[1:]] == trained
