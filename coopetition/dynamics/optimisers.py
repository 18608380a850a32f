"""Optimisers of the two models: descent, momentum and Adam, with noise of the gradient.

A run of the minimal model by an optimiser works on the entries of its vectors, because Adam divides
each entry of the gradient by its own root mean square and so leaves the plane of a factor and its
target: the reduction to overlaps holds for descent and momentum alone.  Adam commutes with
permutations of entries and with changes of their signs, so entries that start equal up to a common
sign of initial value and target stay equal, and `merge_entries` keeps one of each kind with its
count.  Vectors of signs reduce to two numbers a factor or fewer; vectors of different entries, such
as random normal ones, do not reduce.

The gradient of a batch has independent normal noise in each entry, of variance `noise`^2 / batch;
noise separates merged entries, so it needs the full vectors.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.trajectory import Status, Trajectory, build_trajectory, make_problem
from coopetition.model.graph import Model
from coopetition.model.initial_state import InitialState
from coopetition.model.reduced import State
from coopetition.tools.checks import check_int, check_number

Array = NDArray[np.float64]


class Optimiser(NamedTuple):
    """An optimiser with its numbers; `descent`, `momentum` and `adam` make one.

    rate : the learning rate
    beta1 : decay of the mean of gradients; without `beta2`, of their sum
    beta2 : decay of the mean of squared gradients; negative: gradients are not divided by its root
    epsilon : added to the root
    """

    rate: float
    beta1: float = 0.0
    beta2: float = -1.0
    epsilon: float = 0.0


def descent(rate: float) -> Optimiser:
    """Return gradient descent."""
    return Optimiser(rate)


def momentum(rate: float, decay: float = 0.9) -> Optimiser:
    """Return gradient descent with momentum: velocity = decay x velocity + gradient."""
    return Optimiser(rate, decay)


def adam(rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimiser:
    """Return Adam (Kingma and Ba 2015)."""
    return Optimiser(rate, beta1, beta2, epsilon)


def take_step(
    x: Any, gradient: Any, first: Any, second: Any, n_done: int, rates: Any, optimiser: Optimiser
) -> None:
    """Update entries x and both moments in place, after `n_done` steps.

    rates : of each entry, relative to the optimiser's
    """
    rate, beta1, beta2, epsilon = optimiser
    if beta2 < 0:
        first[:] = beta1 * first + gradient
        x[:] = x - rate * rates * first
    else:
        first[:] = beta1 * first + (1 - beta1) * gradient
        second[:] = beta2 * second + (1 - beta2) * gradient * gradient
        n = n_done + 1
        scale = rate / (1 - beta1**n)
        x[:] = x - scale * rates * first / (np.sqrt(second / (1 - beta2**n)) + epsilon)


def merge_entries(draw: InitialState) -> tuple[InitialState, dict[str, Array]]:
    """Return a draw with one entry for each kind, and how many entries are of that kind.

    Entries are of one kind if they have the same initial value and target, up to a common sign.
    """
    initial, target, counts = {}, {}, {}
    for name, goal in draw.target.items():
        pairs = np.stack([draw.initial[name], goal])
        pairs *= np.where((goal < 0) | ((goal == 0) & (pairs[0] < 0)), -1.0, 1.0)
        kinds, n = np.unique(pairs, axis=1, return_counts=True)
        initial[name], target[name] = kinds
        counts[name] = n.astype(float)
    return InitialState(initial, target, f"{draw.source}, equal entries merged"), counts


def optimise(
    model: Model,
    draw: InitialState,
    optimiser: Optimiser,
    *,
    n_steps: int,
    every: int = 1,
    noise: float = 0.0,
    batch: float = 1.0,
    seed: int = 0,
    merge: bool = False,
) -> Trajectory:
    """Return a run of the minimal model by an optimiser; time is steps x rate.

    every : steps from one sample of the trajectory to the next
    noise : standard deviation of an entry of one sequence's gradient;  seed : of this noise
    merge : work on merged entries, which is exact without noise (`merge_entries`)
    """
    n_steps, every = check_int("n_steps", n_steps, 1), check_int("every", every, 1)
    deviation = check_number("noise", noise) / check_number("batch", batch, positive=True) ** 0.5
    problem = make_problem(model, draw)
    rng = np.random.default_rng([seed, 1])  # other numbers than those of a random draw
    counts = {name: np.ones(length) for name, length in draw.dims.items()}
    if merge:
        draw, counts = merge_entries(draw)
    entries = _Entries(model, draw, counts)
    x, rates = entries.initial.copy(), entries.spread(model.rates)
    first, second = np.zeros_like(x), np.zeros_like(x)
    times, states, status = [], [], Status.LIMIT
    for k in range(n_steps + 1):
        state, aside = entries.reduce(x)
        if k % every == 0 or k == n_steps:
            times.append(k * optimiser.rate)
            states.append(state.entries)
        slope = problem.gradient(state)
        if not np.isfinite(slope.entries).all():
            status = Status.DIVERGED
            break
        gradient = entries.spread(slope.overlap) * entries.direction
        gradient += entries.spread(problem.transverse_curvature(state)) * aside
        if deviation:
            gradient += deviation * rng.standard_normal(len(x))
        take_step(x, gradient, first, second, k, rates, optimiser)
    settings = {"method": "optimiser", "optimiser": optimiser._asdict(), "draw": draw.source}
    settings |= {"noise": noise, "batch": batch, "seed": seed}
    return build_trajectory(problem, np.array(times), np.array(states).T, status, k, settings)


class _Entries:
    """The entries of all factors in one vector, each counted so many times.

    initial, direction : (n,) initial values, and targets of length 1
    """

    def __init__(self, model: Model, draw: InitialState, counts: dict[str, Array]) -> None:
        self.factors = model.factors
        lengths = [len(draw.target[f]) for f in model.factors]
        self._starts, self._lengths = np.cumsum([0, *lengths[:-1]]), lengths
        self.initial = np.concatenate([draw.initial[f] for f in model.factors])
        self._counts = np.concatenate([counts[f] for f in model.factors])
        target = np.concatenate([draw.target[f] for f in model.factors])
        self.direction = target / self.spread(np.sqrt(self._sum(target * target)))

    def spread(self, values: Any) -> Array:
        """Return a number of each factor for each of its entries."""
        return np.repeat(np.array(values, float), self._lengths)

    def reduce(self, x: Array) -> tuple[State, Array]:
        """Return the overlaps and orthogonal parts, and the orthogonal vectors (n,)."""
        overlap = self._sum(x * self.direction)
        aside = x - self.spread(overlap) * self.direction
        orthogonal = np.sqrt(self._sum(aside * aside))
        return State(self.factors, overlap.tolist(), orthogonal.tolist()), aside

    def _sum(self, values: Array) -> Array:
        return np.add.reduceat(self._counts * values, self._starts)
