"""The ResNet against the textbook's, and the statistics that it keeps."""

import pytest
import torch

from tests.transformer.conftest import draw_batch, numbers_at
from tests.transformer.model.textbook import (
    EXACT,
    logits,
    make,
    make_model,
    of_run,
    slow_batch,
    slow_resnet,
)
from transformer.model.parameters import running_shapes
from transformer.model.resnet import BatchNorm, resnet


@pytest.mark.parametrize("side", [28, 13])
@pytest.mark.parametrize("training", [True, False])
def test_the_resnet_is_the_textbooks(training, side):
    train_state = make(make_model(encoder="resnet"))
    images = torch.randn(2, 5, side * side, dtype=torch.float64)
    tokens, seen = resnet(train_state.parameters, images, 8, training=training)
    for run in range(2):
        slow, slow_seen = slow_resnet(
            of_run(train_state, run), images[run].view(5, 1, side, side), 8, training=training
        )
        torch.testing.assert_close(tokens[run], slow, **EXACT)
        torch.testing.assert_close({name: v[run] for name, v in seen.items()}, slow_seen, **EXACT)


def test_running_statistics_follow_the_batches_and_serve_evaluation():
    model = make_model(encoder="resnet")
    train_state = make(model, learning_rate=0.1)
    expected = [of_run(train_state, run) for run in range(2)]
    for step in range(3):
        features, labels, target = draw_batch(train_state, step)
        for run, running in enumerate(expected):
            images = features[run].reshape(-1, 1, 7, 7)
            _, seen = slow_resnet(of_run(train_state, run), images, 8, training=True)
            assert set(seen) == set(running_shapes(model))
            for name, value in seen.items():
                running[name] = 0.9 * running[name] + 0.1 * value
        train_state.step(features, labels, target, numbers_at(train_state, [0.1, 0.1], step + 1))
    for name in running_shapes(model):
        expected_value = torch.stack([running[name] for running in expected])
        torch.testing.assert_close(train_state.parameters[name], expected_value, **EXACT)
    z = logits(train_state.parameters, model, features, labels)
    slow = slow_batch(of_run(train_state, 0), model, features[0], labels[0], training=False)
    torch.testing.assert_close(z[0], slow, **EXACT)


def test_statistics_of_a_batch_in_bfloat16_are_not_rounded_to_it():
    """Means of values far from 0, which bfloat16 (8 bits) would move by up to 0.4 %."""
    x = 100 + torch.randn(6, 1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    half = x.bfloat16()
    parameters = {"norm_w": torch.ones(1, 3), "norm_b": torch.zeros(1, 3)}
    norm = BatchNorm(parameters, training=True)
    norm(half, "norm")
    exact = half.double()
    for name, expected in (
        ("norm_mean", exact.mean((0, 3, 4))),
        ("norm_var", exact.var((0, 3, 4), correction=0)),
    ):
        torch.testing.assert_close(norm.seen[name].double(), expected, rtol=1e-5, atol=0)
