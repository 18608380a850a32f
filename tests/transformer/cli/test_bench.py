"""`python -m transformer bench`."""

import json

import torch

from transformer.training.cost import bench


def test_the_contract(call):
    flags = ["--n-classes", 64, "--runs", 2, "--repeats", 1, "--threads", 1, "--json"]
    result = json.loads(call("transformer", "bench", *flags, "--execution", "eager"))
    assert result["milliseconds_per_step"] > result["floor_milliseconds"] > 0


def test_what_makes_no_bench_is_refused(call):
    for values, names in (((0,), "n_classes=0"), ((1,), "n_classes=1; choose at least 2"),
                          ((), "--n-classes")):  # fmt: skip
        assert names in call("transformer", "bench", "--n-classes", *values, expect=2)


def test_threads_are_chosen_as_training_chooses_them(monkeypatch):
    """By timing steps, and 1 where a run is too short for that, however many cores there are."""
    monkeypatch.setattr("transformer.training.execution.WORTH_TIMING_S", float("inf"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        (row,) = bench(
            n_classes=(8,), runs=(1,), n_layers=(1,), execution=("eager",), mlp_ratio=0, context=2,
            d_features=4, batch_size=2, repeats=1, device="cpu", threads=None,
        )  # fmt: skip
        assert row["threads"] == 1 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
