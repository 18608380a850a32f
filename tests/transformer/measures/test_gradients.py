"""Measures of states against explicit gradients, variances and Hessians, in float64."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import HERE, tiny_config
from transformer import train
from transformer.config import EvaluationConfig, ModelConfig, OptimConfig
from transformer.config.model import GROUPS, in_part
from transformer.data.exemplar_sets import load_exemplars
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.interventions.attention import Ablate
from transformer.measures.gradients import State, gradients, largest_eigenvalue, sharpness
from transformer.runs.measures import measure_run
from transformer.runs.models import load_state
from transformer.sweeps.measure import RunTable
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

SMALL = replace(
    tiny_config(),
    model=ModelConfig(d_model=4, n_heads=2, n_layers=1),
    evaluation=EvaluationConfig(every=6, n_sequences=4),
    precision="float64",
    n_steps=6,
    checkpoint_every=3,
    keep=("all", "all"),
)
SMALL = replace(
    SMALL,
    data=replace(SMALL.data, exemplars=GaussianConfig(n_classes=5, n_exemplars=3, d_features=3)),
)
CASES = {
    "adam": SMALL,
    "rates": replace(
        SMALL,
        optim=OptimConfig(epsilon=1e-3, rate_factors=(("labels", 3.0),)),
        frozen=("positions",),
    ),
    "sgd": replace(SMALL, optim=OptimConfig(algorithm="sgd", momentum=0.9, learning_rate=0.1)),
}


@pytest.fixture(scope="module", params=CASES)
def run(request, tmp_path_factory):
    return train(CASES[request.param], tmp_path_factory.mktemp("states") / "run", HERE)


@pytest.fixture
def state(run) -> State:
    return load_state(run, 6, load_exemplars(run.config.data.exemplars))


def loss_of(state, flat, names, batch):
    """The loss at parameters that a flat vector holds."""
    parts = flat.split([state.parameters[name].numel() for name in names])
    own = {name: part.view_as(state.parameters[name]) for name, part in zip(names, parts)}  # noqa: B905
    return state.loss(state.parameters | own, batch)


def flat_of(values, names):
    return torch.cat([values[name].flatten() for name in names])


def test_a_state_is_what_training_continues_from(run, state):
    config = run.config
    assert state.step == 6 and {*state.parameters} >= {"W_L", "W_U", "W_E"}
    kept = run.state(6).tensors
    assert all(kept[name].equal(value) for name, value in state.parameters.items())
    is_adam = config.optim.algorithm == "adam"
    assert {*state.squares} == ({*state.parameters} if is_adam else set())
    (batch,) = state.batches(1, 8)
    assert [*batch[0].shape] == [1, config.data.context + 1, 8, 3]
    assert math.isfinite(state.loss(state.parameters, batch))


def test_squared_mean_and_variance_are_those_of_a_sample(state):
    """The explicit sample variance of the batches' gradients, times the size of a batch."""
    names, n_batches = [*state.parameters], 5
    at = flat_of(state.parameters, names)
    of_batch = torch.func.grad(lambda flat, batch: loss_of(state, flat, names, batch))
    slopes = torch.stack([of_batch(at, batch) for batch in state.batches(n_batches, 32)])
    owner = [name for name in names for _ in range(state.parameters[name].numel())]
    for row in gradients(state, n_batches=n_batches):
        own = slopes[:, [in_part(name, row["part"]) for name in owner]]
        variance = own.var(0, correction=1).sum()
        assert row["variance"] == pytest.approx(32 * variance.item(), rel=1e-9)
        mean = own.mean(0).square().sum() - variance / n_batches
        assert row["squared_mean"] == pytest.approx(mean.item(), rel=1e-6, abs=1e-12)


def test_parts_sum_to_the_whole(state):
    rows = {row["part"]: row for row in gradients(state, n_batches=4)}
    whole = rows.pop("all")
    assert {*rows} == {"encoder", "labels", "positions", "blocks.0", "final", "unembedding"}
    for name in ("squared_mean", "variance"):
        assert sum(row[name] for row in rows.values()) == pytest.approx(whole[name], rel=1e-9)


@pytest.mark.parametrize("without", [(), ("labels", "final")])
def test_sharpness_is_that_of_the_explicit_hessian(state, without):
    """In the metric of the optimiser, over what is trained."""
    optim = state.config.optim
    left_out = (*state.config.frozen, *without)
    names = [name for name in state.parameters if not any(in_part(name, p) for p in left_out)]
    (batch,) = state.batches(1, 64)
    hessian = torch.autograd.functional.hessian(
        lambda flat: loss_of(state, flat, names, batch), flat_of(state.parameters, names)
    )
    factor = {"W_L": 3.0 if optim.rate_factors else 1.0}
    metric = torch.cat(
        [torch.full((state.parameters[name].numel(),), factor.get(name, 1.0)) for name in names]
    ).double()
    edge = (2 + 2 * 0.9) / optim.learning_rate
    if optim.algorithm == "adam":
        square = flat_of(state.squares, names) / (1 - 0.999**6)
        metric /= square.sqrt() + optim.epsilon
        edge /= 1 - 0.9
    scaled = metric.sqrt()[:, None] * hessian * metric.sqrt()
    values, vectors = torch.linalg.eigh(scaled)
    (row,) = sharpness(state, n_sequences=64, n_products=len(metric), without=without)
    assert row["sharpness"] == pytest.approx(values[-1].item(), rel=1e-6)
    assert row["of_edge"] == pytest.approx(values[-1].item() / edge, rel=1e-6)
    assert row["error"] < 1e-4 * row["sharpness"]
    owner = [name for name in names for _ in range(state.parameters[name].numel())]
    for part in GROUPS:
        own = vectors[[in_part(name, part) for name in owner], -1].square().sum()
        assert row[part] == pytest.approx(own.item(), abs=1e-5)


def test_a_quadratic_loss_has_the_hessian_of_its_matrix():
    matrix = torch.diag(torch.tensor([1.0, -9.0, 4.0]))
    value, vector, error = largest_eigenvalue(matrix.mv, torch.ones(3), 3)
    assert value == pytest.approx(4) and error == pytest.approx(0, abs=1e-5)
    assert vector.abs().tolist() == pytest.approx([0, 0, 1], abs=1e-5)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_the_error_bounds_the_distance_to_an_eigenvalue(size, n_products, seed):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(size, size, generator=generator, dtype=torch.float64)
    matrix = matrix + matrix.mT
    start = torch.randn(size, generator=generator, dtype=torch.float64)
    value, vector, error = largest_eigenvalue(matrix.mv, start, n_products)
    known = torch.linalg.eigvalsh(matrix)
    assert (known - value).abs().min() <= error + 1e-9
    assert value <= known[-1] + 1e-9, "a Ritz value is never above"
    assert vector.norm().item() == pytest.approx(1)
    if n_products >= size:
        assert value == pytest.approx(known[-1].item(), abs=1e-6)


def test_tables_have_a_row_at_each_kept_state(run):
    steps = [row["step"] for row in measure_run(run, "sharpness")]
    assert steps == [3, 6]
    rows = [*measure_run(run, "gradients")]
    assert {row["step"] for row in rows} == {3, 6} and len(rows) == 14
    assert all(isinstance(row["loss"], float) for row in rows)


def test_sharpness_is_not_at_the_edge_where_the_rate_is_0(state):
    (at_rate,) = sharpness(state, n_sequences=32, n_products=3)
    config = replace(state.config, optim=replace(state.config.optim, learning_rate=0.0))
    (row,) = sharpness(replace(state, config=config), n_sequences=32, n_products=3)
    assert row == at_rate | {"of_edge": 0}


@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, data=replace(SMALL.data, noise=0.1)),
        replace(SMALL, interventions=(Ablate(heads=("0:0",)),)),
        replace(SMALL, model=ModelConfig(encoder="resnet", n_layers=1)),
    ],
)
def test_runs_without_a_loss_per_sequence_are_refused_before_they_are_trained(state, config):
    with pytest.raises(UsageError):
        replace(state, config=config)
    for measure in ("gradients", "sharpness"):
        table = RunTable(name="table", measure=measure, of=("run",))
        with pytest.raises(UsageError, match="table"):
            Plan([Train(name="run", config=config), table])


def test_runs_that_keep_one_state_are_refused():
    table = RunTable(name="table", measure="sharpness", of=("run",))
    with pytest.raises(UsageError, match="keep"):
        Plan([Train(name="run", config=replace(SMALL, keep=("all", "last"))), table])


def test_tables_record_the_settings_of_their_measure():
    (settings,) = RunTable(name="table", measure="sharpness", of=("run",)).definitions().values()
    assert settings["settings"]["sharpness"]["without"] == ["labels"]
    assert RunTable(name="table", measure="events", of=("run",)).definitions() == {"events": {}}


def test_the_loss_is_the_cross_entropy_of_training(state):
    """By the model's own logits."""
    from transformer.model.loaded import Model

    (batch,) = state.batches(1, 16)
    features, labels, target = (each[0] for each in batch)
    model = Model(state.config.model, state.parameters)
    z = model.logits(features.transpose(0, 1), labels.T)
    expected = F.cross_entropy(z, target).item()
    assert state.loss(state.parameters, batch).item() == pytest.approx(expected, rel=1e-9)
