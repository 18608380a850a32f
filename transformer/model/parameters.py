"""The parameters: their names, shapes and initial values.

Shapes of one run (N labels, D features, d = d_model, H heads, h = d_head, m = d_mlp, C pairs in
context, T = 2 C + 1 tokens).  A model has those that its config asks for, in this order.

| name                        | shape            | what                                        |
|-----------------------------|------------------|---------------------------------------------|
| W_E, b_E                    | D d, 1 d         | exemplar embedding: `x W + b`               |
| encoder.*                   |                  | or a ResNet, see `model.resnet`             |
| W_pos                       | T 1 d            | learned positions                           |
| blocks.l.ln_w, ln_b         | 1 d              | layer norm before attention                 |
| blocks.l.W_QKV, b_QKV       | 3 H h d, 3 H h 1 | queries, keys, values: `W x + b`            |
| blocks.l.W_O, b_O           | (H h) d, 1 d     | attention's output, `z W + b`               |
| blocks.l.ln_mlp_w, ln_mlp_b | 1 d              | layer norm before the MLP                   |
| blocks.l.W_in, b_in         | d m, 1 m         | MLP, `gelu(x W_in + b_in) W_out + b_out`    |
| blocks.l.W_out, b_out       | m d, 1 d         | with the GELU in its tanh form              |
| ln_final_w, ln_final_b      | 1 d              | layer norm before unembedding               |
| W_L                         | N d              | label embedding                             |
| W_U, b_U                    | d N, 1 N         | unembedding                                 |

`--start.path FILE` starts a run from other weights, in a .safetensors file under these names;
`model.published` converts those of the papers' code.  `transformer.config.model` lists the *parts*:
groups of parameters that can be frozen, penalised or taken over.
"""

import math

import torch
from torch import Tensor

from transformer.config import ModelConfig
from transformer.model.resnet import resnet_shapes, statistics_shapes

Parameters = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

LABEL_STD = 0.02  # of the label embedding, as in the papers
N_SLOTS = 32  # the papers' learned positions are a linear map of 32 slots
WIDENING = 1 / 0.87962566103423978  # by which a normal that is cut at 2 deviations is narrower


def parameter_shapes(
    config: ModelConfig, *, context: int, d_features: int, n_labels: int
) -> Shapes:
    """Return the shape of each trained parameter of one run, in order."""
    d, m, heads, d_head = config.d_model, config.d_mlp, config.n_heads, config.d_head
    shapes: Shapes = {"W_E": (d_features, d), "b_E": (1, d)}
    if config.encoder == "resnet":
        shapes = resnet_shapes(d)
    shapes["W_pos"] = (2 * context + 1, 1, d)
    for layer in range(config.n_layers):
        block: Shapes = {
            "ln_w": (1, d),
            "ln_b": (1, d),
            "W_QKV": (3, heads, d_head, d),
            "b_QKV": (3, heads, d_head, 1),
            "W_O": (d, d),
            "b_O": (1, d),
        }
        if m:
            block |= {"ln_mlp_w": (1, d), "ln_mlp_b": (1, d)}
            block |= {"W_in": (d, m), "b_in": (1, m), "W_out": (m, d), "b_out": (1, d)}
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    shapes |= {"ln_final_w": (1, d), "ln_final_b": (1, d)}
    shapes |= {"W_L": (n_labels, d), "W_U": (d, n_labels), "b_U": (1, n_labels)}
    return {name: shape for name, shape in shapes.items() if _is_used(config, name)}


def _is_used(config: ModelConfig, name: str) -> bool:
    kind = name.rsplit(".", 1)[-1]
    if kind == "W_pos":
        return config.positions == "learned"
    if kind in ("b_QKV", "b_O"):
        return config.attention_bias
    if kind in ("b_E", "b_in", "b_out", "b_U"):
        return config.bias
    return config.norm or not kind.startswith("ln_")


def running_shapes(config: ModelConfig) -> Shapes:
    """Return the shape of each running statistic, which is state but not trained."""
    return statistics_shapes(config.d_model) if config.encoder == "resnet" else {}


def initialise(config: ModelConfig, shapes: Shapes, seed: int) -> Parameters:
    """Draw one run's parameters: truncated normals, zero biases, unit scales; float32.

    The normals have a standard deviation of 1/sqrt(inputs), or 0.02 for the label embedding, before
    they are cut at two deviations, which leaves a factor of 0.88.  Learned positions count as a map
    of 32 inputs.  The draw does not depend on the device or precision.

    `initialiser="paper"` is the papers' code: it divides all but the label embedding and the
    ResNet's filters by that 0.88, and draws positions uniformly in +-1/sqrt(32).
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = {}
    for name, shape in shapes.items():
        value = torch.empty(shape)
        kind = name.rsplit(".", 1)[-1]
        if kind == "W_pos" and config.initialiser == "paper":
            bound = N_SLOTS**-0.5
            value.uniform_(-bound, bound, generator=generator)
        elif kind.startswith("W"):
            std = LABEL_STD if kind == "W_L" else _n_inputs(kind, shape) ** -0.5
            if config.initialiser == "paper" and not (kind == "W_L" or name.startswith("encoder.")):
                std *= WIDENING
            torch.nn.init.trunc_normal_(value, 0, std, -2 * std, 2 * std, generator=generator)
        else:
            value.fill_(1 if _starts_at_one(kind) else 0)
        parameters[name] = value
    return parameters


def _n_inputs(kind: str, shape: tuple[int, ...]) -> int:
    """Return how many numbers an output of a weight sums."""
    if kind == "W_pos":
        return N_SLOTS
    if kind == "W_QKV":
        return shape[-1]
    return math.prod(shape[1:]) if len(shape) == 4 else shape[0]  # a convolution's filter


def _starts_at_one(kind: str) -> bool:
    is_scale = kind.startswith(("ln_", "norm")) and kind.endswith("_w")
    return kind.endswith("_var") or (is_scale and kind != "norm_3_w")  # a block starts as identity
