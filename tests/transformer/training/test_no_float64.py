"""Training on devices without float64, such as MPS."""

from dataclasses import replace

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from transformer.runs.loop import train
from transformer.training.machine import Machine


class RefuseFloat64(TorchDispatchMode):
    """Raise `TypeError` whenever an operation makes a float64 tensor, as MPS does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor) and each.dtype == torch.float64:
                raise TypeError(f"{func} makes a float64 tensor")
        return result


def test_a_run_needs_no_float64(tiny, tmp_path):
    """Two evaluations, each with a gradient norm, and two checkpoints."""
    config = replace(tiny, n_steps=14)
    with RefuseFloat64():
        run = train(config, tmp_path / "run", Machine("cpu", 1, "eager"))
    assert [row["step"] for row in run.metrics()] == [0, 7, 14]
    assert all(row["gradient_norm"] > 0 for row in run.metrics()[1:])
