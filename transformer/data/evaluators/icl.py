"""Sequences that in-context learning alone solves, and what several evaluators share."""

from transformer.config.data import DataConfig
from transformer.config.evaluators import evaluator
from transformer.config.plain import require


def plain(data: DataConfig, mode: str) -> DataConfig:
    """Sequences of a mode in which two classes share the context, and nothing else is special."""
    return DataConfig(
        exemplars=data.exemplars,
        context=data.context,
        burstiness=max(1, data.context // 2),
        mode=mode,
        held_out=data.held_out,
    )


def two_classes(data: DataConfig, mode: str) -> DataConfig:
    """`plain`, for modes whose two classes fill the context."""
    require(
        data.context % 2 == 0,
        f"context={data.context} is odd, but two classes fill it equally; choose an even number",
    )
    return plain(data, mode)


@evaluator("icl", standing=True, brief=True, stream=1)
def icl(data: DataConfig) -> DataConfig:
    """Two classes, labelled 0 and 1 in random order: 1 for ICL, chance for in-weights answers."""
    return two_classes(data, "zero_one")
