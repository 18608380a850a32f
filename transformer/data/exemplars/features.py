"""Feature vectors from the user's file."""

import torch

from coopetition.tools.errors import UsageError
from transformer.config import FeatureConfig
from transformer.data.exemplars.arrays import open_array


def read_features(config: FeatureConfig) -> torch.Tensor:
    """The file's first classes and exemplars (n_classes, n_exemplars, d_features).

    They are kept in half precision, but uint8 as it is: those are grey values, 0 to 255 for 0
    to 1, as drawings have them.  A file that cannot serve the config raises `UsageError`.  Half
    precision keeps 3 digits; centre features that vary by less than that about their mean.
    """
    array = open_array(config.path, config.key, ("classes", "exemplars", "features"))
    wanted = {"n_classes": config.n_classes, "n_exemplars": config.n_exemplars}
    for (name, number), there in zip(wanted.items(), array.shape, strict=False):
        if there < number:
            raise UsageError(
                f"{config.path} holds an array of shape {array.shape}, too small for "
                f"{name}={number}; choose at most {there}"
            )
    dtype = torch.uint8 if array.dtype == torch.uint8 else torch.float16
    return array.read((config.n_classes, config.n_exemplars, array.shape[2]), dtype)
