"""Conversion of weights from and to the papers' released code (icl-dynamics, JAX and Equinox).

In the environment of that code, save the arrays of a `model` under their names:

    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(model, eqx.is_array))
    arrays = {jax.tree_util.keystr(path).lstrip("."): array for path, array in leaves}
    numpy.savez("published.npz", **arrays)

and convert them here

    config = ModelConfig(positions="rotary")
    parameters = from_published(numpy.load("published.npz"), config, context=2)
    Model(config, parameters).logits(exemplars, labels)

or, for `--start.path weights.safetensors`,

    safetensors.torch.save_file(parameters, "weights.safetensors")

Besides names, transposes and axes of length 1, three things differ:

- *Learned positions* have 32 slots there, of which a sequence of T = 2 C + 1 tokens reads the first
  T.  Here there are T.
- *Sinusoidal positions* alternate there along the residual stream: sin, cos, sin, cos, ...  Here
  all sines come first.  So the residual stream's basis is permuted (0, 2, 4, ..., 1, 3, 5, ...) in
  all that reads or writes it: embeddings, layer norms, the inputs of W_QKV, W_in and W_U, the
  outputs of W_O and W_out.
- *Rotary positions* turn the pairs (0, 1), (2, 3), ... of a head's queries and keys there, and
  (i, i + h / 2) here.  So the outputs of queries and keys are permuted in the same way within each
  head.  Values and residual stream are not.

A permutation changes logits, gradients and Adam by rounding alone: sums run in another order.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.model.parameters import N_SLOTS, Parameters, parameter_shapes

THEIRS = {
    "W_E": "example_embed.weight",
    "b_E": "example_embed.bias",
    "W_pos": "pos_embed.weight",
    "ln_w": "norm1.weight",  # in `transformer.blocks[l].`, like all up to b_out
    "ln_b": "norm1.bias",
    "W_QKV": "attn.qkv.weight",
    "W_O": "attn.proj.weight",
    "ln_mlp_w": "norm2.weight",
    "ln_mlp_b": "norm2.bias",
    "W_in": "mlp.fc1.weight",
    "b_in": "mlp.fc1.bias",
    "W_out": "mlp.fc2.weight",
    "b_out": "mlp.fc2.bias",
    "ln_final_w": "transformer.norm.weight",
    "ln_final_b": "transformer.norm.bias",
    "W_L": "label_embed.weight",
    "W_U": "unembed.weight",
    "b_U": "unembed.bias",
}
RESIDUAL_AXIS = {"W_in": 0, "b_in": None, "W_U": 0, "b_U": None}  # elsewhere the last

Order = Callable[[int], Tensor]


def from_published(
    arrays: Mapping[str, ArrayLike], config: ModelConfig, *, context: int
) -> Parameters:
    """Return the parameters of one run, float32, from the arrays of a published model by name.

    Missing or superfluous arrays, other shapes than the config's, and a config without counterpart
    in the published code raise `UsageError`.
    """
    names = _names(config)
    came, expected = set(arrays), set(names.values())
    if came != expected:
        raise UsageError(
            f"the published arrays lack {_listed(expected - came)} and hold "
            f"{_listed(came - expected)} too many; choose the ModelConfig of that model"
        )
    theirs = {name: torch.tensor(np.asarray(arrays[names[name]])).float() for name in names}
    shapes = parameter_shapes(
        config,
        context=context,
        d_features=theirs["W_E"].shape[-1],
        n_labels=theirs["W_L"].shape[-1],
    )
    parameters = {}
    for name, shape in shapes.items():
        try:
            value = _as_ours(name, theirs[name], shape)
        except RuntimeError as error:
            raise UsageError(
                f"{names[name]} has the shape {tuple(theirs[name].shape)}; {name} has {shape}; "
                "choose the ModelConfig and context of that model"
            ) from error
        parameters[name] = _permuted(name, value, config, sines_first).contiguous()
    return parameters


def to_published(parameters: Parameters, config: ModelConfig) -> dict[str, NDArray[np.float32]]:
    """Return the inverse of `from_published`; positions that no sequence reads are 0."""
    n_tokens = len(parameters.get("W_pos", ()))
    if n_tokens > N_SLOTS:
        raise UsageError(f"the model has {n_tokens} positions, the published code {N_SLOTS}")
    return {
        theirs: _as_theirs(name, _permuted(name, parameters[name], config, alternating)).numpy()
        for name, theirs in _names(config).items()
    }


def _names(config: ModelConfig) -> dict[str, str]:
    """Return the published name of each parameter."""
    names = {}
    for name in parameter_shapes(config, context=0, d_features=0, n_labels=0):
        *block, kind = name.split(".")
        if kind not in THEIRS or block[:1] == ["encoder"]:
            raise UsageError(
                f"the published code has no {name}; choose attention_bias=False and "
                "encoder='linear'"
            )
        names[name] = (f"transformer.blocks[{block[1]}]." if block else "") + THEIRS[kind]
    return names


def _as_ours(name: str, theirs: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return an array transposed, still in the published basis (theirs: outputs, inputs)."""
    if name == "W_pos":
        theirs = theirs[:, : shape[0]]
    if theirs.ndim == 2 and not name.endswith("W_QKV"):
        theirs = theirs.T
    return theirs.reshape(shape)


def _as_theirs(name: str, ours: Tensor) -> Tensor:
    """Return the inverse of `_as_ours`."""
    kind = name.rsplit(".", 1)[-1]
    if kind == "W_pos":
        ours = F.pad(ours[:, 0], (0, 0, 0, N_SLOTS - len(ours)))
    if kind == "W_QKV":
        return ours.flatten(0, 2)
    return ours.T.contiguous() if kind.startswith("W") else ours.flatten()


def _permuted(name: str, value: Tensor, config: ModelConfig, order: Order) -> Tensor:
    """Return a parameter with the coordinates that positions pair in another order."""
    kind = name.rsplit(".", 1)[-1]
    if config.positions == "rotary" and kind == "W_QKV":
        return torch.cat([value[:2, :, order(config.d_head)], value[2:]])
    axis = RESIDUAL_AXIS.get(kind, -1)
    if config.positions == "sinusoidal" and axis is not None:
        return value.index_select(axis, order(config.d_model))
    return value


def sines_first(n: int) -> Tensor:
    """Return 0, 2, 4, ..., 1, 3, 5, ...: our coordinates' places in the published basis."""
    return torch.arange(n).view(-1, 2).T.flatten()


def alternating(n: int) -> Tensor:
    """Return 0, n / 2, 1, n / 2 + 1, ...: the inverse of `sines_first`."""
    return torch.arange(n).view(2, -1).T.flatten()


def _listed(names: set[str]) -> str:
    first = sorted(names)[:3]
    return (", ".join(first) + (", ..." if len(names) > 3 else "")) or "none"
