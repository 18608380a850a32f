"""Checkpoints as safetensors: written whole or not at all, checked when read.

A state is all that a run's further steps depend on; weights, a third of it, are what is measured.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_bytes

OF_STATE = "optimiser.step"  # a tensor that every state has
BESIDE_WEIGHTS = ("optimiser.", "loss_sum", "steps_since")  # how a state's other tensors begin


class DamagedCheckpoint(UserError):
    """A checkpoint that is not as it was written."""


class MissingCheckpoint(UsageError):
    """A checkpoint that is not there."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run's state, or its weights alone, after `step` steps."""

    step: int
    run_id: str
    exemplars: str
    """Fingerprint of the exemplars that it was trained on."""
    tensors: dict[str, torch.Tensor]


def weights_of(state: Checkpoint) -> Checkpoint:
    """The weights of a state: parameters and running statistics."""
    weights = {n: t for n, t in state.tensors.items() if not n.startswith(BESIDE_WEIGHTS)}
    return replace(state, tensors=weights)


def in_half(weights: Checkpoint) -> Checkpoint:
    """Weights in half precision (float16); a tensor with a number beyond its range stays whole."""
    largest = torch.finfo(torch.float16).max
    halves = {n: t.half() if t.abs().max() <= largest else t for n, t in weights.tensors.items()}
    return replace(weights, tensors=halves)


def holds_state(path: Path) -> bool:
    """Whether there is a file that has a state (or is damaged, which its reader tells)."""
    try:
        with safe_open(path, framework="pt") as file:
            return OF_STATE in file.keys()  # noqa: SIM118
    except FileNotFoundError:
        return False
    except (SafetensorError, OSError):
        return True


def _digest(checkpoint: Checkpoint) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{checkpoint.step} {checkpoint.run_id} {checkpoint.exemplars}".encode())
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of one run by temporary file and rename."""
    write_bytes(path, content_of(checkpoint))


def content_of(checkpoint: Checkpoint) -> bytes:
    """Return the file of the checkpoint of one run."""
    about = {"step": str(checkpoint.step), **_about(checkpoint)}
    return _with_sorted_header(save(checkpoint.tensors, about))


def content_of_all(each: dict[str, Checkpoint]) -> bytes:
    """Return one file of checkpoints of one step, by run; its tensors have a run axis."""
    first = next(iter(each.values()))
    tensors = {
        name: _stacked([checkpoint.tensors[name] for checkpoint in each.values()])
        for name in first.tensors
    }
    runs = {
        run: _about(replace(checkpoint, tensors={n: t[row] for n, t in tensors.items()}))
        for row, (run, checkpoint) in enumerate(each.items())
    }
    about = {"step": str(first.step), "runs": json.dumps(runs)}
    return _with_sorted_header(save(tensors, about))


def _stacked(values: list[torch.Tensor]) -> torch.Tensor:
    """Stack values; where some are in half precision and others are not, none is."""
    dtype = max((value.dtype for value in values), key=lambda dtype: dtype.itemsize)
    return torch.stack([value.to(dtype) for value in values])


def _about(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "run_id": checkpoint.run_id,
        "exemplars": checkpoint.exemplars,
        "digest": _digest(checkpoint),
    }


def _with_sorted_header(content: bytes) -> bytes:
    """The same safetensors file with sorted names, whose order `save` leaves to chance.

    So that equal checkpoints are equal files.  A file is the header's length in 8 bytes, the header
    in JSON, filled up with spaces to a multiple of 8, and the tensors, from its end on.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def read_checkpoint(path: Path, run: str = "") -> Checkpoint:
    """Read and check the checkpoint of a run; `run` is its name in a file of several runs.

    A missing file raises `MissingCheckpoint`; one that is truncated, altered or lacks the run
    raises `DamagedCheckpoint`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            if "runs" in metadata:
                about = json.loads(metadata["runs"])
                row = list(about).index(run)
                tensors = {name: file.get_slice(name)[row] for name in names}
                about = about[run]
            else:
                tensors, about = {name: file.get_tensor(name) for name in names}, metadata
        checkpoint = Checkpoint(int(metadata["step"]), about["run_id"], about["exemplars"], tensors)
        expected = about["digest"]
    except FileNotFoundError as error:
        raise MissingCheckpoint(f"there is no checkpoint {path}") from error
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise DamagedCheckpoint(f"checkpoint {path} is damaged ({error})") from error
    if _digest(checkpoint) != expected or path.stem != f"step_{checkpoint.step:09d}":
        raise DamagedCheckpoint(f"checkpoint {path} is damaged (its contents have changed)")
    return checkpoint
