"""Arrays in files of the user, `.npy` or `.safetensors`: read in parts, never unpickled."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, abbreviate
from coopetition.tools.files import check_readable
from transformer.data.exemplar_sets import NO_FILE

if TYPE_CHECKING:
    import torch

CHUNK = 2**20  # numbers converted at once, so that memory stays near that of the result
TYPES = {"U8": "uint8", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}

# raised by numpy for a damaged `.npy` file, whose header it parses as Python
BAD_HEADER = (ValueError, TypeError, OverflowError, SyntaxError, TokenError)
HOW_TO_REPLACE = "give an undamaged copy, or move it away and make it again (by `embed` or a sweep)"


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """An array in a file, not read yet."""

    path: Path
    shape: tuple[int, ...]
    dtype: str
    """Name of a torch type: uint8 or a floating-point type."""
    part: "Callable[[tuple[slice, ...]], torch.Tensor]"
    """Returns the values at one slice per axis."""
    axes: tuple[str, ...] = ()
    """Name of what each axis counts."""

    def read(self, lengths: tuple[int, ...], dtype: "torch.dtype") -> "torch.Tensor":
        """Return the first `lengths` entries of each axis as `dtype`, copied chunk by chunk.

        Values that are not finite or beyond the range of `dtype` raise `UsageError`.
        """
        import torch

        result = torch.empty(lengths, dtype=dtype)
        largest = 0.0
        rows = max(1, CHUNK // math.prod(lengths[1:]))
        sizes = " x ".join(f"{n} {axis}" for n, axis in zip(lengths, self.axes, strict=True))
        label = f"read {self.path.name} ({sizes})"
        with ProgressReport(label, lengths[0], self.axes[0]) as progress:
            for start in range(0, lengths[0], rows):
                target = result[start : start + rows]
                rest = (slice(length) for length in lengths[1:])
                chunk = self.part((slice(start, start + len(target)), *rest))
                target.copy_(convert(chunk, dtype, str(self.path)))
                largest = max(largest, chunk.abs().max().item())
                progress.advance(len(target))
        check_not_tiny(largest, dtype, str(self.path))
        return result


def convert(values: "torch.Tensor", dtype: "torch.dtype", source: str) -> "torch.Tensor":
    """Return `values` as `dtype`; raise `UsageError` if one is not finite before or after."""
    import torch

    converted = values.to(dtype)
    if not torch.isfinite(converted).all():
        if not torch.isfinite(values).all():
            raise UsageError(f"{source} holds values that are not finite; expected numbers only")
        raise UsageError(
            f"{source} holds values up to {values.abs().max().item():.3g}, beyond the "
            f"{torch.finfo(dtype).max:g} of {str(dtype).removeprefix('torch.')}; scale them down"
        )
    return converted


def check_not_tiny(largest: float, dtype: "torch.dtype", source: str) -> None:
    """Raise `UsageError` for values that lose digits, or become 0, in a floating `dtype`."""
    import torch

    if dtype.is_floating_point and 0 < largest < torch.finfo(dtype).tiny:
        raise UsageError(
            f"{source} holds values up to {largest:.3g}, all below the "
            f"{torch.finfo(dtype).tiny:.1g} from which {str(dtype).removeprefix('torch.')} keeps "
            "its digits; scale them up"
        )


def open_array(path: str, key: str, axes: tuple[str, ...]) -> ArrayFile:
    """Open the array in a file, by `key` if a `.safetensors` file holds several.

    A missing or damaged file, or an array without one axis per name in `axes`, raises `UsageError`.
    """
    file = Path(path)
    expected = (
        "give an .npy or .safetensors file as `path` (--data.exemplars.path to train, --data-path "
        "for an existing run); `embed` makes one"
    )
    if not path:
        raise UsageError(NO_FILE)
    check_readable(file, expected)
    if file.suffix == ".npy":
        array = _open_npy(file, key)
    elif file.suffix == ".safetensors":
        array = _open_safetensors(file, key)
    else:
        raise UsageError(f"{path} ends in {file.suffix!r}; expected .npy or .safetensors")
    if len(array.shape) != len(axes) or 0 in array.shape:
        raise UsageError(
            f"{path} holds an array of shape {array.shape}; expected ({', '.join(axes)})"
        )
    if array.dtype not in TYPES.values():
        raise UsageError(
            f"{path} holds {array.dtype} values, not {', '.join(TYPES.values())}; convert them, or "
            "make the file again"
        )
    return replace(array, axes=axes)


def _open_npy(path: Path, key: str) -> ArrayFile:
    if key:
        raise UsageError(f"key={key!r} is for .safetensors files; leave it empty for {path}")
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except BAD_HEADER as error:
        raise UsageError(
            f"{path} is damaged or not an .npy array ({_one_line(error)}); {HOW_TO_REPLACE}"
        ) from error

    def part(where: tuple[slice, ...]) -> "torch.Tensor":
        import torch

        return torch.from_numpy(np.array(array[where], array.dtype.newbyteorder("=")))

    return ArrayFile(path, array.shape, array.dtype.name, part)


def open_safetensors(path: Path, framework: str = "pt") -> Any:
    """Return `safe_open` of a file; a missing or damaged file raises `UsageError`."""
    check_readable(path, "give a .safetensors file")
    try:
        return safe_open(path, framework)
    except SafetensorError as error:
        raise UsageError(
            f"{path} is damaged or not a .safetensors file ({_one_line(error)}); {HOW_TO_REPLACE}"
        ) from error


def _open_safetensors(path: Path, key: str) -> ArrayFile:
    file = open_safetensors(path)
    names = sorted(file.keys())
    if not names:
        raise UsageError(f"{path} holds no arrays; {HOW_TO_REPLACE}")
    if not key and len(names) == 1:
        key = names[0]
    if key not in names:
        problem = f"key={key!r} is not an array of" if key else "no key is given for"
        raise UsageError(
            f"{problem} {path}; choose one of its {len(names)} arrays: {abbreviate(names, 5)}"
        )
    array = file.get_slice(key)
    name = str(array.get_dtype())
    return ArrayFile(path, tuple(array.get_shape()), TYPES.get(name, name), array.__getitem__)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
