"""Parameters that a run takes over from elsewhere instead of drawing them."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import StartConfig
from transformer.config.model import in_part
from transformer.runs.folder import load_run

HALF = "/half"  # ends the identity of weights in half precision: other numbers than the run's own


def check_warm_start(
    start: StartConfig, parameters: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise `UsageError` unless the parameters to take over have the shapes of a model."""
    for name, shape in shapes.items():
        if any(in_part(name, part) for part in start.parts):
            found = tuple(parameters[name].shape) if name in parameters else "not there"
            if found != shape:
                raise UsageError(
                    f"start.path {start.path} does not fit the model: {name} is {found}, expected "
                    f"{shape}; take over other start.parts than {', '.join(start.parts)}"
                )


def read_warm_start(start: StartConfig) -> tuple[StartConfig, dict[str, Tensor]]:
    """The parameters that `start` names, and `start` with the identity of where they come from.

    From a checkpoint of a run folder, or a .safetensors file with the names and shapes of
    `transformer.model.parameters`.  What is missing, or not as `run_id` says, raises `UsageError`.
    """
    path = Path(start.path)
    if not start.path or not path.exists():
        what = f"start.path {path} does not exist" if start.path else "start.path is missing"
        raise UsageError(
            f"{what}; give a run's folder"
            + (f" (of run {start.run_id})" if start.run_id else "")
            + ", or a .safetensors file of parameters"
        )
    if path.is_file():
        content = path.read_bytes()
        try:
            tensors = load(content)
        except SafetensorError as error:
            raise UsageError(f"start.path {path} is no .safetensors file ({error})") from error
        found = hashlib.sha256(content).hexdigest()[:12]
    else:
        run = load_run(path)
        if start.step not in run.steps():
            raise UsageError(
                f"start.step={start.step}: {path} has no such checkpoint; it has {run.steps()}"
            )
        tensors, found = run.checkpoint(start.step).tensors, run.config.run_id()
        if any(value.dtype == torch.float16 for value in tensors.values()):
            found += HALF
    if start.run_id not in ("", found):
        raise UsageError(
            f"start.path {path} holds {found}, but start.run_id={start.run_id}; "
            "give the path of that run"
        )
    return replace(start, path=str(path.resolve()), run_id=found), tensors
