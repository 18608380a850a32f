"""In-context learning of classes that were not trained on (Chan et al. 2022)."""

from transformer.config.data import DataConfig
from transformer.config.evaluators import evaluator
from transformer.config.plain import require
from transformer.data.evaluators.icl import two_classes


@evaluator("icl_held_out", held_out=True)
def icl_held_out(data: DataConfig) -> DataConfig:
    """As `icl`, of the classes that `data.held_out` keeps from training."""
    require(
        data.held_out >= 2,
        f"held_out={data.held_out}: icl_held_out needs classes that are not trained on; "
        "choose data.held_out of at least 2",
    )
    return two_classes(data, "zero_one")
