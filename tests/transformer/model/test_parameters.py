"""Names, shapes, initial values and parts of the parameters."""

import math

import pytest
import torch
from scipy.stats import truncnorm

from tests.transformer.conftest import make_state
from tests.transformer.model.textbook import make_model
from transformer.config import ModelConfig, OptimConfig
from transformer.config.model import in_part
from transformer.model.parameters import initialise, parameter_shapes, running_shapes
from transformer.training.step import RunSettings


def test_shapes_are_those_of_the_table():
    model = make_model(1, mlp_ratio=4, attention_bias=True)
    layer = {
        "blocks.0.ln_w": (1, 8),
        "blocks.0.ln_b": (1, 8),
        "blocks.0.W_QKV": (3, 2, 4, 8),
        "blocks.0.b_QKV": (3, 2, 4, 1),
        "blocks.0.W_O": (8, 8),
        "blocks.0.b_O": (1, 8),
        "blocks.0.ln_mlp_w": (1, 8),
        "blocks.0.ln_mlp_b": (1, 8),
        "blocks.0.W_in": (8, 32),
        "blocks.0.b_in": (1, 32),
        "blocks.0.W_out": (32, 8),
        "blocks.0.b_out": (1, 8),
    }
    expected = {
        "W_E": (6, 8),
        "b_E": (1, 8),
        "W_pos": (7, 1, 8),
        **layer,
        "ln_final_w": (1, 8),
        "ln_final_b": (1, 8),
        "W_L": (11, 8),
        "W_U": (8, 11),
        "b_U": (1, 11),
    }
    shapes = shapes_of(model)
    assert list(shapes.items()) == list(expected.items())


def shapes_of(model):
    return parameter_shapes(model, context=3, d_features=6, n_labels=11)


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"positions": "rotary"}, {"W_pos"}),
        ({"positions": "sinusoidal"}, {"W_pos"}),
        ({"attention_bias": False}, {"b_QKV", "b_O"}),
        ({"bias": False}, {"b_E", "b_in", "b_out", "b_U"}),
        ({"norm": False}, {"ln_w", "ln_b", "ln_mlp_w", "ln_mlp_b", "ln_final_w", "ln_final_b"}),
        (
            {"mlp_ratio": 0},
            {"ln_mlp_w", "ln_mlp_b", "W_in", "b_in", "W_out", "b_out"},
        ),
    ],
)
def test_what_a_config_switches_off_is_absent(changes, absent):
    whole = {"mlp_ratio": 4, "attention_bias": True}
    left = {
        name: shape
        for name, shape in shapes_of(make_model(**whole)).items()
        if name.split(".")[-1] not in absent
    }
    assert shapes_of(make_model(**whole | changes)) == left


@pytest.mark.parametrize("initialiser", ["truncated", "paper"])
def test_initial_values_have_their_scale(initialiser):
    """Each within four standard errors; cut at two deviations of the uncut normal."""
    truncated = truncnorm(-2, 2).std()
    assert truncated == pytest.approx(0.8796, abs=1e-4)
    widen = 1 / truncated if initialiser == "paper" else 1
    inputs = {"W_E": 784, "W_QKV": 64, "W_O": 64, "W_in": 64, "W_out": 256, "W_U": 64}
    cut = {name: widen / math.sqrt(n) for name, n in inputs.items()}
    cut |= {"W_L": 0.02, "W_pos": 1 / math.sqrt(32)}
    model = ModelConfig(mlp_ratio=4, attention_bias=True, initialiser=initialiser)
    shapes = parameter_shapes(model, context=20, d_features=784, n_labels=1600)
    for name, value in initialise(model, shapes, 0).items():
        kind = name.split(".")[-1]
        if kind not in cut:
            assert (value == (kind.startswith("ln_") and kind.endswith("_w"))).all()
            continue
        uniform = initialiser == "paper" and kind == "W_pos"
        std = cut[kind] * (1 / math.sqrt(3) if uniform else truncated)
        error = 4 / math.sqrt(2 * value.numel())
        assert value.std().item() == pytest.approx(std, rel=error), name
        assert abs(value.mean().item()) < 4 * std / math.sqrt(value.numel()), name
        bound = cut[kind] * (1 if uniform else 2)
        assert 0.95 * bound < value.abs().max().item() <= bound * (1 + 1e-6), name


@pytest.mark.parametrize("initialiser", ["truncated", "paper"])
def test_initial_values_of_the_resnet(initialiser):
    """Filters by their inputs, never widened; blocks as the identity; norms of a unit normal."""
    model = make_model(d_model=64, encoder="resnet", initialiser=initialiser)
    shapes = {n: s for n, s in shapes_of(model).items() if n.startswith("encoder.")}
    for name, value in initialise(model, shapes | running_shapes(model), 0).items():
        kind = name.split(".")[-1]
        if kind.startswith("W"):
            std = truncnorm(-2, 2).std() / math.sqrt(value[0].numel())
            error = 4 / math.sqrt(2 * value.numel())
            assert value.std().item() == pytest.approx(std, rel=error), name
        else:
            one = kind.endswith(("_w", "_var")) and kind != "norm_3_w"
            assert (value == one).all(), name


@pytest.mark.parametrize("changes", [{}, {"encoder": "resnet", "initialiser": "paper"}])
def test_initial_values_depend_on_the_seed_alone(changes):
    model = make_model(**changes)
    members = [RunSettings(seed, OptimConfig()) for seed in (7, 0, 7, 1)]
    single = make_state(model, members[:1], precision="float32").parameters
    for name, value in make_state(model, members).parameters.items():
        assert value.dtype == torch.float64
        assert torch.equal(value[0], value[2]) and torch.equal(value[0], single[name][0].double())
        drawn = name.split(".")[-1].startswith("W")
        assert torch.equal(value[0], value[1]) != drawn
        assert torch.equal(value[1], value[3]) != drawn


PARTED = [
    make_model(12, mlp_ratio=4, attention_bias=True),
    make_model(2, mlp_ratio=4, encoder="resnet"),
]


@pytest.mark.parametrize("model", PARTED, ids=["linear", "resnet"])
def test_every_parameter_is_in_the_parts_that_it_should_be(model):
    names = list(shapes_of(model) | running_shapes(model))
    layers = range(model.n_layers)

    def members(*parts):
        return [name for name in names for part in parts if in_part(name, part)]

    outside = ["encoder", "labels", "positions", "unembedding", "final"]
    assert members("all") == names
    assert members(*outside, "attention", "mlp") == names, "each in exactly one"
    assert members(*outside, *(f"blocks.{layer}" for layer in layers)) == names
    assert members("embeddings") == members("labels", "positions", "unembedding")
    for layer in layers:
        below, above = members(f"input.{layer}"), members(f"output.{layer}")
        assert members(f"input.{layer}", f"output.{layer}") == names, "one or the other"
        assert below == members("encoder", "labels", "positions", *blocks(0, layer + 1))
        assert above == members("final", "unembedding", *blocks(layer + 1, model.n_layers))
    assert members("labels") == ["W_L"] and members("positions") == ["W_pos"]
    assert members("unembedding") == ["W_U", "b_U"]
    assert all(name.startswith("encoder.") or name in ("W_E", "b_E") for name in members("encoder"))
    of_layer = [name for name in members("mlp") if name.startswith("blocks.1.")]
    kinds = ["ln_mlp_w", "ln_mlp_b", "W_in", "b_in", "W_out", "b_out"]
    assert of_layer == [f"blocks.1.{kind}" for kind in kinds]


def blocks(first, end):
    return [f"blocks.{layer}" for layer in range(first, end)]
