"""Device and execution of a run: part of its record, but not of its definition."""

import ctypes
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch

from coopetition.tools.errors import UsageError
from transformer.config.run import Precision
from transformer.data.torch_settings import torch_settings

MAX_THREADS = 1024
WORTH_COMPILING = 10_000  # steps; compiling takes some 20 s and saves some 3 ms a step
WORTH_CAPTURING = 100  # steps; checking and capturing a graph take the time of some ten steps

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

Execution = Literal["eager", "compiled", "graph", "compiled-graph"]
Choice = Literal["auto", "eager", "compiled", "graph", "compiled-graph"]


def dtype_of(precision: Precision) -> torch.dtype:
    """Return the type of parameters, features and losses; bfloat16 is that of products alone."""
    return torch.float64 if precision == "float64" else torch.float32


@dataclass(frozen=True, slots=True)
class Machine:
    """Device, CPU threads, and whether the step is compiled, replayed as a CUDA graph, or both.

    `threads=None` and `execution="auto"` are open: training chooses by timing steps and trying
    executions (`transformer.training.execution`).
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
        """Return a machine, with `auto` resolved as far as that needs no trial.

        Threads stay open unless they are given, and execution stays `auto` where a run of
        `n_steps` is worth compiling or capturing.  What is not available raises `UsageError`.
        """
        place = choose_device(device)
        if threads is not None and not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"threads={threads}; choose from 1 to {MAX_THREADS}")
        return cls(str(place), threads, _resolve_execution(execution, place, n_steps))

    @contextmanager
    def use(self, precision: Precision = "float32") -> Iterator[None]:
        """Compute with its threads (1 while they are open) and precision; undone at the end.

        A CUDA device is the current one meanwhile: streams, graphs and Triton use that.
        """
        is_cuda = torch.device(self.device).type == "cuda"
        with (
            torch_settings(self.threads or 1, tf32=precision == "tf32"),
            torch.cuda.device(self.device) if is_cuda else nullcontext(),
        ):
            yield


def _resolve_execution(execution: str, device: torch.device, n_steps: int) -> Choice:
    if execution not in (options := get_args(Choice)):
        raise UsageError(f"execution {execution!r} is unknown; choose one of {', '.join(options)}")
    if "graph" in execution and device.type != "cuda":
        raise UsageError(f"execution {execution!r} needs a CUDA device, not {device}; choose eager")
    if "compiled" in execution and not can_compile(device):
        raise UsageError(
            f"execution {execution!r} on {device} needs a C++ compiler (or Triton); choose eager"
        )
    if execution == "auto" and list_candidates(device, n_steps) == ["eager"]:
        return "eager"
    return execution  # pyright: ignore[reportReturnType]


def list_candidates(device: torch.device, n_steps: int) -> list[Execution]:
    """Return what `auto` tries for a run of `n_steps`, from the fastest execution to eager."""
    can_capture = device.type == "cuda" and n_steps >= WORTH_CAPTURING
    candidates: list[Execution] = ["graph", "eager"] if can_capture else ["eager"]
    if n_steps >= WORTH_COMPILING and can_compile(device):
        candidates.insert(0, "compiled-graph" if can_capture else "compiled")
    return candidates


def can_compile(device: torch.device) -> bool:
    """Return whether `torch.compile` finds a C++ compiler for the CPU, or Triton for CUDA."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    compilers = (os.environ.get("CXX", "g++"), "g++", "clang++")
    return device.type == "cpu" and any(map(shutil.which, compilers))


def choose_device(name: str) -> torch.device:
    """Return the named device; for `auto` the first available of cuda, mps and cpu."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    names = [kind for kind, is_available in available.items() if is_available]
    if name == "auto":
        return torch.device(names[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # where nothing can be computed
    if device.type in names and (device.index or 0) < max(torch.cuda.device_count(), 1):
        return device
    reason = f": {_explain_missing_cuda()}, or" if device.type == "cuda" else ";"
    choices = ", ".join(["auto", *names])
    raise UsageError(f"device {name!r} is not available here{reason} choose one of {choices}")


def _explain_missing_cuda() -> str:
    """Return why a CUDA device cannot be used, and what to change."""
    if not torch.backends.cuda.is_built():
        return f"torch {torch.__version__} is a CPU build; install a build with CUDA"
    if torch.cuda.is_available():
        return f"the last CUDA device is cuda:{torch.cuda.device_count() - 1}; give that"
    return (
        f"torch {torch.__version__} is built with CUDA but finds no GPU; check by `nvidia-smi` "
        "that the NVIDIA driver works, and that CUDA_VISIBLE_DEVICES hides no GPU"
    )


def keep_freed_memory() -> None:
    """Make glibc, where it is the allocator, keep freed memory, for the whole process.

    By default it returns large blocks to the system at once.  The buffers of every step are then
    new pages, whose faults took up to half of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that older versions accept
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
