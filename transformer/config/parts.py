"""The parts of a model: groups of parameters, for penalties, freezing and taking over.

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

from coopetition.tools.errors import UsageError

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
