"""The dynamics of two cues: gradient flow, and training on batches.

The factors a, b, c and d are numbers: for targets of signs, entries along the target are equal and
stay so, under Adam too, and those at right angles to it have no gradient.

Flow.  With h = E[s q], k = E[r q] and a rate kappa of d over that of the other factors,

    a' = b c h,                d' = kappa b c k,
    b' = c (a h + d k),        c' = b (a h + d k).

b^2 - c^2 and a^2 + d^2 / kappa - b^2 are conserved.

Training.  Cues and classes of a batch are drawn, so the variance of the gradient is that of
sequences over the batch size.  Each of `n_classes` has its own d, with a gradient only in batches
that contain the class.  With `spread`, the gradient of a sequence is multiplied by 1 + spread xi in
each entry of a factor, with independent standard normal xi: what one entry does for the overlap
depends on the sequence.  Entries then differ, so factors are vectors of `dims` entries.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coopetition.dynamics.optimisers import Optimiser, take_step
from coopetition.model.two_cues import TwoCues
from coopetition.tools.checks import check_int, check_number, check_real_array
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]


def strengths(states: Array) -> tuple[Array, Array]:
    """Return x (...) and y (..., n_classes) of states (..., 3 + n_classes): a, b, c and each d."""
    a, b, c = (states[..., k] for k in range(3))
    return a * b * c, (b * c)[..., None] * states[..., 3:]


def accuracy_curves(cues: TwoCues, states: Array) -> dict[str, Array]:
    """Return the mean accuracies over classes, along states (n, 3 + n_classes)."""
    x, y = strengths(states)
    return {name: each.mean(-1) for name, each in cues.accuracies(x[:, None], y).items()}


def velocity(cues: TwoCues, state: Array, kappa: float = 1.0) -> Array:
    """Return the velocity of (a, b, c, d) in the flow."""
    a, b, c, d = state
    m = cues.moments(a * b * c, d * b * c)
    both = a * m.context + d * m.memory
    return np.array([b * c * m.context, c * both, b * both, kappa * b * c * m.memory])


def flow(
    cues: TwoCues,
    start: ArrayLike,
    times: ArrayLike,
    *,
    kappa: float = 1.0,
    rtol: float = 1e-9,
) -> Array:
    """Return the states (n, 4) of the flow from (a, b, c, d) at rising times (n,) from 0."""
    from scipy.integrate import solve_ivp

    at = check_real_array("times", times)
    solution = solve_ivp(
        lambda _, state: velocity(cues, state, kappa),
        (0.0, float(at[-1])),
        check_real_array("start", start),
        method="LSODA",
        t_eval=at,
        rtol=rtol,
        atol=1e-12,
    )
    return solution.y.T


def train(
    cues: TwoCues,
    start: ArrayLike,
    optimiser: Optimiser,
    *,
    batch: int,
    n_steps: int,
    every: int = 1,
    n_classes: int = 1,
    kappa: float = 1.0,
    dims: int = 1,
    spread: float = 0.0,
    seed: int = 0,
) -> tuple[NDArray[np.int64], Array]:
    """Return steps (n,) and states (n, 3 + n_classes) of training on batches, every so many steps.

    start : a, b, c, and the d of all classes, or of each
    kappa : rate of each d, relative to that of the other factors
    dims, spread : entries of a factor, and the noise of their gradients; see the module
    """
    from coopetition.tools.compiled_code import ensure_compiled

    n_steps, every = check_int("n_steps", n_steps, 1), check_int("every", every, 1)
    n_classes, dims = check_int("n_classes", n_classes, 1), check_int("dims", dims, 1)
    state = check_real_array("start", start)
    if len(state) == 4:
        state = np.append(state[:3], np.full(n_classes, state[3]))
    if len(state) != 3 + n_classes:
        raise UsageError(
            f"start has {len(state)} numbers, and there are {n_classes} classes; give a, b, c, and "
            "d or the d of each class"
        )
    x = np.repeat(state[:, None], dims, axis=1) / dims**0.5
    rates = np.where(np.arange(len(x)) < 3, 1.0, kappa)[:, None]
    steps = np.arange(0, n_steps + 1, every)
    states = np.empty((len(steps), len(x)))
    optimiser, batch = Optimiser(*map(float, optimiser)), check_int("batch", batch, 1)
    noise, rng = (cues.sigma, cues.nu, check_number("spread", spread)), np.random.default_rng(seed)
    arguments = x, rates, noise, optimiser, batch, every, rng, states
    ensure_compiled(_training_kernel(), "training on two cues", *arguments)(*arguments)
    return steps, states


def train_states(
    x: Any,
    rates: Any,
    noise: Any,
    optimiser: Optimiser,
    batch: int,
    every: int,
    rng: Any,
    states: Any,
) -> None:
    """Fill states (n, 3 + n_classes) by training from x (3 + n_classes, dims), which is changed.

    noise : sigma, nu, spread
    """  # fmt: skip
    sigma, nu, spread = noise
    n, dims = x.shape
    gradient, first, second = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    slope, square = np.zeros(n), np.zeros(n)  # of overlaps: sums over the batch
    overlap = states[0]
    for k in range(every * (len(states) - 1) + 1):
        overlap = x.sum(axis=1) / np.sqrt(dims)
        if k % every == 0:
            states[k // every] = overlap
        a, b, c = overlap[0], overlap[1], overlap[2]
        slope[:] = 0.0
        square[:] = 0.0
        for _ in range(batch):
            row = 3 + int((n - 3) * rng.random())
            d = overlap[row]
            s, r = 1 + sigma * rng.standard_normal(), 1 + nu * rng.standard_normal()
            share = -1 / (1 + np.exp(b * c * (a * s + d * r))) / batch
            both = (a * s + d * r) * share
            for f, value in ((0, b * c * s * share), (1, c * both), (2, b * both)):
                slope[f] += value
                square[f] += value * value
            slope[row] += b * c * r * share
            square[row] += (b * c * r * share) ** 2
        for f in range(n):
            gradient[f] = slope[f] / np.sqrt(dims)
            if spread > 0 and square[f] > 0:
                deviation = spread * np.sqrt(square[f] / dims)
                for i in range(dims):
                    gradient[f, i] += deviation * rng.standard_normal()
        take_step(x, gradient, first, second, k, rates, optimiser)


@cache
def _training_kernel() -> Any:
    """Return `train_states` as a function of numba, which is slow to import."""
    from numba.extending import register_jitable

    from coopetition.tools.compiled_code import NUMPY, jit

    register_jitable(**NUMPY)(take_step)
    return jit(train_states)
