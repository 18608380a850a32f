"""Kept runs can continue only if every random stream stays as it is.

`tests/reference/streams.json` holds digests from the version that made the kept runs.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from transformer.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig
from transformer.config.data import EXEMPLAR_KINDS
from transformer.data.evaluators import draw_evaluation_sets, stream_key
from transformer.data.exemplar_sets import load_exemplars
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.sequences import training_block
from transformer.experiments.presets import PRESETS
from transformer.model.parameters import initialise, parameter_shapes, running_shapes

REFERENCE = json.loads((Path(__file__).parents[2] / "reference" / "streams.json").read_text())
GLYPHS = GlyphConfig(n_classes=40, n_exemplars=20)
INITIAL = REFERENCE["initial_values"]


def digest(sequences):
    parts = (sequences.exemplars, sequences.labels, sequences.target)
    content = b"".join(part.numpy().astype("<i8").tobytes() for part in parts)
    return hashlib.sha256(content).hexdigest()[:16]


@pytest.mark.parametrize("name", REFERENCE["training_blocks"])
def test_training_sequences(name):
    table, digests = REFERENCE["training_blocks"][name]
    table = {k: tuple(map(tuple, v)) if isinstance(v, list) else v for k, v in table.items()}
    config = DataConfig(exemplars=GLYPHS, batch_size=4, **table)
    assert [digest(training_block(config, *key)) for key in ((2, 0), (2, 7), (0, 1))] == digests


@pytest.mark.parametrize("name", REFERENCE["evaluators"])
def test_evaluation_sequences(name):
    table, digests = REFERENCE["evaluators"][name]
    evaluation = EvaluationConfig(n_sequences=100, n_classes=40, n_exemplars=5)
    config = RunConfig(data=DataConfig(exemplars=GLYPHS, **table), evaluation=evaluation)
    sets = draw_evaluation_sets(config)
    assert {name: digest(each) for name, each in sets.items()} == digests


@pytest.mark.skipif(
    not torch.__version__.startswith(INITIAL["torch"]),
    reason=f"torch {torch.__version__} draws other truncated normals than {INITIAL['torch']}",
)
@pytest.mark.parametrize("name", INITIAL["last_two"])
def test_initial_values(name):
    """The last two of each weight, which depend on all draws before them; to rounding."""
    encoder, initialiser = name.split()
    model = ModelConfig(encoder=encoder, initialiser=initialiser, mlp_ratio=1, attention_bias=True)
    shapes = parameter_shapes(model, context=2, d_features=784, n_labels=50)
    values = initialise(model, shapes | running_shapes(model), 5)
    for weight, last in INITIAL["last_two"][name].items():
        assert values[weight].flatten()[-2:].tolist() == pytest.approx(last, abs=2e-6), weight


@pytest.mark.parametrize("kind", REFERENCE["exemplars"])
def test_exemplars(kind):
    table, fingerprint = REFERENCE["exemplars"][kind]
    config = EXEMPLAR_KINDS.by_class_name(kind)(**table)
    assert load_exemplars(config).fingerprint() == fingerprint


def test_run_ids():
    """The ids of the coopetition runs at scale cpu have changed with their initial values."""
    for name, run_id in REFERENCE["run_ids"].items():
        preset, scale = name.split()
        assert PRESETS[preset].config(scale).run_id() == run_id, name


@pytest.mark.parametrize("seed", [0, 3])
def test_with_equal_seeds_no_evaluator_repeats_a_training_block(seed):
    """Seeded by its number alone, `train` would be block 0."""
    evaluation = EvaluationConfig(n_sequences=256, n_classes=40, n_exemplars=20)
    data = DataConfig(exemplars=GLYPHS, batch_size=1)
    config = RunConfig(data=data, evaluation=evaluation, data_seed=seed, eval_seed=seed)
    trained = training_block(data, seed, 0).exemplars.movedim(0, -2).flatten(-2)
    drawn = draw_evaluation_sets(config)["train"].exemplars
    assert drawn.shape == trained.shape
    assert (drawn == trained).all(0).float().mean() < 0.02, "by chance"
    other = replace(config, data_seed=seed + 1)
    assert not torch.equal(draw_evaluation_sets(other)["train"].exemplars, drawn)
    for each in (config, other):
        keys = [tuple(stream_key(each, name)) for name in draw_evaluation_sets(each)]
        assert len({*keys}) == 5, "each evaluator has a stream of its own"
