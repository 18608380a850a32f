"""Checks of numbers that a caller gives: each returns them as one type, or raises `UsageError`."""

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coopetition.tools.errors import UsageError


def check_number(name: str, value: Any, *, positive: bool = False) -> float:
    """Return a finite number of at least 0, or above 0, as a float."""
    if not _is_finite(value) or value < 0 or (positive and value == 0):
        bound = "above 0" if positive else "of at least 0"
        raise UsageError(f"{name} is {_describe(value)}; choose a finite number {bound}")
    return float(value)


def check_bound(name: str, value: Any) -> float:
    """Return an end of an interval as a float; it may be infinite."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_real or math.isnan(value):
        raise UsageError(f"{name} is {_describe(value):.80}; choose a number")
    return float(value)


def check_int(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number within bounds as an int; 1e4 counts as one."""
    if not _is_finite(value) or value != int(value) or value < least:
        raise UsageError(f"{name} is {_describe(value)}; choose a whole number of at least {least}")
    if most is not None and value > most:
        raise UsageError(f"{name} is {value}; choose at most {most}")
    return int(value)


def check_real_array(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return real numbers of one shape as a float64 array."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise UsageError(f"{name} is not an array of real numbers ({error})") from error
    if array.dtype.kind not in "iuf":
        raise UsageError(f"{name} is not of real numbers; it has the type {array.dtype}")
    return array.astype(np.float64)


def _is_finite(value: Any) -> bool:
    # True and False are numbers to Python, but a mistake where a number is expected
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def _describe(value: Any) -> str:
    return str(value) if isinstance(value, numbers.Real) else repr(value)
