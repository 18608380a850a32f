"""Batches are drawn once for runs that share them, and ahead of need by a thread that ends."""

import threading
from dataclasses import replace

import pytest
import torch

from tests.transformer.conftest import HERE
from transformer.data.sequences import BLOCK_STEPS, training_block
from transformer.runs.train import in_memory
from transformer.training import batches
from transformer.training.batches import BatchStream
from transformer.training.optimisers import step_numbers

CPU = torch.device("cpu")
STEPS = (0, 1, BLOCK_STEPS - 1, BLOCK_STEPS, 3 * BLOCK_STEPS + 5, 2, 4 * BLOCK_STEPS)


@pytest.fixture
def configs(tiny):
    """Runs of which the first two have the same batches, and all different step numbers."""
    base = replace(tiny, n_steps=5 * BLOCK_STEPS)
    noisy = replace(base.data, mode="random")
    return [
        base,
        replace(base, init_seed=9, optim=replace(base.optim, warmup_steps=7)),
        replace(base, data_seed=9),
        replace(base, data=noisy, optim=replace(base.optim, learning_rate=0.5)),
    ]


@pytest.fixture
def drawn(monkeypatch):
    """Blocks that are drawn, with the thread that draws them."""
    found = []

    def draw(config, seed, number):
        found.append((config, seed, number, threading.current_thread()))
        return training_block(config, seed, number)

    monkeypatch.setattr(batches, "training_block", draw)
    return found


def wait_for_threads():
    for thread in threading.enumerate():
        if thread.name.startswith("batches"):
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("is_ahead", [False, True])
def test_every_run_has_its_own_batches(configs, drawn, is_ahead):
    """Whatever the order of the steps, as if each run were alone."""
    stream = BatchStream(configs, CPU, is_ahead)
    for step in STEPS:
        sequences, numbers = stream.step(step)
        for number, config in enumerate(configs):
            own = training_block(config.data, config.data_seed, step // BLOCK_STEPS)
            expected = own[step % BLOCK_STEPS]
            for found, value in zip(sequences.tensors, expected.tensors, strict=True):
                assert torch.equal(found[number], value)
            assert numbers[:, number].tolist() == pytest.approx(
                step_numbers(config.optim, step + 1)
            )
    wait_for_threads()
    assert not is_ahead or any(thread is not threading.main_thread() for *_, thread in drawn)


def test_runs_of_the_same_data_are_drawn_once(configs, drawn):
    stream = BatchStream(configs, CPU, is_ahead=True)
    for step in range(configs[0].n_steps):
        stream.step(step)
    wait_for_threads()
    assert len(drawn) == 3 * 5, "three streams, five blocks, none beyond the last step"
    assert len({key[:3] for key in drawn}) == len(drawn)


def test_training_is_the_same_with_blocks_drawn_ahead(tiny):
    config = replace(tiny, n_steps=BLOCK_STEPS + 3)
    ensembles = [in_memory(config, replace(config, init_seed=8), machine=HERE) for _ in range(2)]
    ensembles[1]._batches.is_ahead = True
    for ensemble in ensembles:
        ensemble.step = BLOCK_STEPS - 3
        for _ in range(6):
            ensemble.advance()
    plain, ahead = (each.train_state._step_state().tensors() for each in ensembles)
    assert all(torch.equal(value, ahead[name]) for name, value in plain.items())


def test_an_error_of_the_thread_is_raised_where_its_block_is_needed(configs, monkeypatch):
    """No thread is left then, nor when training stops before the block is needed."""

    def fail(config, seed, number):
        if number:
            raise MemoryError("no memory for a block")
        return training_block(config, seed, number)

    monkeypatch.setattr(batches, "training_block", fail)
    stream = BatchStream(configs, CPU, is_ahead=True)
    for step in range(BLOCK_STEPS):
        stream.step(step)
    wait_for_threads()
    with pytest.raises(MemoryError, match="block"):
        stream.step(BLOCK_STEPS)
    wait_for_threads()


def test_a_gpu_reads_pinned_memory(configs, monkeypatch):
    pinned = []
    pin = lambda tensor: pinned.append(tensor) or tensor  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    sequences, numbers = BatchStream(configs, torch.device("cuda"), is_ahead=True)._draw(0)
    found = {id(each) for each in pinned}
    assert found == {id(each) for each in (*sequences.tensors, numbers)}
