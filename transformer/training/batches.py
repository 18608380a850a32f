"""Training batches of all runs that are trained together, drawn in blocks of steps."""

from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from transformer.config import RunConfig
from transformer.data.sequences import BLOCK_STEPS, Sequences, training_block
from transformer.training.machine import dtype_of
from transformer.training.optimisers import step_numbers

Block = tuple[Sequences, Tensor]  # with leading step axis; `step_numbers` are (step, 3, R)


class BatchStream:
    """Batches and step numbers of all runs; those of runs with the same data are drawn once.

    On a GPU, a thread draws the next block into pinned memory while the device computes.  It ends
    with its block, so that none is left when training stops.

    Parameters
    ----------
    configs : runs that are trained together
    device : where batches are needed
    is_ahead : whether a thread draws the next block
    """

    def __init__(self, configs: list[RunConfig], device: torch.device, is_ahead: bool) -> None:
        self.configs, self.device, self.is_ahead = configs, device, is_ahead
        self._number = -1  # of the present block
        self._block: Block | None = None
        self._coming: tuple[int, Future[Block]] | None = None

    def step(self, step: int) -> Block:
        """Return the sequences and the step numbers (3, R) of the step after `step` others."""
        number, offset = divmod(step, BLOCK_STEPS)
        if self._block is None or number != self._number:
            sequences, numbers = self._read(number)
            moved = numbers.to(self.device, non_blocking=True)
            self._number, self._block = number, (sequences.to(self.device), moved)
        sequences, numbers = self._block
        return sequences[offset], numbers[offset]

    def _read(self, number: int) -> Block:
        """Return a block in main memory, and begin to draw the one after it."""
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == number:
            block = coming[1].result()
        else:
            block = self._draw(number)
        if self.is_ahead and (number + 1) * BLOCK_STEPS < self.configs[0].n_steps:
            thread = ThreadPoolExecutor(1, "batches")
            self._coming = number + 1, thread.submit(self._draw, number + 1)
            thread.shutdown(wait=False)  # it ends after this block
        return block

    def _draw(self, number: int) -> Block:
        """Draw a block."""
        drawn = {
            key: training_block(*key, number)
            for key in {(config.data, config.data_seed) for config in self.configs}
        }
        dtype = dtype_of(self.configs[0].precision)
        steps = range(number * BLOCK_STEPS + 1, (number + 1) * BLOCK_STEPS + 1)
        numbers = {
            optim: torch.tensor([step_numbers(optim, step) for step in steps], dtype=dtype)
            for optim in {config.optim for config in self.configs}
        }
        sequences = Sequences.stack([drawn[own.data, own.data_seed] for own in self.configs], 1)
        of_runs = torch.stack([numbers[own.optim] for own in self.configs], 2)
        if self.device.type == "cuda":
            return sequences.pin_memory(), of_runs.pin_memory()
        return sequences, of_runs
