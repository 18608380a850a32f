"""What is too large is refused before it is made."""

import math
from dataclasses import replace

import pytest

from coopetition.tools.errors import UsageError
from transformer.experiments.presets import PRESETS
from transformer.model.parameters import parameter_shapes
from transformer.runs.loop import train
from transformer.training import memory as memory
from transformer.training.cost import forecast
from transformer.training.machine import Machine

HERE = Machine("cpu", 1, "eager")


def test_runs_that_do_not_fit_are_refused_at_once(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_memory", lambda device: 2**30)
    config = replace(tiny, model=replace(tiny.model, d_model=2**14))
    with pytest.raises(UsageError, match=r"take \d+\.\d GiB, and cpu has 1\.0; choose"):
        forecast({"": config}, HERE)
    with pytest.raises(UsageError, match=r"take \d+\.\d GiB, and cpu has 1\.0; choose"):
        train(config, tmp_path / "run", HERE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("n_layers", [100_000, 10**12])
def test_models_of_too_many_tensors_are_refused_at_once(tiny, tmp_path, monkeypatch, n_layers):
    """Whatever the memory: they would not be done building."""
    monkeypatch.setattr(memory, "_memory", lambda device: math.inf)
    config = replace(tiny, model=replace(tiny.model, n_layers=n_layers))
    for start in (
        lambda: forecast({"": config}, HERE),
        lambda: train(config, tmp_path / "r", HERE),
    ):
        with pytest.raises(UsageError, match=r"the model has [\d,]+ tensors, so that one step"):
            start()
    assert not (tmp_path / "r").exists()


def test_tensors_are_counted():
    for preset in PRESETS.values():
        config = preset.config("paper")
        shapes = parameter_shapes(config.model, context=8, d_features=9, n_labels=2)
        assert memory.tensor_count(config) == len(shapes) < memory.MOST_TENSORS / 10


def test_a_batch_that_does_not_fit_is_refused_before_a_folder_is_made(tiny, tmp_path):
    config = replace(tiny, data=replace(tiny.data, batch_size=10**9))
    for start in (
        lambda: forecast({"": config}, HERE),
        lambda: train(config, tmp_path / "run", HERE),
    ):
        with pytest.raises(UsageError, match="batch_size"):
            start()
    assert not (tmp_path / "run").exists()
