"""Checkpoint files (safetensors): complete or absent, and verified when they are read.

A state is all that a run's further steps depend on.  Weights, with Adam a third of it, are what is
evaluated.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from coopetition.tools.errors import UsageError, UserError
from transformer.training.ensemble import Checkpoint

NOT_WEIGHTS = ("optimiser.", "loss_sum", "steps_since")  # first letters of a state's other tensors


class DamagedCheckpoint(UserError):
    """A checkpoint differs from what was written, or is of another run."""


class MissingCheckpoint(UsageError):
    """A checkpoint does not exist."""


def weights_of(state: Checkpoint, *, half: bool = False) -> Checkpoint:
    """Return the weights of a state: parameters and running statistics.

    With `half` they are in half precision (float16), but for tensors that exceed its range.
    """
    weights = {n: t for n, t in state.tensors.items() if not n.startswith(NOT_WEIGHTS)}
    if half:
        largest = torch.finfo(torch.float16).max
        weights = {n: t.half() if t.abs().max() <= largest else t for n, t in weights.items()}
    return replace(state, tensors=weights)


def serialise(checkpoint: Checkpoint) -> bytes:
    """Return the file of one run's checkpoint."""
    about = {"step": str(checkpoint.step), **_metadata(checkpoint)}
    return _sort_header(save(checkpoint.tensors, about))


def serialise_together(checkpoints: dict[str, Checkpoint]) -> bytes:
    """Return one file of the checkpoints of one step, by run; its tensors have a run axis."""
    first = next(iter(checkpoints.values()))
    tensors = {
        name: _stack([each.tensors[name] for each in checkpoints.values()])
        for name in first.tensors
    }
    runs = {
        run: _metadata(replace(each, tensors={n: t[row] for n, t in tensors.items()}))
        for row, (run, each) in enumerate(checkpoints.items())
    }
    return _sort_header(save(tensors, {"step": str(first.step), "runs": json.dumps(runs)}))


def _stack(values: list[torch.Tensor]) -> torch.Tensor:
    """Stack values, in the widest of their precisions."""
    dtype = max((value.dtype for value in values), key=lambda dtype: dtype.itemsize)
    return torch.stack([value.to(dtype) for value in values])


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "run_id": checkpoint.run_id,
        "exemplars": checkpoint.exemplars,
        "digest": _digest(checkpoint),
    }


def _digest(checkpoint: Checkpoint) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{checkpoint.step} {checkpoint.run_id} {checkpoint.exemplars}".encode())
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _sort_header(content: bytes) -> bytes:
    """Return a safetensors file with sorted names, so that equal checkpoints are equal files.

    `save` leaves their order to chance.  A file is the header's length in 8 bytes, the header in
    JSON, padded with spaces to a multiple of 8, and the tensors, counted from the header's end.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def holds_state(path: Path) -> bool:
    """Return whether a readable file holds a state."""
    try:
        with safe_open(path, framework="pt") as file:
            return "optimiser.step" in file.keys()  # noqa: SIM118
    except (SafetensorError, OSError):
        return False


def is_complete(path: Path) -> bool:
    """Return whether a file has a whole header and the size that it states; reads no tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            return "step" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_checkpoint(path: Path, run: str = "") -> Checkpoint:
    """Read and verify the checkpoint of a run; `run` is its name in a file of several runs.

    A missing file raises `MissingCheckpoint`; one that is truncated, altered or lacks the run
    raises `DamagedCheckpoint`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            step, names = int(about["step"]), file.keys()
            if "runs" in about:
                runs = json.loads(about["runs"])
                row, about = list(runs).index(run), runs[run]
                tensors = {name: file.get_slice(name)[row] for name in names}
            else:
                tensors = {name: file.get_tensor(name) for name in names}
        checkpoint = Checkpoint(step, about["run_id"], about["exemplars"], tensors)
        digest = about["digest"]
    except FileNotFoundError as error:
        raise MissingCheckpoint(f"there is no checkpoint {path}") from error
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise DamagedCheckpoint(f"checkpoint {path} is damaged ({error})") from error
    if _digest(checkpoint) != digest or path.stem != f"step_{step:09d}":
        raise DamagedCheckpoint(f"checkpoint {path} is damaged (its contents have changed)")
    return checkpoint
