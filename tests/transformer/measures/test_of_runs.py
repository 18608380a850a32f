"""Tables of measures have one shape, whatever the model has."""

from types import SimpleNamespace

import pytest
import torch

from transformer.config import ModelConfig, RunConfig
from transformer.measures.of_models import PARTS
from transformer.model.loaded import Model
from transformer.runs.measures import measure_run


@pytest.mark.parametrize("has_mlp", [False, True])
def test_weight_norms_have_a_column_for_every_part(monkeypatch, has_mlp):
    parameters = {"W_E": torch.tensor([[3.0, 4.0]]), "b_E": torch.zeros(2), "W_U": torch.zeros(2)}
    if has_mlp:
        parameters["blocks.0.W_in"] = torch.tensor([2.0])
    model = Model(ModelConfig(), parameters)
    monkeypatch.setattr("transformer.runs.measures.load_model", lambda run, step: model)
    run = SimpleNamespace(config=RunConfig(checkpoint_every=5), steps=lambda: [4, 5, 10])
    rows = [*measure_run(run, "weight_norms")]
    assert [row["step"] for row in rows] == [5, 10]
    for row in rows:
        assert [*row] == ["step", "sequences", *PARTS]
        assert row["encoder"] == 5 and row["unembedding"] == 0, "a norm of 0 is one"
        assert row["mlp"] == (2 if has_mlp else None) and row["labels"] is None
