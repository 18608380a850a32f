"""Measures of the states of a run: the gradient, its noise, and the curvature that Adam sees.

They are taken on sequences that are drawn as in training, but by a seed of their own, and without
penalties.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig
from transformer.config.model import GROUPS, in_part
from transformer.data.exemplar_sets import Exemplars
from transformer.data.sequences import training_block
from transformer.measures import Row, measure
from transformer.model.parameters import Parameters
from transformer.model.transformer import cross_entropy, encode, logits_of_items

SEED = 2**62  # of the sequences
BATCH = 32  # sequences of a gradient
PIECE = 512  # sequences whose curvature is computed at once
Batch = tuple[Tensor, Tensor, Tensor]  # features, labels and target, each with a run axis
Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A run after a step, as training would continue it.

    parameters : by name, without a run axis
    squares : Adam's running mean of squared gradients, by parameter; empty for sgd
    """

    config: RunConfig
    step: int
    parameters: Parameters
    squares: Parameters
    exemplars: Exemplars

    def __post_init__(self) -> None:
        check_measurable(self.config)

    def batches(self, count: int, size: int) -> Iterator[Batch]:
        """Yield batches of sequences, always the same ones."""
        data = replace(self.config.data, batch_size=size)
        block = training_block(data, SEED, 0)
        dtype = self.parameters["W_U"].dtype
        for number in range(count):
            own = block[number]
            features = self.exemplars.features(own.exemplars, dtype)
            yield features[None], own.labels[None], own.target[None]

    def loss(self, parameters: Parameters, batch: Batch) -> Tensor:
        """Return the mean loss of a batch at other parameters, as a scalar."""
        features, labels, target = batch
        p, model = {name: value[None] for name, value in parameters.items()}, self.config.model
        items, _ = encode(p, model, features, training=False)
        return cross_entropy(logits_of_items(p, model, items, labels), target)[0]

    def rate_factors(self, without: tuple[str, ...]) -> dict[str, float]:
        """Return the factor on the rate of each parameter that is trained, without some parts."""
        optim, left_out = self.config.optim, (*self.config.frozen, *without)
        factors = {name: optim.rate_factor(name, left_out) for name in self.parameters}
        return {name: factor for name, factor in factors.items() if factor > 0}


def check_measurable(config: RunConfig) -> None:
    """Raise `UsageError` for a run whose training loss is not that of the measures.

    With batch norm, the loss is not a mean over sequences.
    """
    reasons = {
        "interventions": config.interventions,
        "data.noise": config.data.noise,
        "an encoder with batch norm": config.model.encoder == "resnet",
    }
    if found := [name for name, has_it in reasons.items() if has_it]:
        raise UsageError(
            f"run {config.run_id()} has {' and '.join(found)}; measures of states are of runs "
            "without; leave it out of the measure"
        )


@measure("gradients", per="state")
def gradients(state: State, *, n_batches: int = 32) -> Iterator[Row]:
    """Squared mean and variance of the gradient of one sequence, of each part of the network.

    `variance` sums over parameters.  A batch of B sequences has a gradient whose squared norm is
    `squared_mean + variance / B` in expectation.  Both are unbiased, so that `squared_mean` may be
    below 0 where noise dominates.
    """
    blocks = [f"blocks.{layer}" for layer in range(state.config.model.n_layers)]
    parts = ["all", "encoder", "labels", "positions", *blocks, "final", "unembedding"]
    trained = {name: value.clone().requires_grad_() for name, value in state.parameters.items()}
    sums = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in trained.items()}
    squares, loss = dict.fromkeys(trained, 0.0), 0.0
    for batch in state.batches(n_batches, BATCH):
        own = state.loss(trained, batch)
        slopes = torch.autograd.grad(own, [*trained.values()])
        loss += own.item() / n_batches
        for name, slope in zip(trained, slopes, strict=True):
            sums[name] += slope
            squares[name] += slope.double().square().sum().item()
    means = {name: (total / n_batches).square().sum().item() for name, total in sums.items()}
    for part in parts:
        names = [name for name in trained if in_part(name, part)]
        if not names:
            continue
        mean = sum(means[name] for name in names)
        scatter = sum(squares[name] for name in names) - n_batches * mean
        variance = scatter / (n_batches - 1)  # of the gradient of a batch
        yield {
            "part": part,
            "loss": loss,
            "squared_mean": mean - variance / n_batches,
            "variance": variance * BATCH,
        }


@measure("sharpness", per="state")
def sharpness(
    state: State,
    *,
    n_sequences: int = 2048,
    n_products: int = 12,
    without: tuple[str, ...] = ("labels",),
) -> Iterator[Row]:
    """Largest eigenvalue of the loss's Hessian in the metric of the optimiser.

    The label embedding is left out: most of its rows are in no sequence of a sample, and their
    second moments are near 0, so that the eigenvalue would be one of a row that is, divided by the
    size of the sample.

    With Adam the metric divides by sqrt(second moment) + epsilon (Cohen et al. 2022, arXiv
    2207.14484); with sgd it is Euclidean.  `of_edge` is the eigenvalue over the largest that is
    stable at the run's learning rate and momentum: (2 + 2 beta1) / ((1 - beta1) rate) for Adam.
    `error` bounds the distance to an eigenvalue.  Further columns: the share of each part of the
    network in the squared eigenvector.  Without a second moment, at step 0, there is no row.
    """
    optim = state.config.optim
    is_adam = optim.algorithm != "sgd"
    if is_adam and state.step == 0:
        return
    scales = {}
    for name, factor in state.rate_factors(without).items():
        scale = torch.full_like(state.parameters[name], factor)
        if is_adam:
            square = state.squares[name] / (1 - optim.beta2**state.step)
            scale /= square.sqrt() + optim.epsilon
        scales[name] = scale.sqrt()
    product = _hessian_product(state, scales, n_sequences)
    sizes, dtype = [scale.numel() for scale in scales.values()], state.parameters["W_U"].dtype
    start = torch.randn(sum(sizes), generator=torch.Generator().manual_seed(0), dtype=dtype)
    value, vector, error = largest_eigenvalue(product, start, n_products)
    own = zip(scales, vector.square().split(sizes), strict=True)
    weights = {name: each.sum().item() for name, each in own}
    beta = optim.beta1 if is_adam else optim.momentum
    # 1 / edge, which is 0 at a rate of 0
    of_edge = value * optim.rate(state.step) * (1 - beta if is_adam else 1) / (2 + 2 * beta)
    shares = {
        part: sum(weight for name, weight in weights.items() if in_part(name, part))
        for part in GROUPS
    }
    yield {"sharpness": value, "error": error, "of_edge": of_edge, **shares}


def _hessian_product(state: State, scales: Parameters, n_sequences: int) -> Product:
    """Return the product of a vector with the Hessian, scaled on both sides."""
    size = min(PIECE, n_sequences)
    batches = [*state.batches(max(1, n_sequences // size), size)]

    def product(vector: Tensor) -> Tensor:
        parts = vector.split([scale.numel() for scale in scales.values()])
        along = [part.view_as(s) * s for part, s in zip(parts, scales.values(), strict=True)]
        total = torch.zeros_like(vector)
        for batch in batches:
            own = {name: state.parameters[name].clone().requires_grad_() for name in scales}
            loss = state.loss(state.parameters | own, batch)
            slopes = torch.autograd.grad(loss, [*own.values()], create_graph=True)
            curved = torch.autograd.grad(slopes, [*own.values()], grad_outputs=along)
            scaled = [c * s for c, s in zip(curved, scales.values(), strict=True)]
            total += torch.cat([each.flatten() for each in scaled]) / len(batches)
        return total

    return product


def largest_eigenvalue(
    product: Product, start: Tensor, n_products: int
) -> tuple[float, Tensor, float]:
    """Return the largest eigenvalue of a symmetric matrix, its unit vector and an error.

    By Lanczos iteration, which orthogonalises each vector against all before.  The error is the
    norm of the residual: some eigenvalue lies as near.
    """
    basis, diagonal, beside = [start / start.norm()], [], []
    while True:
        following = product(basis[-1])
        diagonal.append(torch.dot(following, basis[-1]).item())
        for _ in range(2):  # once is not enough in float32
            for each in basis:
                following = following - torch.dot(following, each) * each
        beside.append(following.norm().item())
        scale = max(map(abs, (*diagonal, *beside)))
        if len(diagonal) == min(n_products, len(start)) or beside[-1] <= 1e-6 * scale:
            break
        basis.append(following / beside[-1])
    off = torch.tensor(beside[:-1], dtype=torch.float64)
    tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + (
        torch.diag(off, 1) + torch.diag(off, -1)
    )
    values, vectors = torch.linalg.eigh(tridiagonal)
    top = vectors[:, -1]
    vector = sum(weight * each for weight, each in zip(top.tolist(), basis, strict=True))
    assert isinstance(vector, Tensor)
    return float(values[-1]), vector, abs(beside[-1] * float(top[-1]))
