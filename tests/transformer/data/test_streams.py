"""Kept runs go on only if every random stream stays as it is.

`tests/reference/streams.json` holds digests that were taken of the version that made the kept runs.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from transformer.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig
from transformer.config.data import EXEMPLAR_KINDS
from transformer.data.evaluators import draw_evaluators, stream_key
from transformer.data.exemplar_sets import load_exemplars
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.sequences import training_block
from transformer.experiments.presets import PRESETS
from transformer.model.parameters import initialise, parameter_shapes, running_shapes

REFERENCE = json.loads((Path(__file__).parents[2] / "reference" / "streams.json").read_text())
GLYPHS = GlyphConfig(n_classes=40, n_exemplars=20)
INITIAL = REFERENCE["initial_values"]
PARTS = ("exemplars", "labels", "target")
KIND = {each.__name__: each for each in EXEMPLAR_KINDS.values()}


def digest(parts):
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def of_sequences(sequences):
    return digest(getattr(sequences, part).numpy().astype("<i8").tobytes() for part in PARTS)


def settings(table):
    """Of JSON, which has no tuples."""
    return {k: tuple(map(tuple, v)) if isinstance(v, list) else v for k, v in table.items()}


@pytest.mark.parametrize("name", REFERENCE["training_blocks"])
def test_training_sequences(name):
    table, digests = REFERENCE["training_blocks"][name]
    config = DataConfig(exemplars=GLYPHS, batch_size=4, **settings(table))
    found = [of_sequences(training_block(config, *key)) for key in ((2, 0), (2, 7), (0, 1))]
    assert found == digests


@pytest.mark.parametrize("name", REFERENCE["evaluators"])
def test_evaluation_sequences(name):
    table, digests = REFERENCE["evaluators"][name]
    evaluation = EvaluationConfig(n_sequences=100, n_classes=40, n_exemplars=5)
    config = RunConfig(data=DataConfig(exemplars=GLYPHS, **table), evaluation=evaluation)
    assert {name: of_sequences(each) for name, each in draw_evaluators(config).items()} == digests


@pytest.mark.skipif(
    not torch.__version__.startswith(INITIAL["torch"]),
    reason=f"torch {torch.__version__} draws other truncated normals than {INITIAL['torch']}",
)
@pytest.mark.parametrize("name", INITIAL["last_two"])
def test_initial_values(name):
    """The last two of each weight, which all draws before them decide; to rounding."""
    encoder, initialiser = name.split()
    model = ModelConfig(encoder=encoder, initialiser=initialiser, mlp_ratio=1, attention_bias=True)
    shapes = parameter_shapes(model, context=2, d_features=784, n_labels=50)
    values = initialise(model, shapes | running_shapes(model), 5)
    for weight, last in INITIAL["last_two"][name].items():
        assert values[weight].flatten()[-2:].tolist() == pytest.approx(last, abs=2e-6), weight


@pytest.mark.parametrize("kind", REFERENCE["exemplars"])
def test_exemplars(kind):
    table, fingerprint = REFERENCE["exemplars"][kind]
    assert load_exemplars(KIND[kind](**table)).fingerprint() == fingerprint


def test_ids_of_runs():
    """Those of the coopetition runs at scale cpu have changed with their initial values."""
    for name, run_id in REFERENCE["run_ids"].items():
        preset, scale = name.split()
        assert PRESETS[preset].make(scale).run_id() == run_id, name


# --- seeds that are equal


def equal_seeds(seed=3):
    evaluation = EvaluationConfig(n_sequences=256, n_classes=40, n_exemplars=20)
    data = DataConfig(exemplars=GLYPHS, batch_size=1)
    return RunConfig(
        data=data, evaluation=evaluation, init_seed=seed, data_seed=seed, eval_seed=seed
    )


@pytest.mark.parametrize("seed", [0, 3])
def test_with_equal_seeds_no_evaluator_repeats_a_training_block(seed):
    """By its number alone, `train`, of the same sampler and classes, would be block 0."""
    config = equal_seeds(seed)
    block = training_block(config.data, seed, 0)
    drawn = draw_evaluators(config)["train"]
    trained = block.exemplars.movedim(0, -2).flatten(-2)
    assert drawn.exemplars.shape == trained.shape
    same = (drawn.exemplars == trained).all(0).float().mean()
    assert same < 0.02, "but by chance"
    other = draw_evaluators(replace(config, data_seed=seed + 1))
    assert not np.array_equal(other["train"].exemplars, drawn.exemplars)


def test_streams_of_evaluators_are_apart():
    config = equal_seeds()
    for each in (config, replace(config, data_seed=4)):
        keys = [tuple(stream_key(each, name)) for name in draw_evaluators(each)]
        assert len({*keys}) == 5
    assert stream_key(config, "icl") != stream_key(replace(config, data_seed=4), "icl")
