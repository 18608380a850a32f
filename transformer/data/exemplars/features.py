"""Feature vectors from the user's file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from coopetition.tools.errors import UsageError
from transformer.config.data import EXEMPLAR_KINDS, ExemplarConfig
from transformer.config.plain import MACHINE_PATH, OMIT_DEFAULT_FROM_ID, require_at_least
from transformer.data.exemplar_sets import GREY, Exemplars
from transformer.data.exemplars.arrays import ArrayFile, open_array
from transformer.data.features.embed import entries, made_by, read_provenance

ASSUMED_FEATURES = 512  # of a file that is not given yet: ResNet-18's


@EXEMPLAR_KINDS.register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureConfig(ExemplarConfig):
    """Feature vectors from a file of the user, such as a frozen network's embeddings."""

    bytes_per_feature = 2  # of a file of bytes it is 1
    needs_path = True
    path: str = field(default="", metadata=MACHINE_PATH)
    """An .npy or .safetensors array (classes, exemplars, features): numbers, kept in half
    precision, or uint8, grey values 0 to 255 for 0 to 1."""
    key: str = ""
    """Name of the array in a .safetensors file that holds several."""
    n_classes: int = 0
    """The first so many; 0: all of the file's."""
    n_exemplars: int = 0
    """The first so many of each class; 0: all of the file's."""
    fingerprint: str = ""
    """Of the features used; filled in when they are read, and checked if given."""
    made_by: str = field(default="", metadata=OMIT_DEFAULT_FROM_ID)
    """Encoder, drawings and reduction, if the file names them; filled in and checked likewise."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "n_classes", "n_exemplars")
        if self.path and 0 in (self.n_classes, self.n_exemplars):
            n_classes, n_exemplars, _ = self.array().shape
            object.__setattr__(self, "n_classes", self.n_classes or n_classes)
            object.__setattr__(self, "n_exemplars", self.n_exemplars or n_exemplars)

    def array(self) -> ArrayFile:
        """The array, not read yet."""
        return open_array(self.path, self.key, ("classes", "exemplars", "features"))

    def feature_count(self) -> int:
        """The file's, or ResNet-18's while there is none."""
        return self.array().shape[-1] if self.path else ASSUMED_FEATURES

    def recorded_fields(self) -> dict[str, Any]:
        """What the file says that it was made by."""
        return {"made_by": made_by(read_provenance(Path(self.path)))}

    def load(self) -> Exemplars:
        """Read them."""
        features = read_features(self)
        first = features[0, 0]
        if len(features) > 1 and all(bool((each == first).all()) for each in features):
            raise UsageError(
                f"the {len(features) * features.shape[1]} feature vectors of {self.path} are all "
                "the same, so that nothing can be learnt; give another file"
            )
        return Exemplars(features, GREY if features.dtype == torch.uint8 else 1.0)


def read_features(config: FeatureConfig) -> torch.Tensor:
    """The file's first classes and exemplars (n_classes, n_exemplars, d_features).

    They are kept in half precision, but uint8 as it is: those are grey values, 0 to 255 for 0
    to 1, as drawings have them.  A file that cannot serve the config raises `UsageError`.  Half
    precision keeps 3 digits; centre features that vary by less than that about their mean.
    """
    array = config.array()
    _check_made_by(config)
    wanted = {"n_classes": config.n_classes, "n_exemplars": config.n_exemplars}
    for (name, number), there in zip(wanted.items(), array.shape, strict=False):
        if there < number:
            raise UsageError(
                f"{config.path} holds an array of shape {array.shape}, too small for "
                f"{name}={number}; choose at most {there}"
            )
    dtype = torch.uint8 if array.dtype == torch.uint8 else torch.float16
    return array.read((config.n_classes, config.n_exemplars, array.shape[2]), dtype)


def _check_made_by(config: FeatureConfig) -> None:
    """Raise `UsageError` for a file that was made by something else than the config names."""
    if not config.made_by:
        return
    found = read_provenance(Path(config.path))
    if made_by(found) != config.made_by:
        known = f"; {config.made_by};"
        other = next((each for each in entries(found) if f"; {each};" not in known), "")
        raise UsageError(
            f"{config.path} was made by {other or 'nothing that it names'}; expected "
            f"{config.made_by}: give the file that this one was taken from"
        )
