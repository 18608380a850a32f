"""The transformer's architecture, and its parts: groups of parameters.

Penalties, freezing and warm starts name these parts:

| part            | parameters                                                              |
|-----------------|-------------------------------------------------------------------------|
| all             | all                                                                     |
| encoder         | exemplar embedding: W_E, b_E, encoder.*                                 |
| labels          | label embedding: W_L                                                    |
| positions       | learned positions: W_pos                                                |
| unembedding     | W_U, b_U                                                                |
| embeddings      | labels, positions and unembedding                                       |
| attention, mlp  | of all layers, each with the layer norm before it                       |
| blocks.l        | layer l                                                                 |
| final           | layer norm before unembedding                                           |
| input.l         | encoder, labels, positions and layers 0 to l (the lower half of a graft)|
| output.l        | the layers after l, final and unembedding (the upper half of a graft)   |
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from coopetition.tools.errors import UsageError
from transformer.config.plain import (
    OMIT_DEFAULT_FROM_ID,
    require,
    require_at_least,
    require_choice,
)

Positions = Literal["learned", "sinusoidal", "rotary"]
Encoder = Literal["linear", "resnet"]
Initialiser = Literal["truncated", "paper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A causal pre-norm transformer (by default the coopetition paper's, without MLP)."""

    n_layers: int = 2
    """Number of layers."""
    n_heads: int = 8
    """Number of attention heads in each layer; it must divide d_model."""
    d_model: int = 64
    """Width of the residual stream."""
    mlp_ratio: int = field(default=0, metadata=OMIT_DEFAULT_FROM_ID)
    """Width of the MLP's hidden layer in units of d_model (the papers: 4); 0: no MLP."""
    positions: Positions = field(default="learned", metadata=OMIT_DEFAULT_FROM_ID)
    """Position encoding: `learned` and `sinusoidal` are added to tokens; `rotary` rotates queries
    and keys."""
    max_time: float = field(default=30.0, metadata=OMIT_DEFAULT_FROM_ID)
    """Time constant of sinusoidal and rotary positions (the papers: 30)."""
    norm: bool = field(default=True, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether there are layer norms before attention, MLP and unembedding (as in both papers)."""
    attention_bias: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether queries, keys, values and the attention output have biases (Chan et al. 2022)."""
    bias: bool = field(default=True, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether the exemplar embedding, MLP and unembedding have biases."""
    encoder: Encoder = field(default="linear", metadata=OMIT_DEFAULT_FROM_ID)
    """How exemplars become tokens: a linear map of their features, or the small ResNet of the
    transience paper, trained jointly on square images."""
    initialiser: Initialiser = field(default="truncated", metadata=OMIT_DEFAULT_FROM_ID)
    """Distribution of the initial weights.  `truncated`: truncated normals, with a standard
    deviation below the nominal one.  `paper`, as in the papers' code: truncated normals with the
    nominal standard deviation (except in label embedding and ResNet); learned positions are
    uniform."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_layers", "n_heads", "d_model")
        require_at_least(self, 0, "mlp_ratio")
        require_choice(self, Positions, "positions")
        require_choice(self, Encoder, "encoder")
        require_choice(self, Initialiser, "initialiser")
        require(
            self.d_model % self.n_heads == 0,
            f"n_heads={self.n_heads} does not divide d_model={self.d_model}; "
            "choose a divisor of d_model",
        )
        require(
            self.encoder != "resnet" or self.d_model % 4 == 0,
            f"d_model={self.d_model}: the ResNet's last blocks are a quarter as wide inside; "
            "choose a multiple of 4",
        )
        require(
            self.positions != "sinusoidal" or self.d_model % 2 == 0,
            f"d_model={self.d_model} is odd, but sinusoidal positions come in pairs; "
            "choose an even number",
        )
        require(
            self.positions != "rotary" or self.d_head % 2 == 0,
            f"d_model={self.d_model} with n_heads={self.n_heads} gives odd heads of "
            f"{self.d_head}, but rotary positions turn pairs; choose an even number a head",
        )
        require(
            1 < self.max_time < float("inf"),
            f"max_time={self.max_time} is out of range; choose a finite value above 1",
        )

    @property
    def d_head(self) -> int:
        """Width of one head."""
        return self.d_model // self.n_heads

    @property
    def d_mlp(self) -> int:
        """Width of the MLP's hidden layer; 0 without one."""
        return self.mlp_ratio * self.d_model


GROUP_OF = {  # parameter -> its group, for those outside the layers and the encoder
    "W_L": "labels",
    "W_pos": "positions",
    "W_U": "unembedding",
    "b_U": "unembedding",
    "ln_final_w": "final",
    "ln_final_b": "final",
}
MLP = ("ln_mlp_w", "ln_mlp_b", "W_in", "b_in", "W_out", "b_out")
EMBEDDINGS = ("labels", "positions", "unembedding")
GROUPS = ("encoder", *EMBEDDINGS, "attention", "mlp", "final")
LAYERED = ("blocks", "input", "output")  # parts that are named with a layer


def check_parts(field: str, parts: tuple[str, ...], n_layers: int, *, but: str = "") -> None:
    """Raise `UsageError` for `but`, or for a part that a model of `n_layers` layers lacks."""
    unlayered = [part for part in ("all", "embeddings", *GROUPS) if part != but]
    for part in parts:
        match = re.fullmatch(rf"({'|'.join(LAYERED)})\.(\d+)", part)
        if part not in unlayered and not (match and int(match[2]) < n_layers):
            layered = ", ".join(f"{kind}.0 to {kind}.{n_layers - 1}" for kind in LAYERED)
            raise UsageError(
                f"{field} names the part {part!r}; choose from {', '.join(unlayered)}, {layered}"
            )


def in_part(name: str, part: str) -> bool:
    """Return whether the parameter `name` belongs to a part."""
    kind, _, number = part.partition(".")
    if name.startswith("blocks."):
        _, layer, last = name.split(".", 2)
        group = "mlp" if last in MLP else "attention"
        is_in_layers = {
            "blocks": layer == number,
            "input": kind == "input" and int(layer) <= int(number),
            "output": kind == "output" and int(layer) > int(number),
        }
        return kind in ("all", group) or is_in_layers.get(kind, False)
    group = GROUP_OF.get(name, "encoder")
    groups = {
        "all": GROUPS,
        "embeddings": EMBEDDINGS,
        "input": ("encoder", "labels", "positions"),
        "output": ("final", "unembedding"),
    }
    return group in groups.get(kind, (kind,))
