"""The ResNet against the textbook's, and the statistics that it keeps."""

import pytest
import torch
import torch.nn.functional as F

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
from transformer.model.resnet import (
    BatchNorm,
    _convolve,
    _mix_channels,
    cut_kernel,
    resnet,
    resnet_shapes,
    same_padding,
)


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


def test_its_gradients_are_the_textbooks():
    train_state = make(make_model(encoder="resnet"))
    images = torch.randn(2, 5, 28 * 28, dtype=torch.float64)
    towards = torch.randn(2, 5, 8, dtype=torch.float64)
    own = {name: train_state.parameters[name] for name in resnet_shapes(8)}

    def projected(parameters):
        tokens, _ = resnet(parameters, images, 8, training=True)
        return (tokens * towards).sum()

    found = torch.func.grad(projected)(own)
    for run in range(2):
        p = of_run(train_state, run)
        leaves = [p[name].requires_grad_() for name in own]
        slow, _ = slow_resnet(p, images[run].view(5, 1, 28, 28), 8, training=True)
        slopes = torch.autograd.grad((slow * towards[run]).sum(), leaves)
        for name, expected in zip(own, slopes, strict=True):
            torch.testing.assert_close(found[name][run], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("stride", [1, 2])
def test_products_of_matrices_are_convolutions_of_one_pixel(stride):
    """A GPU computes those of several runs so."""
    x = torch.randn(4, 3, 6, 5, 5, dtype=torch.float64)
    weight = torch.randn(3, 2, 6, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(
        _mix_channels(x, weight, stride), _convolve(x, weight, stride), **EXACT
    )


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 2)])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 7])
def test_weights_that_see_only_padding_are_cut_off(side, kernel, stride):
    """The others give the same; those cut off have gradients of 0 in bfloat16 too."""
    x = torch.randn(4, 2, 3, side, side, dtype=torch.float64)
    weight = torch.randn(2, 5, 3, kernel, kernel, dtype=torch.float64)
    rows = columns = same_padding(side, kernel, stride)
    padded = F.pad(x.flatten(1, 2), (*columns, *rows))
    expected = F.conv2d(padded, weight.flatten(0, 1), stride=stride, groups=2)
    torch.testing.assert_close(_convolve(x, weight, stride).flatten(1, 2), expected, **EXACT)
    part, _ = cut_kernel(side, kernel, stride)
    for _ in range(20):  # memory that is not written to differs
        half = weight.bfloat16().requires_grad_()
        _convolve(x.bfloat16(), half, stride).float().square().sum().backward()
        assert half.grad.isfinite().all()
        half.grad[..., part, part] = 0
        assert not half.grad.any()


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
