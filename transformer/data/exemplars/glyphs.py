"""Procedural glyphs: classes of handwriting-like drawings, without a download.

A class is a program of one to three cubic Bezier strokes.  An exemplar jitters the control points
and then rotates, scales and shifts the whole drawing.  More jitter makes the classes overlap, which
raises the error floor of in-context learning and speeds up its fade.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.console import ProgressReport
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.plain import require_at_least
from transformer.data.drawings import SIDE, blur, quantise
from transformer.data.exemplar_sets import GREY, Exemplars

N_STROKES = 3  # largest number; a class has 1, 2 or 3 strokes with equal probability
N_POINTS = 32  # samples along a stroke: about one per pixel
STROKE_STEP = 0.28  # standard deviation of the increments between a class's control points
SHIFT = 0.3  # standard deviation of an exemplar's shift, in units of the distortion
CHUNK = 256  # classes drawn at once, so that memory stays small


@EXEMPLAR_KINDS.register("glyphs")
@dataclass(frozen=True, slots=True, kw_only=True)
class GlyphConfig(ExemplarConfig):
    """Procedural handwriting: a class is a stroke program, an exemplar a jittered drawing."""

    n_classes: int = 12800
    n_exemplars: int = 20
    seed: int = 0
    """Random seed for the classes and their exemplars."""
    jitter: float = 0.12
    """Standard deviation of the jitter of control points, in units of the image side."""
    distortion: float = 0.25
    """Standard deviation of an exemplar's rotation (radians) and of its relative scales."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes", "n_exemplars")
        require_at_least(self, 0, "seed", "jitter", "distortion")

    def feature_count(self) -> int:
        """Return the number of pixels."""
        return SIDE**2

    def load(self) -> Exemplars:
        """Draw the glyphs."""
        return Exemplars.from_numpy(draw_glyphs(self), GREY)


def draw_glyphs(config: GlyphConfig) -> NDArray[np.uint8]:
    """Draw glyphs uint8 (n_classes, n_exemplars, 28 * 28), which depend on the config alone.

    Class k does not depend on `n_classes`.  12,800 x 20 glyphs take about 5 s on one core.
    """
    drawings = np.empty((config.n_classes, config.n_exemplars, SIDE * SIDE), np.uint8)
    with ProgressReport("draw glyphs", config.n_classes, "classes") as progress:
        for start in range(0, config.n_classes, CHUNK):
            rng = np.random.default_rng([config.seed, start // CHUNK])
            points, weights = _ink(rng, config)
            chunk = quantise(blur(np.minimum(_splat(points, weights), 1)))
            rows = drawings[start : start + CHUNK]
            rows[:] = chunk.reshape(CHUNK, config.n_exemplars, -1)[: len(rows)]
            progress.advance(len(rows))
    return drawings


def _ink(
    rng: np.random.Generator, config: GlyphConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw points (n_images, points, 2) of one chunk on the unit square, and their weights."""
    control = _stroke_programs(rng)[:, None]
    control = control + config.jitter * rng.standard_normal(
        (CHUNK, config.n_exemplars, N_STROKES, 4, 2), dtype=np.float32
    )
    points = np.einsum("pk,cesku->cespu", _bernstein(), control, optimize=True)
    points = _distort(rng, points, config.distortion)
    n_strokes = rng.integers(1, N_STROKES + 1, CHUNK)
    drawn = (np.arange(N_STROKES) < n_strokes[:, None]).astype(np.float32)
    weights = np.broadcast_to(drawn[:, None, :, None], points.shape[:-1])
    n_images = CHUNK * config.n_exemplars
    return points.reshape(n_images, -1, 2), weights.reshape(n_images, -1)


def _stroke_programs(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw control points (classes, strokes, 4, 2): uniform starts and clipped random walks."""
    shape = (CHUNK, N_STROKES)
    start = rng.uniform(0.1, 0.9, (*shape, 1, 2))
    steps = rng.normal(0, STROKE_STEP, (*shape, 3, 2))
    walk = np.concatenate([start, start + np.cumsum(steps, axis=2)], axis=2)
    return np.clip(walk, 0.1, 0.9).astype(np.float32)


def _bernstein() -> NDArray[np.float32]:
    """Return the cubic Bernstein polynomials (N_POINTS, 4)."""
    t = np.linspace(0, 1, N_POINTS)[:, None]
    return np.hstack(
        [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], dtype=np.float32
    )


def _distort(
    rng: np.random.Generator, points: NDArray[np.float32], distortion: float
) -> NDArray[np.float32]:
    """Rotate, scale and shift each drawing about the centre of the square."""
    shape = points.shape[:2]
    angle = rng.normal(0, distortion, shape)
    scale = 1 + rng.normal(0, distortion, (*shape, 2))
    shift = rng.normal(0, SHIFT * distortion, (*shape, 1, 1, 2))
    rotation = np.stack(
        [
            np.stack([np.cos(angle), -np.sin(angle)], -1),
            np.stack([np.sin(angle), np.cos(angle)], -1),
        ],
        -2,
    )
    matrix = (rotation * scale[..., None, :]).astype(np.float32)
    moved = np.einsum("ceij,cespj->cespi", matrix, points - 0.5, optimize=True)
    return moved + (0.5 + shift).astype(np.float32)


def _splat(points: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return images with each point spread bilinearly over four pixels, inside the square only."""
    n_images = len(points)
    position = points * (SIDE - 1)
    corner = np.floor(position)
    offset = position - corner
    image = np.arange(n_images)[:, None]
    ink = np.zeros(n_images * SIDE * SIDE, np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = (corner + np.array([dx, dy], np.float32)).astype(np.int64).transpose(2, 0, 1)
            share = np.abs(1 - dx - offset[..., 0]) * np.abs(1 - dy - offset[..., 1]) * weights
            inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
            pixel = (image * SIDE + y) * SIDE + x
            ink += np.bincount(pixel[inside], share[inside], minlength=len(ink)).astype(np.float32)
    return ink.reshape(n_images, SIDE, SIDE)
