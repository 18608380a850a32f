"""Where and how a run computes: part of its record, not of what defines it."""

import ctypes
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch

from coopetition.tools.errors import UsageError
from transformer.config.run import Precision

MAX_THREADS = 1024
WORTH_COMPILING = 10_000  # steps; compiling takes some 20 s and saves some 3 ms a step

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

Execution = Literal["eager", "compiled", "graph"]
Choice = Execution | Literal["auto"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Device, CPU threads, and whether the step is compiled or replayed as a CUDA graph.

    No threads, and `auto`, are what training settles by timing steps and trying to compile.
    """

    device: str
    threads: int | None
    execution: Choice

    @classmethod
    def choose(
        cls,
        device: str = "auto",
        threads: int | None = None,
        execution: str = "auto",
        *,
        n_steps: int = 0,
    ) -> Self:
        """A machine as named, or what suits a run of `n_steps` where it says `auto`.

        What only a trial can tell stays open: threads that are not given, and `auto` where the run
        is long enough to be compiled.

        Raises `UsageError` for what is not there.
        """
        place = choose_device(device)
        if threads is not None and not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"threads={threads}; choose from 1 to {MAX_THREADS}")
        return cls(str(place), threads, _choose(execution, place, n_steps))

    def execution_named(self) -> Execution:
        """The execution, eager while it is open."""
        return "eager" if self.execution == "auto" else self.execution

    @contextmanager
    def use(self, precision: Precision = "float32") -> Iterator[None]:
        """Compute with its threads (1 while that is open), and as precisely; undone at the end."""
        threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
        cudnn = torch.backends.cudnn.allow_tf32
        torch.set_num_threads(self.threads or 1)
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(matmul)
            torch.backends.cudnn.allow_tf32 = cudnn


def keep_freed_memory() -> None:
    """Have glibc keep memory that is freed, where it is the allocator.

    By default it gives large blocks back to the system at once: the buffers of every step are then
    new pages, and their faults took up to half of a step.  Holds for the whole process.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that older versions take
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _choose(execution: str, device: torch.device, n_steps: int) -> Choice:
    if execution == "auto":
        worth_it = n_steps >= WORTH_COMPILING and can_compile(device)
        return "auto" if worth_it else "eager"
    if execution == "graph":
        if device.type != "cuda":
            raise UsageError(f"execution 'graph' needs a CUDA device, not {device}; choose eager")
        return "graph"
    if execution == "compiled":
        if not can_compile(device):
            raise UsageError(
                f"execution 'compiled' on {device} needs a C++ compiler (or Triton); choose eager"
            )
        return "compiled"
    if execution != "eager":
        options = ", ".join(("auto", *get_args(Execution)))
        raise UsageError(f"execution {execution!r} is unknown; choose one of {options}")
    return "eager"


def can_compile(device: torch.device) -> bool:
    """Whether `torch.compile` finds what it needs: a C++ compiler for the CPU, Triton for CUDA."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    compilers = (os.environ.get("CXX", "g++"), "g++", "clang++")
    return device.type == "cpu" and any(map(shutil.which, compilers))


def choose_device(name: str) -> torch.device:
    """The device named, or the best there is for `auto`: cuda, then mps, then cpu."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    there = [kind for kind, is_there in available.items() if is_there]
    try:
        device = torch.device(name)
        usable = device.type in there and (device.index or 0) < max(torch.cuda.device_count(), 1)
    except RuntimeError:
        usable = False
    if not usable:
        raise UsageError(f"device {name!r} is not available here; choose auto or one of {there}")
    return torch.device(name)
