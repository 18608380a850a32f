"""Sites: the activations that a pass names, and the shapes in which people see them.

Inside, tokens come before the batch (`model.forward`).  To look at, or to change by a function of
one's own, one run's activations have the batch first; Q is T but for the last layer of a plain
pass, where the query's row alone is computed.

| name                                       | shape   |
|--------------------------------------------|---------|
| embed                                      | B T d   |
| blocks.l.resid_pre, .attn_out, .resid_post | B Q d   |
| blocks.l.mlp                               | B Q m   |
| blocks.l.q, .k, .v                         | B T H h |
| blocks.l.attn_scores, .pattern             | B H Q T |
| blocks.l.z                                 | B Q H h |
| ln_final                                   | B d     |
| logits                                     | B N     |
"""

from fnmatch import fnmatchcase

from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig

# which axes of one run's activation are seen in turn; a residual's tokens and batch are one axis
_AXES: dict[str, tuple[int, ...]] = {
    "embed": (1, 0, 2),
    **dict.fromkeys(("q", "k", "v", "z"), (3, 2, 0, 1)),
    **dict.fromkeys(("attn_scores", "pattern"), (3, 0, 1, 2)),
    **dict.fromkeys(("ln_final", "logits"), (0, 1)),
}
ATTENTION = ("resid_pre", "q", "k", "v", "attn_scores", "pattern", "z", "attn_out")


def site_names(config: ModelConfig) -> tuple[str, ...]:
    """All sites of a model, in the order of a pass."""
    of_block = (*ATTENTION, *(["mlp"] if config.d_mlp else []), "resid_post")
    blocks = [f"blocks.{layer}.{name}" for layer in range(config.n_layers) for name in of_block]
    return ("embed", *blocks, "ln_final", "logits")


def matching_sites(patterns: tuple[str, ...], config: ModelConfig) -> tuple[str, ...]:
    """Sites that patterns such as `blocks.*.z` name; one that matches none raises `UsageError`."""
    names = site_names(config)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"no site is called {pattern!r}; choose of {', '.join(names)}, or a pattern "
                "such as blocks.*.z"
            )
    return tuple(n for n in names if any(fnmatchcase(n, pattern) for pattern in patterns))


def outward(name: str, value: Tensor, batch: int) -> Tensor:
    """One run's activation, the batch first: a view."""
    axes = _AXES.get(name.rpartition(".")[2])
    if axes is None:
        return value.unflatten(0, (-1, batch)).transpose(0, 1)
    return value.permute(axes)


def inward(name: str, value: Tensor) -> Tensor:
    """The inverse of `outward`."""
    axes = _AXES.get(name.rpartition(".")[2])
    if axes is None:
        return value.transpose(0, 1).flatten(0, 1)
    return value.permute(*(axes.index(axis) for axis in range(len(axes))))
