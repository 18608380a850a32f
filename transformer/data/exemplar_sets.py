"""Exemplars: the vectors that stand for classes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError
from transformer.config.data import ExemplarConfig

GREY = 1 / 255  # a pixel's scale


@dataclass(frozen=True, slots=True)
class Exemplars:
    """Features of every exemplar of every class.

    `values` (n_classes, n_exemplars, d_features), contiguous, is what is kept: uint8, float16 or
    float32.  Features are `values * scale - offset`; `scale` is 1/255 for pixels, so that grey
    values are 0 to 1, and 1 for all else, and there is no offset, unless the kind has it otherwise.
    An exemplar's *index* is `class * n_exemplars + exemplar`.
    """

    values: torch.Tensor
    scale: float
    offset: torch.Tensor | None = None  # (d_features,)

    @property
    def n_classes(self) -> int:
        """Number of classes, and of labels."""
        return self.values.shape[0]

    @property
    def n_exemplars(self) -> int:
        """Exemplars of each class."""
        return self.values.shape[1]

    @property
    def d_features(self) -> int:
        """Length of one exemplar's feature vector."""
        return self.values.shape[2]

    def features(self, index: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Feature vectors (*index.shape, d_features) of the exemplars at `index`, in `dtype`."""
        rows = self.values.view(-1, self.d_features).index_select(0, index.reshape(-1)).to(dtype)
        if self.scale != 1:
            rows = rows.mul_(self.scale)
        if self.offset is not None:
            rows = rows.sub_(self.offset)
        return rows.view(*index.shape, self.d_features)

    def to(self, device: torch.device) -> "Exemplars":
        """The same exemplars on another device."""
        offset = None if self.offset is None else self.offset.to(device)
        return Exemplars(self.values.to(device), self.scale, offset)

    def fingerprint(self) -> str:
        """A digest of every value; a run that is resumed checks it."""
        return fingerprint_of([self.values.cpu().numpy()])


def fingerprint_of(parts: Iterable[NDArray[Any]]) -> str:
    """That of exemplars whose values come in parts, class by class."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def load_exemplars(config: ExemplarConfig) -> Exemplars:
    """Exemplars of a config: drawn, or read from the user's files.

    Files that cannot serve the config, or give another `fingerprint` than it names, raise
    `UsageError`.
    """
    exemplars: Exemplars = config.load()
    if getattr(config, "fingerprint", ""):
        check_fingerprint(config, exemplars.fingerprint())
    return exemplars


def check_fingerprint(config: ExemplarConfig, found: str) -> None:
    """Raise `UsageError` for a fingerprint that is not the one that a config names."""
    expected = getattr(config, "fingerprint", "")
    if expected and found != expected:
        source = getattr(config, "path", "") or "this package"
        raise UsageError(
            f"exemplars from {source} have the fingerprint {found}; "
            f"expected {expected}: give the file that this one was taken from"
        )


def with_recorded_content(config: ExemplarConfig, fingerprint: str) -> ExemplarConfig:
    """The config with what reading fills in, where its kind has it: absolute path, fingerprint."""
    changes = config.recorded_fields()
    if path := getattr(config, "path", ""):
        changes["path"] = str(Path(path).resolve())
    if hasattr(config, "fingerprint"):
        changes["fingerprint"] = fingerprint
    return config.with_fields(**changes)
