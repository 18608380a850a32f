"""Training by a loop of one's own is the training that folders record."""

from dataclasses import replace

import pytest
import torch

from coopetition.tools.errors import UsageError
from transformer import in_memory, load_model, train
from transformer.runs.machine import Machine

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


def test_runs_that_cannot_be_one_are_refused(tiny):
    with pytest.raises(UsageError, match="data.context is 2 in run 0 and 4 in run 1"):
        in_memory(tiny, replace(tiny, data=replace(tiny.data, context=4)), machine=HERE)
