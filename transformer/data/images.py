"""Small image operations that glyphs and Omniglot share."""

import numpy as np
from numpy.typing import NDArray

SIDE = 28  # pixels; both sources draw on this square


def blur(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """One 3 x 3 binomial blur (weights 1 2 1 by 1 2 1, over 16) of images (..., side, side)."""
    for axis in (-2, -1):
        padding = [(0, 0)] * images.ndim
        padding[axis] = (1, 1)
        padded = np.moveaxis(np.pad(images, padding), axis, 0)
        smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
        images = np.moveaxis(smooth, 0, axis).astype(np.float32)
    return images


def quantise(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey values 0 to 1, clipped, as 0 to 255."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
