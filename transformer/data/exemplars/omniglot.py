"""Omniglot drawings (Lake et al. 2015) from the user's copy.

Two kinds of copy are read: one `.npz` with `images` (characters, 20, packed bits of 105 x 105,
1 = ink), and the folders that torchvision unpacks (`images_background` and `images_evaluation`,
then alphabet, character, `####_NN.png`).  Both give the same drawings in the same order.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError
from coopetition.tools.files import NOT_AN_ARCHIVE
from transformer.config import OmniglotConfig
from transformer.data.exemplars.images import SIDE, blur, quantise

N_CHARACTERS = 1600  # of 1,623, as both papers split them
N_DRAWINGS = 20
N_ORIENTATIONS = 8
RAW_SIDE = 105
PARTS = ("images_background", "images_evaluation")


def read_omniglot(config: OmniglotConfig) -> NDArray[np.uint8]:
    """Drawings uint8 (n_classes, n_exemplars, side * side), ink 255.

    With a side of 28 they are average-pooled and blurred once, with 105 as drawn (2.8 GB for all
    12,800 x 20).

    The eight orientations are, in this order, quarter turns by 0, 90, 180 and 270 degrees (counter-
    clockwise), then the left-right mirror images of these four.

    - `described`: class `orientation * 1600 + character`, exemplars its 20 drawings.
    - `released`: exemplar i of class k is number ``n = 20 k + i`` of the drawings, numbered
      ``20 * character + drawing``, in eight orientations each: drawing ``n // 8`` in orientation
      ``n % 8``.  So 1,600 classes are of 200 characters.

    That the released code took the orientations in this order is not known.  A path that is
    missing or holds something else raises `UsageError`.
    """
    path = Path(config.path)
    if not config.path or not path.exists():
        given = f"{config.path!r} does not exist" if config.path else "is missing"
        raise UsageError(
            f"the Omniglot path {given}; give an omniglot.npz or the folder "
            "that holds images_background and images_evaluation (--data.exemplars.path of "
            "train, --data-path of resume, --data.path of embed)"
        )
    released = config.layout == "released"
    if released:
        n_characters, n_orientations = -(-config.n_classes // N_ORIENTATIONS), N_ORIENTATIONS
    else:
        n_characters = min(config.n_classes, N_CHARACTERS)
        n_orientations = -(-config.n_classes // N_CHARACTERS)
    raw = _read_folders(path, n_characters) if path.is_dir() else _read_npz(path, n_characters)
    upright = raw * np.uint8(255) if config.side == RAW_SIDE else quantise(blur(_pool(raw)))
    # (orientation, character, drawing), or in the released order (character, drawing, orientation)
    turned = np.stack([_orient(upright, k) for k in range(n_orientations)], 2 if released else 0)
    classes = turned.reshape(-1, N_DRAWINGS, config.side**2)
    return classes[: config.n_classes, : config.n_exemplars].copy()


def _read_npz(path: Path, n_characters: int) -> NDArray[np.uint8]:
    try:
        with np.load(path) as archive:
            packed = np.atleast_1d(archive["images"])[:n_characters]
    except NOT_AN_ARCHIVE as error:
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
            f"expected at least {n_characters}"
        )
    drawings = np.empty((n_characters, N_DRAWINGS, RAW_SIDE, RAW_SIDE), np.uint8)
    for row, folder in zip(drawings, characters, strict=False):
        files = sorted(folder.glob("*.png"))
        if len(files) != N_DRAWINGS:
            raise UsageError(f"{folder} holds {len(files)} drawings; expected {N_DRAWINGS}")
        for drawing, file in zip(row, files, strict=True):
            try:
                with Image.open(file) as image:
                    pixels = np.asarray(image.convert("1"))
            except (OSError, SyntaxError) as error:  # what Pillow raises on a damaged picture
                raise UsageError(f"{file} cannot be read as a drawing ({error})") from error
            if pixels.shape != drawing.shape:
                raise UsageError(f"{file} is {pixels.shape} pixels; expected {drawing.shape}")
            drawing[:] = ~pixels  # ink is black in the files
    return drawings


def _pool(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average over the areas of a 28 x 28 grid laid on the 105 x 105 pixels."""
    edges = np.linspace(0, RAW_SIDE, SIDE + 1)
    left, right = edges[:-1, None], edges[1:, None]
    pixel = np.arange(RAW_SIDE)
    overlap = np.clip(np.minimum(right, pixel + 1) - np.maximum(left, pixel), 0, None)
    weights = (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)
    pooled = np.empty((*images.shape[:2], SIDE, SIDE), np.float32)
    for character, target in zip(images, pooled, strict=True):
        target[:] = weights @ character.astype(np.float32) @ weights.T
    return pooled


def _orient(images: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    turned = np.rot90(images, orientation % 4, axes=(-2, -1))
    return turned if orientation < 4 else turned[..., ::-1]
