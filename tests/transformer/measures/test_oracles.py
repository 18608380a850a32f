"""Predictors that know one strategy perfectly, and no other, on the five evaluators."""

import math

import pytest
import torch
from scipy.stats import binomtest

from transformer.config import DataConfig, EvaluationConfig, RunConfig
from transformer.data.evaluators import draw_evaluation_sets
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.measures.metrics import means, sequence_metrics

N_CLASSES, N_EXEMPLARS, N = 1000, 4, 5000
FALSE_ALARM = 1e-6  # of each of the 30 comparisons with chance
SURE = 50.0  # a logit above which nothing else counts
HALF = 1 / 2


@pytest.fixture(scope="module")
def evaluators():
    exemplars = GaussianConfig(n_classes=N_CLASSES, n_exemplars=N_EXEMPLARS)
    config = RunConfig(
        data=DataConfig(exemplars=exemplars),
        evaluation=EvaluationConfig(n_sequences=N, n_classes=N_CLASSES, n_exemplars=N_EXEMPLARS),
    )
    return draw_evaluation_sets(config)


def logits_for(labels: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Certain of the label that is chosen in each sequence; -1: a guess, without ties."""
    generator = torch.Generator().manual_seed(0)
    z = 1e-3 * torch.rand(N, N_CLASSES, generator=generator, dtype=torch.float64)
    known = chosen >= 0
    z[known, chosen[known]] = SURE
    return z


def icl(classes, labels):
    """Copies the label that stands beside an exemplar of the query's class."""
    beside = classes[:-1] == classes[-1]
    return torch.where(beside.any(0), labels.gather(0, beside.int().argmax(0)[None])[0], -1)


def ciwl(classes, labels):
    """Copies the query's own label where it stands in context."""
    return torch.where((labels == classes[-1]).any(0), classes[-1], -1)


def iwl(classes, labels):
    """Says the query's own label whatever the context is."""
    return classes[-1]


def chance(classes, labels):
    """Knows nothing."""
    return torch.full_like(classes[-1], -1)


NAMES = ("train", "icl", "flip", "ciwl", "iwl")
NOTHING = 1 / N_CLASSES
RIGHT, WRONG, GUESS, ABSENT = (1, 1), (0, 0), (HALF, NOTHING), (0, NOTHING)
EXPECTED = {  # in-context accuracy, and accuracy over all labels, by evaluator
    icl: dict(zip(NAMES, (RIGHT, RIGHT, RIGHT, GUESS, ABSENT), strict=True)),
    ciwl: dict(zip(NAMES, (RIGHT, GUESS, WRONG, RIGHT, ABSENT), strict=True)),
    iwl: dict(zip(NAMES, (RIGHT, GUESS, WRONG, RIGHT, (0, 1)), strict=True)),
    chance: dict(zip(NAMES, (GUESS, GUESS, GUESS, GUESS, ABSENT), strict=True)),
}


def measured(sequences, z) -> dict[str, float]:
    found = sequence_metrics(z, sequences.labels, sequences.target)
    return {name: float(value) for name, value in means(found).items() if value is not None}


@pytest.mark.parametrize("evaluator", NAMES)
@pytest.mark.parametrize("strategy", EXPECTED, ids=lambda each: each.__name__)
def test_a_strategy_is_right_where_the_evaluator_asks_for_it(evaluators, strategy, evaluator):
    sequences = evaluators[evaluator]
    classes = sequences.exemplars // N_EXEMPLARS
    chosen = strategy(classes, sequences.labels)
    found = measured(sequences, logits_for(sequences.labels, chosen))
    expected = EXPECTED[strategy][evaluator]
    for metric, share in zip(("in_context_accuracy", "accuracy"), expected, strict=True):
        if share in (0, 1):
            assert found[metric] == share, metric
        else:
            right = round(found[metric] * N)
            assert binomtest(right, N, share).pvalue > FALSE_ALARM, metric
    if expected == RIGHT:
        assert found["loss"] < 1e-15 and found["context_probability"] == pytest.approx(1)
    if expected == WRONG:
        assert found["loss"] == pytest.approx(SURE, rel=1e-3), "sure, and wrong"


@pytest.mark.parametrize("evaluator", NAMES)
def test_predicting_labels_by_their_frequency_has_their_entropy_as_loss(evaluators, evaluator):
    """In nats, the entropy of the targets; and within the context what frequency alone gives."""
    sequences = evaluators[evaluator]
    share = torch.bincount(sequences.target, minlength=N_CLASSES).double() / N
    z = share.clamp_min(1e-300).log().expand(N, -1)
    found = measured(sequences, z)
    entropy = -float(torch.special.xlogy(share, share).sum())
    assert found["loss"] == pytest.approx(entropy, rel=1e-9)
    if evaluator == "icl":  # two labels, each as often as the other but for chance
        assert found["loss"] == pytest.approx(math.log(2), abs=1e-3)
        assert found["context_probability"] == pytest.approx(1)
        most = float(share.max())
        assert found["accuracy"] == found["in_context_accuracy"] == pytest.approx(most)
    elif evaluator != "iwl":
        assert found["context_probability"] == pytest.approx(2 / N_CLASSES, rel=0.2)
