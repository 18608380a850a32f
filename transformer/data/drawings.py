"""Square drawings, a few classes at a time: all of Omniglot's in 105 x 105 pixels are 2.8 GB."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from transformer.config.exemplars import ExemplarConfig
from transformer.data.exemplar_sets import check_fingerprint, fingerprint_of, load_exemplars
from transformer.data.exemplars.omniglot import OmniglotConfig, open_omniglot

CHUNK = 160  # classes that are looked at together for the fingerprint


@dataclass(frozen=True, slots=True)
class Drawings:
    """Drawings of every exemplar of every class."""

    n_classes: int
    n_exemplars: int
    side: int
    classes: Callable[[int, int], NDArray[np.uint8]]
    """Pixels (stop - start, n_exemplars, side * side), 255 = ink, of the classes from `start`."""

    def fingerprint(self) -> str:
        """That of the same drawings as exemplars."""
        return fingerprint_of(self._chunks())

    def _chunks(self) -> Iterator[NDArray[np.uint8]]:
        with ProgressReport("read drawings", self.n_classes, "classes") as progress:
            for start in range(0, self.n_classes, CHUNK):
                chunk = self.classes(start, min(start + CHUNK, self.n_classes))
                yield chunk
                progress.advance(len(chunk))


def open_drawings(config: ExemplarConfig) -> tuple[Drawings, str]:
    """The drawings of a config, and their fingerprint, which is checked if the config names one.

    Exemplars that are no drawings raise `UsageError`.
    """
    if isinstance(config, OmniglotConfig):
        if config.standardised:
            raise UsageError(
                "an encoder sees drawings as they are; leave out standardised (--data.standardised)"
            )
        classes = open_omniglot(config).classes
    else:
        values = load_exemplars(config).values.numpy()
        if values.dtype != np.uint8 or math.isqrt(values.shape[2]) ** 2 != values.shape[2]:
            raise UsageError(
                f"exemplars of {values.shape[2]} features ({values.dtype}) are no drawings; "
                "expected the grey values (uint8) of a square"
            )

        def classes(start: int, stop: int) -> NDArray[np.uint8]:
            return values[start:stop]

    side = math.isqrt(config.feature_count())
    drawings = Drawings(config.n_classes, config.n_exemplars, side, classes)
    fingerprint = drawings.fingerprint()
    check_fingerprint(config, fingerprint)
    return drawings, fingerprint
