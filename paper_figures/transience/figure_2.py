"""Figure 2: sequences from the sampler, and the parts of the model, at scale paper."""

import math
from typing import TYPE_CHECKING

from paper_figures.core.figure import Figure, FigureResult, Numbers, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from transformer.config import RunConfig

EVALUATORS = ("train", "icl", "iwl")


def draw() -> FigureResult:
    """Draw a sequence of training and of each evaluator (a), and the model (b)."""
    from paper_figures.core.sequences import draw_task_sequences
    from transformer.experiments.transience import default

    config = default("paper")
    drawing = blank(9.6, 3.0)
    sequences_axes, model_axes = drawing.subplots(1, 2, width_ratios=(2.4, 1))
    numbers = draw_task_sequences(sequences_axes, "a", config.data, EVALUATORS, n_exemplars=10)
    numbers += _draw_model(model_axes, config)
    return FigureResult(drawing, numbers, {"run_id": config.run_id()})


def _draw_model(ax: "Axes", config: "RunConfig") -> Numbers:
    """Draw the parts of the model from below, with their numbers of parameters."""
    model, n_layers = config.model, config.model.n_layers
    counts = _parameter_counts(config)
    n_tokens = 2 * config.data.context + 1
    parts = {
        f"{model.encoder} of each image, a vector of each label": ("encoder", "W_L"),
        f"{n_tokens} tokens of {model.d_model}, {model.positions} positions": (),
        f"{n_layers} x (attention of {model.n_heads} heads, MLP of {model.d_mlp})": ("blocks",),
        f"query: one of {config.data.exemplars.n_classes:,} labels": ("ln_final", "W_U", "b_U"),
    }
    numbers: Numbers = []
    for height, (text, names) in enumerate(parts.items()):
        count = sum(n for name, n in counts.items() if name.startswith(names)) if names else 0
        label = f"{text}\n{count:,} parameters" if count else text
        ax.annotate(
            label, (0, height), ha="center", va="center", fontsize=7,
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "grey"},
        )  # fmt: skip
        if height:
            ax.annotate("", (0, height - 0.25), (0, height - 0.75), arrowprops={"arrowstyle": "->"})
        numbers.append(("b", text, float(height), float(count)))
    ax.set(xlim=(-1, 1), ylim=(-0.6, len(parts) - 0.4), title="b  the model")
    ax.set_axis_off()
    return numbers


def _parameter_counts(config: "RunConfig") -> dict[str, int]:
    """Return the number of parameters of each tensor; those of the encoder begin with `encoder`."""
    from transformer.model.parameters import parameter_shapes
    from transformer.model.resnet import resnet_shapes

    exemplars = config.data.exemplars
    shapes = parameter_shapes(
        config.model,
        context=config.data.context,
        d_features=exemplars.feature_count(),
        n_labels=exemplars.n_classes,
    )
    of_encoder = {*resnet_shapes(config.model.d_model), "W_E", "b_E"}
    return {
        f"encoder.{name}" if name in of_encoder else name: math.prod(shape)
        for name, shape in shapes.items()
    }


FIGURE = Figure(__name__, "schematic: sequences and model", draw)
