"""Where a run computes."""

import torch

from coopetition.errors import UsageError

MAX_THREADS = 1024


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


def set_threads(threads: int | None) -> None:
    """Use so many CPU threads, or leave torch its default."""
    if threads is not None:
        if not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"threads={threads}; choose from 1 to {MAX_THREADS}")
        torch.set_num_threads(threads)
