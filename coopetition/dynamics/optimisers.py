"""Optimisers of the two models: descent, momentum and Adam, with noise of the gradient.

A run of the minimal model by an optimiser works on the entries of its vectors.  Adam divides each
entry of the gradient by its own root mean square, and so leaves the plane of a factor and its
target: the reduction to overlaps holds for descent and momentum alone.

The gradient of a batch has independent normal noise in each entry, of variance `noise`^2 / batch.
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
) -> Trajectory:
    """Return a run of the minimal model by an optimiser; time is steps x rate.

    every : steps from one sample of the trajectory to the next
    noise : standard deviation of an entry of one sequence's gradient;  seed : of this noise
    """
    n_steps, every = check_int("n_steps", n_steps, 1), check_int("every", every, 1)
    deviation = check_number("noise", noise) / check_number("batch", batch, positive=True) ** 0.5
    problem = make_problem(model, draw)
    rng = np.random.default_rng([seed, 1])  # other numbers than those of a random draw
    entries = _Entries(model, draw)
    x, rates = entries.initial.copy(), entries.spread(model.rates)
    first, second = np.zeros_like(x), np.zeros_like(x)
    times, states, status = [], [], Status.LIMIT
    for k in range(n_steps + 1):
        state, aside = entries.reduce(x)
        slope = problem.gradient(state)
        has_diverged = not np.isfinite(slope.entries).all()
        if k % every == 0 or k == n_steps or has_diverged:
            times.append(k * optimiser.rate)
            states.append(state.entries)
        if has_diverged:
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
    """The entries of all factors in one vector.

    initial, direction : (n,) initial values, and targets of length 1
    """

    def __init__(self, model: Model, draw: InitialState) -> None:
        self.factors = model.factors
        lengths = [len(draw.target[f]) for f in model.factors]
        self._starts, self._lengths = np.cumsum([0, *lengths[:-1]]), lengths
        self.initial = np.concatenate([draw.initial[f] for f in model.factors])
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
        return np.add.reduceat(values, self._starts)
