"""Metrics of sequences against their definitions."""

import math

import pytest
import torch

from tests.transformer.model.textbook import make, make_model
from transformer.data.exemplar_sets import Exemplars
from transformer.data.sequences import Sequences
from transformer.measures import metrics as measured
from transformer.measures.metrics import evaluate, sequence_metrics
from transformer.model.transformer import encode

N_LABELS = 11


def test_ties_and_what_is_no_number_are_wrong():
    """A model that has collapsed, or diverged, must not look as if it knew anything."""
    labels, target = torch.tensor([[0, 1, 5], [3, 2, 6]]), torch.tensor([0, 2, 4])
    for value in (0.0, torch.nan, -torch.inf):
        metrics = sequence_metrics(torch.full((3, N_LABELS), value), labels, target)
        for name in ("accuracy", "in_context_accuracy", "out_context_accuracy"):
            assert metrics[name].tolist() == [0, 0, 0], (name, value)
        assert metrics["loss"].isfinite().all() == (value == 0)


def test_an_accuracy_is_a_share_of_the_sequences():
    """Not the float32 number next to it."""
    right = torch.zeros(500)
    right[:3] = 1
    assert measured.means({"accuracy": right, "loss": right / 0}) == {
        "accuracy": 0.006,
        "loss": None,
    }


def test_context_labels_may_be_all_there_are():
    z = torch.tensor([[1.0, 3.0]])
    metrics = sequence_metrics(z, torch.tensor([[0], [1]]), torch.tensor([1]))
    assert metrics["loss"].item() == pytest.approx(math.log1p(math.exp(-2)), rel=1e-6)
    assert metrics["accuracy"].item() == metrics["in_context_accuracy"].item() == 1
    assert metrics["context_probability"].item() == pytest.approx(1)
    assert metrics["out_context_probability"].item() == 0


def test_metrics_follow_their_definitions():
    torch.manual_seed(0)
    n, context = 40, 3
    z = torch.randn(n, N_LABELS, dtype=torch.float64) * 2
    labels = torch.randint(N_LABELS, (context, n))
    labels[2, :10] = labels[0, :10]  # repeats count once
    target = torch.randint(N_LABELS, (n,))
    target[:20] = labels[1, :20]
    metrics = sequence_metrics(z, labels, target)
    for k in range(n):
        p = torch.softmax(z[k].double(), 0)
        y, inside = int(target[k]), set(labels[:, k].tolist())
        outside = set(range(N_LABELS)) - inside
        share_in = sum(p[j] for j in inside)
        expected = {
            "loss": -math.log(p[y]),
            "accuracy": float(p.argmax() == y),
            "probability": p[y],
            "in_context_loss": -math.log(p[y] / share_in) if y in inside else math.nan,
            "in_context_accuracy": float(max(inside, key=lambda j: p[j]) == y),
            "in_context_probability": p[y] / share_in if y in inside else 0,
            "out_context_accuracy": float(max(outside, key=lambda j: p[j]) == y),
            "out_context_probability": p[y] / (1 - share_in) if y in outside else 0,
            "context_probability": share_in,
        }
        assert set(metrics) == set(expected)
        for name, value in expected.items():
            assert float(metrics[name][k]) == pytest.approx(float(value), rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("encoder", ["linear", "resnet"])
def test_evaluation_goes_through_the_model_in_parts(encoder, monkeypatch):
    """A ResNet's activations of all images of an evaluation would not fit into memory."""
    learner = make(make_model(encoder=encoder), n_runs=1)
    generator = torch.Generator().manual_seed(0)
    side = {"linear": 6, "resnet": 49}[encoder]
    exemplars = Exemplars(torch.rand(N_LABELS, 2, side, generator=generator), 1.0)
    items = torch.randint(2 * N_LABELS, (4, 10), generator=generator)
    sequences = Sequences(items, items[1:] // 2, items[0] // 2)
    sizes = []

    def recorded(parameters, config, features, *, training):
        sizes.append(features.shape[1:3].numel())
        return encode(parameters, config, features, training=training)

    monkeypatch.setattr("transformer.model.transformer.encode", recorded)
    whole = evaluate(learner.parameters, learner.model, exemplars, sequences)
    monkeypatch.setattr(measured, "IMAGES", 12)
    monkeypatch.setattr(measured, "CHUNK", 3)
    parts = evaluate(learner.parameters, learner.model, exemplars, sequences)
    assert sizes == [40, 12, 12, 12, 4]
    torch.testing.assert_close(parts, whole, equal_nan=True)
