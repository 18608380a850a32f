"""Omniglot drawings (Lake et al. 2015) from this package's copy or another.

Two forms of a copy can be read: an `.npz` with `images` (characters, 20, packed bits of 105 x 105,
1 = ink), as this package's, and the folders that torchvision unpacks (`images_background` and
`images_evaluation`, then alphabet, character, `####_NN.png`).  Both give the same drawings in the
same order.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError
from coopetition.tools.files import ARCHIVE_ERRORS
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.plain import (
    MACHINE_PATH,
    OMIT_DEFAULT_FROM_ID,
    require,
    require_at_least,
    require_choice,
)
from transformer.data.drawings import SIDE, Drawings, blur, quantise
from transformer.data.exemplar_sets import GREY, Exemplars

SHIPPED = Path(__file__).parents[1] / "omniglot" / "omniglot.npz"
N_CHARACTERS = 1600  # of 1,623, as both papers split them
N_DRAWINGS = 20
N_ORIENTATIONS = 8
RAW_SIDE = 105
N_RELEASED = 1623  # characters in the released file: of each 1,623 rows, 1,600 are classes
PARTS = ("images_background", "images_evaluation")
Layout = Literal["described", "released"]


@EXEMPLAR_KINDS.register("omniglot")
@dataclass(frozen=True, slots=True, kw_only=True)
class OmniglotConfig(ExemplarConfig):
    """Omniglot drawings of 1,600 characters in up to 8 orientations each; ink is 1, paper 0."""

    path: str = field(default="", metadata=MACHINE_PATH)
    """Another copy of Omniglot, in place of the package's: an `omniglot.npz`, or the folder with
    `images_background` and `images_evaluation`."""
    n_classes: int = 12800
    """Number of classes.  In the layout `described`, the first 1,600 are the upright characters,
    and each further 1,600 are another orientation.  In `released`, 8 consecutive classes are the
    same character."""
    n_exemplars: int = 20
    side: int = field(default=28, metadata=OMIT_DEFAULT_FROM_ID)
    """Side in pixels: 28 (averaged and blurred) or 105 (as drawn)."""
    layout: Layout = field(default="described", metadata=OMIT_DEFAULT_FROM_ID)
    """What a class is.  `described`, as in the papers: 20 drawings of one character in one
    orientation.  `released`, as in their code: two drawings in all 8 orientations, and a third in
    4 (8 consecutive classes are the same character)."""
    standardised: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether to subtract the mean drawing and scale all pixels to a mean variance of 1 (unlike
    the papers).  ICL then emerges with fewer classes and higher learning rates."""
    fingerprint: str = field(default="", metadata=OMIT_DEFAULT_FROM_ID)
    """Hash of the drawings used, recorded when they are read.  If given, it must match."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_classes", "n_exemplars")
        require_choice(self, Layout, "layout")
        require(self.side in (SIDE, RAW_SIDE), f"side={self.side}; choose 28, or 105 as drawn")
        require(
            self.n_classes <= N_CHARACTERS * N_ORIENTATIONS,
            f"n_classes={self.n_classes} is more than Omniglot's 1,600 characters x 8 "
            "orientations; choose at most 12800",
        )
        require(
            self.n_exemplars <= N_DRAWINGS,
            f"n_exemplars={self.n_exemplars} is more than Omniglot has; choose at most 20",
        )

    def feature_count(self) -> int:
        """Return the number of pixels."""
        return self.side**2

    def load(self) -> Exemplars:
        """Read the drawings; all 12,800 x 20 of 105 x 105 pixels take 2.8 GB."""
        drawings = open_omniglot(self).classes(0, self.n_classes)
        scale, offset = standardisation(drawings) if self.standardised else (GREY, None)
        return Exemplars.from_numpy(drawings, scale, offset)


def standardisation(drawings: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32]]:
    """Return scale and offset (pixels,) that standardise drawings (classes, exemplars, pixels).

    Every pixel then has mean 0; the mean over the pixels of their variance is 1.  Sums are exact,
    over whole numbers.  Drawings that are all alike raise `UsageError`.
    """
    n_drawings = drawings.shape[0] * drawings.shape[1]
    mean = drawings.sum((0, 1), dtype=np.int64) / n_drawings
    square = sum(int(np.square(each, dtype=np.int64).sum()) for each in drawings) / drawings.size
    variance = square - np.square(mean).mean()
    if not variance > 0:
        raise UsageError(
            f"the {n_drawings} drawings are all alike, so they cannot be standardised; take more "
            "of them, or leave out standardised"
        )
    deviation = np.sqrt(variance)
    return 1 / deviation, (mean / deviation).astype(np.float32)


def open_omniglot(config: OmniglotConfig) -> Drawings:
    """Open the drawings of a config.

    The eight orientations are quarter turns by 0, 90, 180 and 270 degrees (counter-clockwise),
    each plain and mirrored left to right.

    - `described`: class `orientation * 1600 + character` has the character's 20 drawings; the four
      turns come first, then their mirror images (an order that the papers leave open).
    - `released`: exemplar i of the class in row r is number ``n = 20 r + i`` of the drawings in
      eight orientations each: drawing ``n // 8`` (numbered ``20 * character + drawing``) in
      orientation ``n % 8``, which goes turn by turn, plain and then mirrored.  Of each 1,623 rows
      the last 23 are left out, so that 1,600 classes show 200 characters.

    A path that is missing or holds something else raises `UsageError`.
    """
    path = Path(config.path) if config.path else SHIPPED
    if not path.exists():
        raise UsageError(
            f"the Omniglot path {config.path!r} does not exist; give an omniglot.npz or the folder "
            "that holds images_background and images_evaluation, or none for the copy in this "
            "package"
        )
    block, place = np.divmod(np.arange(config.n_classes)[:, None], N_CHARACTERS)
    exemplar = np.arange(config.n_exemplars)
    if config.layout == "released":
        number = N_DRAWINGS * (N_RELEASED * block + place) + exemplar
        drawing, orientation = np.divmod(number, N_ORIENTATIONS)
        turns, mirrored = orientation // 2, orientation % 2 == 1
    else:
        drawing = N_DRAWINGS * place + exemplar
        orientation = np.broadcast_to(block, drawing.shape)
        turns, mirrored = orientation % 4, orientation >= 4
    upright = _upright(path, drawing.max() // N_DRAWINGS + 1, config.side)
    upright = upright.reshape(-1, config.side, config.side)

    def classes(start: int, stop: int) -> NDArray[np.uint8]:
        rows = slice(start, stop)
        drawings = upright[drawing[rows]]
        for n_turns in range(4):
            for flip in (False, True):
                own = (turns[rows] == n_turns) & (mirrored[rows] == flip)
                turned = np.rot90(drawings[own], n_turns, axes=(-2, -1))
                drawings[own] = turned[..., ::-1] if flip else turned
        return drawings.reshape(*drawings.shape[:2], -1)

    return Drawings(config.n_classes, config.n_exemplars, config.side, classes)


def _upright(path: Path, n_characters: int, side: int) -> NDArray[np.uint8]:
    """Return drawings (n_characters, 20, side, side) as they were drawn."""
    raw = _read_folders(path, n_characters) if path.is_dir() else _read_npz(path, n_characters)
    return raw * np.uint8(255) if side == RAW_SIDE else quantise(blur(_pool(raw)))


def _read_npz(path: Path, n_characters: int) -> NDArray[np.uint8]:
    try:
        with np.load(path) as archive:
            packed = np.atleast_1d(archive["images"])[:n_characters]
    except ARCHIVE_ERRORS as error:
        raise UsageError(
            f"{path} is not an Omniglot archive; expected an .npz with the array 'images'"
        ) from error
    n_bytes = -(-RAW_SIDE * RAW_SIDE // 8)
    expected = (n_characters, N_DRAWINGS, n_bytes)
    if packed.shape != expected or packed.dtype != np.uint8:
        raise UsageError(
            f"'images' in {path} is {packed.dtype} {packed.shape}; expected uint8 {expected}"
        )
    bits = np.unpackbits(packed, axis=-1)[..., : RAW_SIDE * RAW_SIDE]
    return bits.reshape(*packed.shape[:2], RAW_SIDE, RAW_SIDE)


def _read_folders(path: Path, n_characters: int) -> NDArray[np.uint8]:
    from PIL import Image

    characters = [folder for part in PARTS for folder in sorted((path / part).glob("*/character*"))]
    if len(characters) < n_characters:
        raise UsageError(
            f"{path} holds {len(characters)} character folders under {PARTS[0]} and {PARTS[1]}; "
            f"expected at least {n_characters}; give the folder that holds {PARTS[0]}"
        )
    drawings = np.empty((n_characters, N_DRAWINGS, RAW_SIDE, RAW_SIDE), np.uint8)
    for row, folder in zip(drawings, characters, strict=False):
        # macOS puts a `._` file beside each file that it copies to another file system
        files = sorted(each for each in folder.glob("*.png") if not each.name.startswith("._"))
        if len(files) != N_DRAWINGS:
            raise UsageError(f"{folder} holds {len(files)} drawings; expected {N_DRAWINGS}")
        for drawing, file in zip(row, files, strict=True):
            try:
                with Image.open(file) as image:
                    pixels = np.asarray(image.convert("1"))
            except (OSError, SyntaxError) as error:  # raised by Pillow for a damaged picture
                raise UsageError(f"{file} cannot be read as a drawing ({error})") from error
            if pixels.shape != drawing.shape:
                raise UsageError(f"{file} is {pixels.shape} pixels; expected {drawing.shape}")
            drawing[:] = ~pixels  # ink is black in the files
    return drawings


def _pool(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return averages of 105 x 105 pixels over the areas of a 28 x 28 grid."""
    edges = np.linspace(0, RAW_SIDE, SIDE + 1)
    left, right = edges[:-1, None], edges[1:, None]
    pixel = np.arange(RAW_SIDE)
    overlap = np.clip(np.minimum(right, pixel + 1) - np.maximum(left, pixel), 0, None)
    weights = (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)
    pooled = np.empty((*images.shape[:2], SIDE, SIDE), np.float32)
    for character, target in zip(images, pooled, strict=True):
        target[:] = weights @ character.astype(np.float32) @ weights.T
    return pooled
