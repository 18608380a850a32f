"""Exemplars: the feature vectors that represent classes."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError
from transformer.config.data import ExemplarConfig

if TYPE_CHECKING:
    import torch

GREY = 1 / 255  # scale of pixels
NO_FILE = (
    "no feature file is given; give --data.exemplars.path FILE (.npy or .safetensors; in Python "
    "the field `path`)"
)


@dataclass(frozen=True, slots=True)
class Exemplars:
    """Features of every exemplar of every class.

    `values` (n_classes, n_exemplars, d_features) are contiguous uint8, float16 or float32.
    Features are `values * scale - offset`.  By default `scale` is 1/255 for pixels, so that grey
    values are 0 to 1, and 1 otherwise, and there is no offset.  An exemplar's *index* is
    `class * n_exemplars + exemplar`.
    """

    values: "torch.Tensor"
    scale: float
    offset: "torch.Tensor | None" = None  # (d_features,)

    @classmethod
    def from_numpy(
        cls, values: NDArray[Any], scale: float, offset: NDArray[Any] | None = None
    ) -> "Exemplars":
        """Return exemplars of numpy arrays, whose memory they share."""
        import torch

        shift = None if offset is None else torch.from_numpy(offset)
        return cls(torch.from_numpy(values), scale, shift)

    @property
    def n_classes(self) -> int:
        """Number of classes, and of labels."""
        return self.values.shape[0]

    @property
    def n_exemplars(self) -> int:
        """Exemplars per class."""
        return self.values.shape[1]

    @property
    def d_features(self) -> int:
        """Length of a feature vector."""
        return self.values.shape[2]

    def features(self, index: "torch.Tensor", dtype: "torch.dtype | None" = None) -> "torch.Tensor":
        """Return features (*index.shape, d_features) at `index`, in `dtype` (default: float32)."""
        rows = self.values.view(-1, self.d_features).index_select(0, index.reshape(-1))
        rows = rows.float() if dtype is None else rows.to(dtype)
        if self.scale != 1:
            rows = rows.mul_(self.scale)
        if self.offset is not None:
            rows = rows.sub_(self.offset)
        return rows.view(*index.shape, self.d_features)

    def to(self, device: "torch.device") -> "Exemplars":
        """Return the exemplars on a device."""
        offset = None if self.offset is None else self.offset.to(device)
        return Exemplars(self.values.to(device), self.scale, offset)

    def fingerprint(self) -> str:
        """Return a digest of all values; resuming a run checks it."""
        return fingerprint_of([self.values.cpu().numpy()])


class RunExemplars:
    """Exemplars of several runs, whose features are gathered by one operation for each set.

    A GPU would wait for many small operations.
    """

    def __init__(self, exemplars: Sequence[Exemplars]) -> None:
        import torch

        numbers: dict[int, list[int]] = {}
        for number, each in enumerate(exemplars):
            numbers.setdefault(id(each), []).append(number)
        device = exemplars[0].values.device
        self._first = exemplars[0]
        self._sets = [  # each set with the numbers of its runs
            (exemplars[runs[0]], torch.tensor(runs, device=device))
            for runs in numbers.values()
            if len(numbers) > 1
        ]

    def features(self, index: "torch.Tensor", dtype: "torch.dtype") -> "torch.Tensor":
        """Return features (R, ..., D) of each run's exemplars at an index (R, ...)."""
        if not self._sets:
            return self._first.features(index, dtype)
        features = index.new_empty((*index.shape, self._first.d_features), dtype=dtype)
        for exemplars, runs in self._sets:
            features[runs] = exemplars.features(index[runs], dtype)
        return features


def fingerprint_of(parts: Iterable[NDArray[Any]]) -> str:
    """Return the fingerprint of exemplars whose values come in parts, class by class."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def load_exemplars(config: ExemplarConfig) -> Exemplars:
    """Draw the exemplars of a config, or read them from the user's files.

    Files that do not fit the config or its `fingerprint` raise `UsageError`.
    """
    exemplars: Exemplars = config.load()
    if getattr(config, "fingerprint", ""):
        check_fingerprint(config, exemplars.fingerprint())
    return exemplars


def check_fingerprint(config: ExemplarConfig, found: str) -> None:
    """Raise `UsageError` for another fingerprint than a config names."""
    expected = getattr(config, "fingerprint", "")
    if expected and found != expected:
        source = getattr(config, "path", "") or "this package"
        raise UsageError(
            f"exemplars from {source} have the fingerprint {found}; "
            f"expected {expected}: give the original file"
        )


def with_recorded_content(config: ExemplarConfig, fingerprint: str) -> ExemplarConfig:
    """Return the config with what reading records: absolute path, fingerprint, other fields."""
    changes = config.recorded_fields()
    if path := getattr(config, "path", ""):
        changes["path"] = str(Path(path).resolve())
    if hasattr(config, "fingerprint"):
        changes["fingerprint"] = fingerprint
    return config.with_fields(**changes)
