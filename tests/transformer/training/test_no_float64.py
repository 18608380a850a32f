"""Training on devices without float64, such as MPS."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from transformer.config import OptimConfig
from transformer.runs.train import train
from transformer.training.machine import Machine


class RefuseFloat64(TorchDispatchMode):
    """Raise `TypeError` whenever an operation makes a float64 tensor, as MPS does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor) and each.dtype == torch.float64:
                raise TypeError(f"{func} makes a float64 tensor")
        return result


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize(
    "model",
    [
        {},
        {"mlp_ratio": 2, "positions": "rotary", "n_layers": 3},
        {"encoder": "resnet", "positions": "sinusoidal"},
    ],
)
def test_a_run_needs_no_float64(tiny, tmp_path, model, precision):
    """Two evaluations, each with a gradient norm, and two checkpoints."""
    optim = OptimConfig(clip_norm=1.0, l2=(("all", 1e-4),), schedule="cosine", decay_steps=20)
    config = replace(
        tiny,
        n_steps=14,
        model=replace(tiny.model, **model),
        data=replace(tiny.data, noise=0.1),
        optim=optim,
        precision=precision,
    )
    with RefuseFloat64():
        run = train(config, tmp_path / "run", Machine("cpu", 1, "eager"))
    assert [row["step"] for row in run.metrics()] == [0, 7, 14]
    assert all(row["gradient_norm"] > 0 for row in run.metrics()[1:])
