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
    """Write a checkpoint by temporary file and rename."""
    metadata = {
        "step": str(checkpoint.step),
        "run_id": checkpoint.run_id,
        "exemplars": checkpoint.exemplars,
        "digest": _digest(checkpoint),
    }
    write_bytes(path, _with_sorted_header(save(checkpoint.tensors, metadata)))


def _with_sorted_header(content: bytes) -> bytes:
    """The same safetensors file with sorted names, whose order `save` leaves to chance.

    So that equal checkpoints are equal files.  A file is the header's length in 8 bytes, the header
    in JSON, filled up with spaces to a multiple of 8, and the tensors, from its end on.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint; a truncated or altered one raises `DamagedCheckpoint`.

    One that is not there raises `MissingCheckpoint`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        checkpoint = Checkpoint(
            int(metadata["step"]), metadata["run_id"], metadata["exemplars"], tensors
        )
        expected = metadata["digest"]
    except FileNotFoundError as error:
        raise MissingCheckpoint(f"there is no checkpoint {path}") from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DamagedCheckpoint(f"checkpoint {path} is damaged ({error})") from error
    if _digest(checkpoint) != expected or path.stem != f"step_{checkpoint.step:09d}":
        raise DamagedCheckpoint(f"checkpoint {path} is damaged (its contents have changed)")
    return checkpoint
