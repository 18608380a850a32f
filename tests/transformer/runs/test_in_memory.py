"""Training by a loop of one's own is the training that folders record."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from coopetition.tools.errors import UsageError
from transformer import in_memory, load_model, train, train_together
from transformer.data.exemplars.features import FeatureConfig
from transformer.training.machine import Machine

HERE = Machine("cpu", 1, "eager")


def test_numbers_are_those_of_a_run_in_a_folder(tiny, tmp_path):
    config = replace(tiny, n_steps=8, evaluation=replace(tiny.evaluation, every=4))
    run = train(config, str(tmp_path / "run"), HERE)
    ensemble = in_memory(config, machine=HERE)
    rows = [ensemble.metric_rows(ensemble.evaluate())[0]]
    for _ in range(2):
        for _ in range(4):
            ensemble.advance()
        rows.append(ensemble.metric_rows(ensemble.evaluate())[0])
    for ours, kept in zip(rows, run.metrics(), strict=True):
        assert ours == {name: kept[name] for name in ours}
    model, kept = ensemble.model(), load_model(run)
    assert (model.config, model.step) == (kept.config, 8)
    for name, value in kept.parameters.items():
        assert torch.equal(model.parameters[name], value)
    ensemble.advance()
    assert torch.equal(model.parameters["W_U"], kept.parameters["W_U"]), "a copy"


def test_threads_are_those_that_were_settled(tiny, monkeypatch):
    """Whatever number the process has, which it has again afterwards."""
    with Machine("cpu", 2, "eager").use():
        ensemble = in_memory(tiny, machine=HERE)
        used = []
        step = ensemble.train_state.step
        seen = lambda *batch: (used.append(torch.get_num_threads()), step(*batch))  # noqa: E731
        monkeypatch.setattr(ensemble.train_state, "step", seen)
        run = ensemble._evaluate_together
        monkeypatch.setattr(
            ensemble,
            "_evaluate_together",
            lambda *about: (used.append(torch.get_num_threads()), run(*about))[1],
        )
        ensemble.advance()
        ensemble.evaluate()
        assert used == [1, 1] and torch.get_num_threads() == 2


def test_exemplars_of_a_file_are_held_once(tiny, tmp_path):
    """However many runs are trained on them."""
    np.save(tmp_path / "features.npy", np.eye(20, dtype=np.float32)[:, None].repeat(4, 1))
    exemplars = FeatureConfig(path=str(tmp_path / "features.npy"), n_classes=20, n_exemplars=4)
    config = replace(tiny, data=replace(tiny.data, exemplars=exemplars))
    ensemble = in_memory(config, replace(config, init_seed=9), machine=HERE)
    assert ensemble.exemplars[0] is ensemble.exemplars[1]


def test_runs_that_cannot_be_one_are_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="data.context"):
        in_memory(tiny, replace(tiny, data=replace(tiny.data, context=4)), machine=HERE)
    for start in (in_memory, lambda: train_together({}, tmp_path / "runs")):
        with pytest.raises(UsageError, match="no runs are given"):
            start()
