"""Feature vectors from a file of the user."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coopetition.tools.errors import UsageError
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.plain import MACHINE_PATH, OMIT_DEFAULT_FROM_ID, require_at_least
from transformer.data.exemplar_sets import GREY, Exemplars
from transformer.data.exemplars.arrays import ArrayFile, open_array
from transformer.data.features.provenance import made_by, read_provenance

if TYPE_CHECKING:
    import torch

ASSUMED_FEATURES = 512  # while no file is given: ResNet-18's
SAMPLE = 2**18  # numbers whose mean and standard deviation are checked
DEVIATIONS = (0.1, 10)  # standard deviations that need no warning
LARGEST_MEAN = 10  # likewise, in standard deviations


@EXEMPLAR_KINDS.register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureConfig(ExemplarConfig):
    """Feature vectors from a file, such as the output of `embed`."""

    bytes_per_feature = 2  # a file of uint8 takes 1
    needs_path = True
    path: str = field(default="", metadata=MACHINE_PATH)
    """A .npy or .safetensors file with an array (classes, exemplars, features).  uint8 values 0 to
    255 mean grey values 0 to 1; other numbers are stored in half precision."""
    key: str = ""
    """Name of the array, for a .safetensors file that holds several."""
    n_classes: int = 0
    """Number of classes, the first ones; 0: all of the file."""
    n_exemplars: int = 0
    """Number of exemplars per class, the first ones; 0: all of the file."""
    fingerprint: str = ""
    """Hash of the features used, recorded when they are read.  If given, it must match."""
    made_by: str = field(default="", metadata=OMIT_DEFAULT_FROM_ID)
    """Encoder, drawings and reduction, recorded from the file.  If given, they must match."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "n_classes", "n_exemplars")
        if self.path and 0 in (self.n_classes, self.n_exemplars):
            n_classes, n_exemplars, _ = self.array().shape
            object.__setattr__(self, "n_classes", self.n_classes or n_classes)
            object.__setattr__(self, "n_exemplars", self.n_exemplars or n_exemplars)

    def array(self) -> ArrayFile:
        """Open the array, without reading it."""
        return open_array(self.path, self.key, ("classes", "exemplars", "features"))

    def feature_count(self) -> int:
        """Return the number of features in the file, or ResNet-18's while no file is given."""
        return self.array().shape[-1] if self.path else ASSUMED_FEATURES

    def recorded_fields(self) -> dict[str, Any]:
        """Return what the file says that it was made by."""
        return {"made_by": made_by(read_provenance(Path(self.path)))}

    def load(self) -> Exemplars:
        """Read the first classes and exemplars of the file.

        uint8 stays as it is; other types become half precision, which keeps 3 digits.  Vectors
        that are far from 0 or have an unusual scale, and a file with one exemplar per class, are
        used with a warning.  An unfit file raises `UsageError`.
        """
        import torch

        array = self.array()
        self._check_made_by()
        sizes = {"n_classes": self.n_classes, "n_exemplars": self.n_exemplars}
        for (name, number), available in zip(sizes.items(), array.shape, strict=False):
            if available < number:
                raise UsageError(
                    f"{self.path} holds an array of shape {array.shape}, too small for "
                    f"{name}={number}; choose at most {available}"
                )
        if array.shape[1] == 1:
            _warn(
                f"{self.path} has one exemplar per class (its axes are classes x exemplars x "
                "features): the query then equals an item in context; give at least two"
            )
        is_grey = array.dtype == "uint8"
        dtype = torch.uint8 if is_grey else torch.float16
        features = array.read((*sizes.values(), array.shape[2]), dtype)
        if not is_grey:
            self._check_scale(features)
        return Exemplars(features, GREY if is_grey else 1.0)

    def _check_scale(self, features: "torch.Tensor") -> None:
        """Warn of features that lose digits in half precision, or that are no fit for training."""
        sample = features[:: max(1, features.numel() // SAMPLE)].flatten(0, 1).double()
        deviation = sample.var(0, correction=0).mean().sqrt().item()
        mean = sample.mean(0).square().mean().sqrt().item()
        low, high = DEVIATIONS
        if mean > LARGEST_MEAN * deviation:
            _warn(
                f"the vectors of {self.path} have a mean of size {mean:.3g} and a standard "
                f"deviation of {deviation:.3g}, and half precision keeps three digits; subtract "
                "the mean of each feature"
            )
        if not low <= deviation <= high:
            _warn(
                f"the vectors of {self.path} have a standard deviation of {deviation:.3g}, "
                f"expected {low} to {high}; divide them by it"
            )

    def _check_made_by(self) -> None:
        """Raise `UsageError` for a file that was made by something else than the config names."""
        found, expected = made_by(read_provenance(Path(self.path))), self.made_by
        if expected and found != expected:
            raise UsageError(
                f"{self.path} was made by {found or 'something that it does not name'}; expected "
                f"{expected}: give the original file"
            )


def _warn(sentence: str) -> None:
    print(f"warning: {sentence}", file=sys.stderr)
