"""Threads and precision of torch, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from transformer.config.plain import require


@contextmanager
def torch_settings(threads: int, *, tf32: bool = False) -> Iterator[None]:
    """Compute with a number of CPU threads, with TF32 or without; restore both at the end."""
    require(threads >= 1, f"threads={threads}; choose at least 1")
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn.allow_tf32
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
        torch.backends.cudnn.allow_tf32 = cudnn
