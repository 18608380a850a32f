"""Features and encoders in a sweep's folder that are not those of the plan."""

import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from coopetition.tools.errors import UserError
from transformer.config.encoders import ReductionConfig
from transformer.data.encoders.own import OwnConfig, TrainingConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.data.features.networks import OwnNetwork
from transformer.sweeps.features import FEATURES, WEIGHTS, Features, TrainEncoder
from transformer.sweeps.plan import Plan
from transformer.sweeps.status import plan_status

GLYPHS = GlyphConfig(n_classes=4, n_exemplars=4)
ENCODER = TrainEncoder(
    name="encoder", config=TrainingConfig(glyphs=GLYPHS, n_steps=2, batch_size=8, seed=3)
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
    save_file({name: torch.randn(s, generator=generator) for name, s in shapes.items()}, path)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, 0)
    return path


@pytest.fixture
def node(weights):
    return replace(NODE, encoder=OwnConfig(weights=str(weights)))


def error_of(node, runs):
    with pytest.raises(UserError) as error:
        node.is_done(runs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_other_weights_are_reported_and_nothing_is_lost(node, weights, tmp_path):
    assert not node.is_done(tmp_path)
    node.execute(tmp_path, "cpu", 1)
    assert node.is_done(tmp_path)
    file, first = tmp_path / "features" / FEATURES, weights.read_bytes()
    before = file.read_bytes()
    write_weights(weights, 1)
    assert "(encoder.weights=" in error_of(node, tmp_path)
    assert file.read_bytes() == before
    weights.write_bytes(first)
    os.utime(weights, ns=(1, 1))
    assert node.is_done(tmp_path), "the weights are restored"
    weights.unlink()
    assert node.is_done(tmp_path), "finished features need no weights"


def test_an_encoder_that_is_trained_anew_is_reported(tmp_path):
    plan = Plan([ENCODER, replace(NODE, after="encoder")])
    for node in plan.nodes.values():
        node.execute(tmp_path, "cpu", 1)
    assert {status.state for status in plan_status(plan, tmp_path).values()} == {"done"}
    file = tmp_path / "encoder" / WEIGHTS
    file.unlink()
    anew = replace(ENCODER, config=replace(ENCODER.config, seed=4))
    anew.execute(tmp_path, "cpu", 1)
    assert "(training.seed=4, not 3)" in error_of(ENCODER, tmp_path)
    assert anew.is_done(tmp_path)
    assert "(encoder.weights=" in error_of(plan.nodes["features"], tmp_path)
    save_file(load_file(file), file)  # without metadata
    assert "(training.glyphs.kind=None, not GlyphConfig)" in error_of(ENCODER, tmp_path)


GLYPHS_1 = GlyphConfig(n_classes=6, n_exemplars=4, seed=1)
OMNIGLOT = OmniglotConfig(n_classes=6, n_exemplars=4)


@pytest.mark.parametrize(
    ("made", "planned", "difference"),
    [
        ({"drawings": GLYPHS_1}, {}, "drawings.seed=1, not 0"),
        ({"reduction": ReductionConfig(components=3)}, {}, "reduction.components=3, not 4"),
        (
            {"drawings": replace(OMNIGLOT, layout="released")},
            {"drawings": OMNIGLOT},
            "drawings.layout=released, not None",
        ),
    ],
)
def test_features_of_another_recipe_are_reported(node, tmp_path, made, planned, difference):
    replace(node, **made).execute(tmp_path, "cpu", 1)
    assert f"({difference})" in error_of(replace(node, **planned), tmp_path)


def damages(file):
    """Write damaged contents into a feature file, one after the other; yield what is wrong."""
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"nothing of ours, but long enough"):
        file.write_bytes(damaged)
        yield "damaged"
    save_file({"features": torch.ones(6, 4)}, file)
    yield "(6, 4)"
    save_file({"features": torch.ones(6, 4, 4)}, file, {"provenance": "no table"})
    yield "provenance"


def test_a_damaged_file_is_reported_wherever_it_is_read(node, tmp_path, call):
    node.execute(tmp_path, "cpu", 1)
    file = tmp_path / "features" / FEATURES
    train = ("train", "--exemplars", "features", "--data.exemplars.path", file, "--out", "unused")
    for wrong in damages(file):
        assert wrong in error_of(node, tmp_path)
        assert plan_status(Plan([node]), tmp_path)["features"].state == "failed"
        if wrong != "provenance":  # which the command does not read
            assert wrong in call("transformer", *train, expect=2)
    file.unlink()
    assert not node.is_done(tmp_path), "a file that is moved away is made again"
