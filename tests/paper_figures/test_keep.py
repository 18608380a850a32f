"""Finished runs of a sweep are kept where figures look for runs."""

from dataclasses import replace

import numpy as np
import pytest

from coopetition.compare.curves import read_curves
from coopetition.tools.errors import UsageError
from paper_figures.keep import keep_finished
from paper_figures.sources import index
from tests.transformer.conftest import tiny_config
from transformer.config import RunConfig
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

TINY = tiny_config()
RUN = replace(TINY, evaluation=replace(TINY.evaluation, every=5), init_seed=6)


def plan_of(n_steps: int) -> Plan:
    config = replace(RUN, n_steps=n_steps)
    both = {"a": config, "b": replace(config, init_seed=7)}
    return Plan(
        [
            Train(name="main_6", config=config, also=("seeds_6_2",)),
            Train(name="long", config=replace(config, n_steps=40), longer_than="main_6"),
            Train(name="seeds_6_3", config=replace(config, data_seed=3)),
            Train(name="together", config=both),
        ]
    )


def test_finished_runs_are_kept_once_and_longer_ones_take_their_place(tmp_path):
    runs, data = tmp_path / "runs", tmp_path / "data"
    (data / "coopetition").mkdir(parents=True)
    (data / "index.json").write_text("[]")

    def keep(n_steps: int) -> list[str]:
        return keep_finished(plan_of(n_steps), runs, "coopetition", "cpu", data)

    with pytest.raises(UsageError, match="holds no finished run of the plan coopetition"):
        keep(10)
    for node in (plan_of(10).nodes[name] for name in ("main_6", "together")):
        node.work(runs, "cpu", 1)
    assert keep(10) == ["main_6"], "neither what has not begun, nor what is no single run"
    assert keep(10) == []
    plan_of(20).nodes["main_6"].work(runs, "cpu", 1)
    plan_of(20).nodes["seeds_6_3"].work(runs, "cpu", 1)
    assert keep(20) == ["main_6", "seeds_6_3"]
    presets = {entry["preset"]: entry for entry in index(data)}
    assert set(presets) == {"coopetition/main", "coopetition/seeds_6_3"}
    for entry in presets.values():
        assert (entry["scale"], entry["step"], entry["status"]) == ("cpu", 20, "finished")
        assert RunConfig.from_dict(entry["config"]).run_id() == entry["run_id"]
        curves = read_curves(data / "coopetition" / f"{entry['run_id']}.csv", "loss")
        np.testing.assert_array_equal(curves.sequences, [0, 40, 80, 120, 160])
    plan_of(20).nodes["long"].work(runs, "cpu", 1)
    assert keep(20) == ["long"]
    entry = next(each for each in index(data) if each["step"] == 40)
    assert entry["preset"] == "coopetition/main"
    assert entry["also"] == ["coopetition/seeds_6_2", "coopetition/long"]
    assert len(list((data / "coopetition").iterdir())) == 2, "what the index says lies only there"
