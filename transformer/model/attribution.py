"""What each head says of each label in context, directly."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.model.loaded import Model


@torch.no_grad()
def logits_by_head(
    model: Model,
    exemplars: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    target: ArrayLike | Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Direct contributions of heads to the logits of the labels in context, and all the rest's.

    The final layer norm is taken as the linear map that it is once the residual's scale is given;
    so each head's part is what it adds to the query's residual, passed through that map and the
    unembedding, and parts and rest sum to the logits.  What it does to later layers is not in it.

    A model whose logits an intervention sets (`GraftOut`, `CopyFromPattern`) raises `UsageError`.

    Returns
    -------
    by_head : (batch, layers, heads, context)
    rest : (batch, context), of the query's own path, biases and MLPs
    """
    p, config = model.parameters, model.config
    for each in model.interventions:
        if "the logits" in each.sets(config):
            raise UsageError(f"{each.to_text()} sets the logits; ask the model without it")
    names = ("blocks.*.z", "*.resid_post")
    z, cache = model.run_with_cache(exemplars, labels, names=names, target=target)
    last = cache[f"blocks.{config.n_layers - 1}.resid_post"][:, -1]
    y = torch.as_tensor(labels).long()
    towards = p["W_U"].T[y]  # (batch, context, d)
    if config.norm:
        scale = last.var(-1, correction=0).add(1e-5).rsqrt()
        towards = towards * p["ln_final_w"][0]
        towards = (towards - towards.mean(-1, keepdim=True)) * scale[:, None, None]
    by_layer = []
    for layer in range(config.n_layers):
        mixed = cache[f"blocks.{layer}.z"][:, -1]  # (batch, heads, d_head)
        weight = p[f"blocks.{layer}.W_O"].unflatten(0, (config.n_heads, config.d_head))
        added = torch.einsum("bhi,hid->bhd", mixed, weight)
        by_layer.append(torch.einsum("bhd,bcd->bhc", added, towards))
    by_head = torch.stack(by_layer, 1)
    return by_head, z.gather(1, y) - by_head.sum((1, 2))
