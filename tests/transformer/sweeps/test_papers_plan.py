"""The coopetition paper's graph at scale smoke, from glyphs to tables."""

import shutil

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from transformer.cli import main
from transformer.experiments.plans import load_plan
from transformer.runs.folder import load_run
from transformer.runs.table import find_runs
from transformer.sweeps.status import standings
from transformer.sweeps.train import Train

SWEEP = ["sweep", "coopetition", "--scale", "smoke", "--jobs", "2", "--device", "cpu", "--runs"]


@pytest.fixture(scope="module")
def plan():
    return load_plan("coopetition", "smoke")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A graft, and what it needs: an encoder, features, and the run that it starts from."""
    runs = tmp_path_factory.mktemp("smoke") / "runs"
    assert main([*SWEEP, str(runs), "--only", "grafted_4M_5"]) == 0
    return runs


def test_a_graft_brings_what_it_needs(swept, plan):
    chain = {"encoder", "features", "ciwl_only_5", "grafted_4M_5"}
    assert {path.name for path in swept.iterdir() if path.name[0] != "."} == chain
    graft, source = (load_run(swept / name) for name in ("grafted_4M_5", "ciwl_only_5"))
    assert graft.config.start.run_id == source.config.run_id()
    grafted, original = (
        graft.checkpoint(graft.config.n_steps).tensors,
        source.checkpoint(graft.config.start.step).tensors,
    )
    assert grafted["W_U"].equal(original["W_U"]) and not grafted["W_E"].equal(original["W_E"])


def test_other_features_than_a_run_had_are_told_in_a_line(swept, plan, tmp_path):
    runs = shutil.copytree(swept, tmp_path / "runs")
    file = runs / "features" / "features.safetensors"
    with safe_open(file, "pt") as opened:
        values, metadata = opened.get_tensor("features"), opened.metadata()
    save_file({"features": values * 1.5}, file, metadata)
    found = standings(plan.select(["grafted_4M_5"]), runs)
    assert {name: each.state for name, each in found.items()} == {
        "encoder": "done",
        "features": "done",
        "ciwl_only_5": "failed",
        "grafted_4M_5": "failed",
    }
    told = found["ciwl_only_5"].message
    assert "holds another run than the plan's (data.exemplars.fingerprint=" in told
    assert load_run(runs / "ciwl_only_5").is_finished(), "nothing is lost"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_graph(plan, tmp_path):
    assert main([*SWEEP, str(tmp_path)]) == 0
    trained = [name for name, node in plan.nodes.items() if isinstance(node, Train)]
    assert sorted(find_runs(tmp_path)) == sorted(trained)
    events = (tmp_path / "events" / "table.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in events[1:]] == trained
