"""Features and encoders that lie in a sweep's folder, beside the plan that they are to be of."""

import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from coopetition.tools.errors import UserError
from transformer.config.encoders import ReductionConfig
from transformer.data.encoders.efficientnet import EfficientNetConfig
from transformer.data.encoders.own import OwnConfig, TrainingConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.data.features.networks import OwnNetwork
from transformer.data.features.provenance import read_provenance
from transformer.sweeps.features import FEATURES, WEIGHTS, Features, TrainEncoder
from transformer.sweeps.plan import Plan
from transformer.sweeps.status import standings

ENCODER = TrainEncoder(
    name="encoder",
    config=TrainingConfig(
        glyphs=GlyphConfig(n_classes=4, n_exemplars=4), n_steps=2, batch_size=8, seed=3
    ),
)
NODE = Features(
    name="features",
    drawings=GlyphConfig(n_classes=6, n_exemplars=4),
    encoder=OwnConfig(),
    reduction=ReductionConfig(components=4),
)


def write_weights(path, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: each.shape for name, each in OwnNetwork().state_dict().items()}
    weights = {name: torch.randn(s, generator=generator) for name, s in shapes.items()}
    save_file(weights, path)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, 0)
    return path


@pytest.fixture
def node(weights):
    return replace(NODE, encoder=OwnConfig(weights=str(weights)))


def told(node, runs):
    with pytest.raises(UserError) as error:
        node.is_done(runs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_other_weights_in_their_file_are_told_and_nothing_is_lost(node, weights, tmp_path):
    assert not node.is_done(tmp_path)
    node.work(tmp_path, "cpu", 1)
    assert node.is_done(tmp_path)
    file, first = tmp_path / "features" / FEATURES, weights.read_bytes()
    before = file.read_bytes()
    write_weights(weights, 1)
    message = told(node, tmp_path)
    assert "(encoder.weights=" in message and "move its folder away, or put back" in message
    assert file.read_bytes() == before
    weights.write_bytes(first)
    os.utime(weights, ns=(1, 1))
    assert node.is_done(tmp_path), "they are put back"
    weights.unlink()
    assert node.is_done(tmp_path), "features that are made need no weights"


def test_an_encoder_that_is_trained_anew_is_told(tmp_path):
    plan = Plan([ENCODER, replace(NODE, after="encoder")])
    for node in plan.nodes.values():
        node.work(tmp_path, "cpu", 1)
    assert {each.state for each in standings(plan, tmp_path).values()} == {"done"}
    (tmp_path / "encoder" / WEIGHTS).unlink()
    anew = replace(ENCODER, config=replace(ENCODER.config, seed=4))
    anew.work(tmp_path, "cpu", 1)
    assert "(training.seed=4, not 3); move its folder away" in told(ENCODER, tmp_path)
    assert anew.is_done(tmp_path)
    assert "(encoder.weights=" in told(plan.nodes["features"], tmp_path)
    # as if from elsewhere: nothing is known of its training
    file = tmp_path / "encoder" / WEIGHTS
    save_file(load_file(file), file)
    assert "(training.glyphs.kind=None, not GlyphConfig)" in told(ENCODER, tmp_path)


def test_an_encoder_that_has_its_weights_takes_none_from_another_node():
    features = replace(NODE, encoder=EfficientNetConfig(), after="encoder")
    with pytest.raises(UserError, match="but EfficientNetConfig has its own; make its encoder Own"):
        Plan([ENCODER, features])


@pytest.mark.parametrize(
    ("made", "difference"),
    [
        ({"drawings": GlyphConfig(n_classes=6, n_exemplars=4, seed=1)}, "drawings.seed=1, not 0"),
        ({"reduction": ReductionConfig(components=3)}, "reduction.components=3, not 4"),
        (
            {"drawings": OmniglotConfig(n_classes=6, n_exemplars=4, layout="released")},
            "drawings.layout=released, not None",
        ),
    ],
)
def test_other_features_than_the_plans_are_told(node, tmp_path, made, difference):
    replace(node, **made).work(tmp_path, "cpu", 1)
    if isinstance(made.get("drawings"), OmniglotConfig):
        node = replace(node, drawings=OmniglotConfig(n_classes=6, n_exemplars=4))
    assert f"holds other features than the plan's ({difference})" in told(node, tmp_path)


def damaged(file):
    """What may lie in the place of a feature file, and what is to be said of it."""
    content, about = file.read_bytes(), read_provenance(file)
    assert about
    yield content[: len(content) // 2], "is damaged or not a .safetensors file"
    yield content[:5], "is damaged or not a .safetensors file"
    yield b"nothing of ours, but long enough", "is damaged or not a .safetensors file"
    save_file({"features": torch.ones(6, 4, 4, dtype=torch.int32)}, file)
    yield file.read_bytes(), "holds I32 values"
    save_file({"features": torch.ones(6, 4)}, file)
    yield file.read_bytes(), "holds an array of shape (6, 4); expected (classes, exemplars, feat"
    save_file({}, file)
    yield file.read_bytes(), "holds no array"
    save_file({"features": torch.ones(6, 4, 4)}, file, {"provenance": "no table"})
    yield file.read_bytes(), "has the provenance 'no table'"


def test_a_damaged_file_is_told_wherever_it_is_read(node, tmp_path, call):
    node.work(tmp_path, "cpu", 1)
    file = tmp_path / "features" / FEATURES
    plan = Plan([node])
    for content, message in damaged(file):
        file.write_bytes(content)
        assert message in told(node, tmp_path)
        assert standings(plan, tmp_path)["features"].state == "failed"
        if "provenance" in message:  # which those below do not need
            continue
        for command in (
            ("separation", "--data.path", file),
            ("train", "--exemplars", "features", "--data.exemplars.path", file, "--out", "unused"),
        ):
            assert message in call("transformer", *command, expect=2)
    file.unlink()
    assert not node.is_done(tmp_path), "moved away, it is made again"
