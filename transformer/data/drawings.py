"""Square drawings: how they are blurred and stored, and sets that are read class by class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 28  # pixels of glyphs, and of reduced Omniglot drawings


@dataclass(frozen=True, slots=True)
class Drawings:
    """Square drawings of every exemplar of every class, read a few classes at a time."""

    n_classes: int
    n_exemplars: int
    side: int
    classes: Callable[[int, int], NDArray[np.uint8]]
    """Returns pixels (stop - start, n_exemplars, side * side), 255 = ink, of classes `start` on."""


def blur(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return images (..., side, side) after a 3 x 3 binomial blur (weights 1 2 1 by 1 2 1)."""
    for axis in (-2, -1):
        padding: Any = [(0, 0)] * images.ndim
        padding[axis] = (1, 1)
        padded = np.moveaxis(np.pad(images, padding), axis, 0)
        smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
        images = np.moveaxis(smooth, 0, axis).astype(np.float32)
    return images


def quantise(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return grey values 0 to 1, clipped, as 0 to 255."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
