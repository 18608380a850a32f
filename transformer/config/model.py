"""The transformer's architecture.

The parts of a model: groups of parameters, for penalties, freezing and taking over.

| part            | parameters                                                        |
|-----------------|-------------------------------------------------------------------|
| all             | every one                                                         |
| encoder         | exemplar embedding: W_E, b_E, encoder.*                           |
| labels          | label embedding: W_L                                              |
| positions       | learned positions: W_pos                                          |
| unembedding     | W_U, b_U                                                          |
| embeddings      | labels, positions and unembedding                                 |
| attention, mlp  | of all layers, each with the layer norm before it                 |
| blocks.l        | layer l                                                           |
| final           | layer norm before unembedding                                     |
| input.l         | encoder, labels, positions and layers 0 to l (a graft's lower half) |
| output.l        | the layers after l, final and unembedding (its upper half)        |
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
    n_heads: int = 8
    d_model: int = 64
    mlp_ratio: int = field(default=0, metadata=OMIT_DEFAULT_FROM_ID)
    """Width of the MLP's hidden layer in units of d_model (the papers': 4); 0 for no MLP."""
    positions: Positions = field(default="learned", metadata=OMIT_DEFAULT_FROM_ID)
    """`learned` and `sinusoidal` are added to the tokens, `rotary` turns queries and keys."""
    max_time: float = field(default=30.0, metadata=OMIT_DEFAULT_FROM_ID)
    """Time constant of sinusoidal and rotary positions (the papers': 30)."""
    norm: bool = field(default=True, metadata=OMIT_DEFAULT_FROM_ID)
    """Layer norm before attention, MLP and unembedding (both papers have it; the toy has none)."""
    attention_bias: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID)
    """Biases of queries, keys, values and attention's output (Chan et al. 2022 have them)."""
    bias: bool = field(default=True, metadata=OMIT_DEFAULT_FROM_ID)
    """Biases of exemplar embedding, MLP and unembedding."""
    encoder: Encoder = field(default="linear", metadata=OMIT_DEFAULT_FROM_ID)
    """How exemplars become tokens: a linear map of their features, or the small ResNet of the
    transience paper, trained jointly on square images."""
    initialiser: Initialiser = field(default="truncated", metadata=OMIT_DEFAULT_FROM_ID)
    """`paper` widens truncated normals to the standard deviation they are named by (not those of
    label embedding and ResNet) and draws learned positions uniformly, as the papers' code does;
    `truncated` does not."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_layers", "n_heads", "d_model")
        require_at_least(self, 0, "mlp_ratio")
        for name, options in (
            ("positions", Positions),
            ("encoder", Encoder),
            ("initialiser", Initialiser),
        ):
            require_choice(self, options, name)
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


_NAMED = (
    "all",
    "encoder",
    "labels",
    "positions",
    "unembedding",
    "embeddings",
    "attention",
    "mlp",
    "final",
)
_LAYERED = ("blocks", "input", "output")
_MLP = ("ln_mlp_w", "ln_mlp_b", "W_in", "b_in", "W_out", "b_out")


def check_parts(field: str, parts: tuple[str, ...], n_layers: int) -> None:
    """Raise `UsageError` for a part that a model of so many layers does not have."""
    for part in parts:
        match = re.fullmatch(rf"({'|'.join(_LAYERED)})\.(\d+)", part)
        if part not in _NAMED and not (match and int(match[2]) < n_layers):
            layered = ", ".join(f"{kind}.0 to {kind}.{n_layers - 1}" for kind in _LAYERED)
            raise UsageError(
                f"{field} names the part {part!r}; choose from {', '.join(_NAMED)}, {layered}"
            )


def in_part(name: str, part: str) -> bool:
    """Whether the parameter `name` belongs to a part."""
    kind, _, number = part.partition(".")
    layer = _layer(name)
    group = _group(name)
    if kind == "all":
        return True
    if kind == "embeddings":
        return group in ("labels", "positions", "unembedding")
    if kind == "blocks":
        return layer == int(number)
    if kind == "input":
        below = layer is not None and layer <= int(number)
        return below or group in ("encoder", "labels", "positions")
    if kind == "output":
        above = layer is not None and layer > int(number)
        return above or group in ("final", "unembedding")
    return group == kind


def _layer(name: str) -> int | None:
    return int(name.split(".")[1]) if name.startswith("blocks.") else None


def _group(name: str) -> str:
    if name.startswith("blocks."):
        return "mlp" if name.split(".")[2] in _MLP else "attention"
    single = {
        "W_L": "labels",
        "W_pos": "positions",
        "W_U": "unembedding",
        "b_U": "unembedding",
        "ln_final_w": "final",
        "ln_final_b": "final",
    }
    return single.get(name, "encoder")
