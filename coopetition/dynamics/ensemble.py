"""Many problems of one model at once: different draws, mu, alpha, lengths.

A random problem needs no vectors.  For standard normal targets and initial values (times a scale),
an overlap is normal, an orthogonal part is chi distributed with one degree of freedom less than the
factor's length, and a target's norm chi distributed with the length itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coopetition.dynamics.kernels import descent_kernel, from_blocks, in_blocks, parameter_rows
from coopetition.model.declaration import Model, check_number
from coopetition.model.draws import Draw, canonical_draw
from coopetition.model.problem import Problem, State
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Problems of a model: one entry an array for each.

    model : the declaration that they share
    lengths, norms, overlap, orthogonal : (n_factors, n) each factor's dimension, norm of its
        target, and initial state, in the model's order
    parameters : (n,) values that differ from the model's, named as in `Model.replace`
    """

    model: Model
    lengths: Array
    norms: Array
    overlap: Array
    orthogonal: Array
    parameters: Mapping[str, Array]

    @property
    def n(self) -> int:
        """How many problems."""
        return self.overlap.shape[1]

    @property
    def problem(self) -> Problem:
        """All problems as one, with arrays in place of numbers."""
        names = self.model.factors
        lengths, norms = (
            dict(zip(names, rows, strict=True)) for rows in (self.lengths, self.norms)
        )
        start = State(names, list(self.overlap), list(self.orthogonal))
        return Problem.of_numbers(
            self.model, lengths, norms, start=start, parameters=self.parameters
        )

    @classmethod
    def of_draws(cls, model: Model, draws: Sequence[Draw]) -> Self:
        """A problem for each draw, all with the model's own parameters."""
        problems = [Problem(model, draw) for draw in draws]
        lengths, norms = (
            np.array([[float(named[f]) for named in each] for f in model.factors])
            for each in ([p.dims for p in problems], [p.norms for p in problems])
        )
        overlap, orthogonal = (
            np.array(rows).T
            for rows in (
                [p.start.overlap for p in problems],
                [p.start.orthogonal for p in problems],
            )
        )
        return cls(model, lengths, norms, overlap, orthogonal, {})

    @classmethod
    def joined(cls, parts: "list[Ensemble]") -> Self:
        """The problems of several ensembles of one model, in order."""
        first = parts[0]
        return cls(
            first.model,
            np.concatenate([part.lengths for part in parts], axis=1),
            np.concatenate([part.norms for part in parts], axis=1),
            np.concatenate([part.overlap for part in parts], axis=1),
            np.concatenate([part.orthogonal for part in parts], axis=1),
            {
                name: np.concatenate([part.parameters[name] for part in parts])
                for name in first.parameters
            },
        )

    def single(self, k: int) -> tuple[Model, Draw]:
        """Problem `k` as `solve` takes it."""
        model = self.model
        parameters = {name: float(values[k]) for name, values in self.parameters.items()}
        lengths = {f: int(n) for f, n in zip(model.factors, self.lengths[:, k], strict=True)}
        norms, overlap, orthogonal = (
            dict(zip(model.factors, rows[:, k].tolist(), strict=True))
            for rows in (self.norms, self.overlap, self.orthogonal)
        )
        return model.replace(**parameters), canonical_draw(lengths, norms, overlap, orthogonal)


def random_ensemble(
    model: Model,
    dims: Mapping[str, ArrayLike],
    n: int,
    rng: np.random.Generator,
    *,
    initial_scale: ArrayLike = 1.0,
    parameters: Mapping[str, ArrayLike] | None = None,
) -> Ensemble:
    """`n` random problems; dimensions and parameters may be one number or n.

    Their distribution is that of `random_draw`, not their numbers.  `initial_scale` is one number,
    or any array that spreads to (n_factors, n).
    """
    unknown = set(model.factors) ^ set(dims)
    if unknown:
        raise UsageError(f"the dimensions and the model disagree on the factors {sorted(unknown)}")
    lengths = np.stack([_spread(dims[f], n) for f in model.factors])
    scale = np.broadcast_to(np.asarray(initial_scale, float), lengths.shape)
    if not (np.isfinite(lengths) & (lengths >= 1) & (lengths == np.round(lengths))).all():
        raise UsageError(f"dimensions are {lengths.min():g} and more; choose whole numbers above 0")
    if n < 1:
        raise UsageError(f"n={n} problems; choose at least 1")
    if not (np.isfinite(scale) & (scale >= 0)).all():
        raise UsageError("an initial scale is negative or not finite; choose numbers of at least 0")
    norms = np.sqrt(rng.chisquare(lengths))
    overlap = scale * rng.standard_normal(lengths.shape)
    # a factor of length 1 has no orthogonal part; numpy wants a positive number of degrees
    freedom = np.where(lengths > 1, lengths - 1, 1)
    orthogonal = np.where(lengths > 1, scale * np.sqrt(rng.chisquare(freedom)), 0.0)
    spread = {name: _spread(values, n) for name, values in (parameters or {}).items()}
    model.assigned(spread)
    for name, values in spread.items():
        if not (np.isfinite(values) & (values >= 0)).all():
            raise UsageError(f"a value of {name} is negative or not finite; choose at least 0")
    return Ensemble(model, lengths, norms, overlap, orthogonal, spread)


def _spread(values: ArrayLike, n: int) -> Array:
    return np.broadcast_to(np.asarray(values, float), (n,)).copy()


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleRun:
    """Solutions of an ensemble.

    times : (n_samples,) flow time: steps x step size
    losses : name -> (n_samples, n) each mechanism's loss, each cost, and `total`
    overlap, orthogonal : (n_factors, n) the last state
    """

    times: Array
    losses: dict[str, Array]
    overlap: Array
    orthogonal: Array


def descend_ensemble(
    ensemble: Ensemble, samples_at: ArrayLike, *, step: float = 1.0
) -> EnsembleRun:
    """Gradient descent of every problem, with losses kept after the steps `samples_at` (ascending).

    The same numbers as `solve` up to rounding: 1e-9 over the published 16,000 steps.  A problem
    that diverges has losses that are not finite from there on.  Memory: 8 bytes for each problem,
    loss and sample, twice.
    """
    steps = np.asarray(samples_at)
    waits = np.diff(steps, prepend=0)
    if not (len(steps) and steps.dtype.kind == "i" and (waits >= 0).all()):
        raise UsageError("samples_at must be ascending whole numbers of at least 0")
    step = check_number("step", step, positive=True)
    model, n = ensemble.model, ensemble.n
    kernel = descent_kernel(_structure(model))
    state = in_blocks(np.concatenate([ensemble.overlap, ensemble.orthogonal]))
    problem = ensemble.problem
    inverse_sizes = (1 / size for size in problem.sizes.values())
    rows = parameter_rows(inverse_sizes, problem, model.rates)
    parameters = in_blocks(np.stack([_spread(row, n) for row in rows]))
    samples = np.empty((len(state), len(steps), len(kernel.losses), state.shape[-1]))
    kernel(state, parameters, samples, waits, step)
    values = from_blocks(samples, n)
    end = from_blocks(state, n)
    return EnsembleRun(
        step * steps,
        {name: values[:, k] for k, name in enumerate(kernel.losses)},
        end[: len(model.factors)],
        end[len(model.factors) :],
    )


def sample_steps(n_steps: int, n_samples: int) -> NDArray[np.int64]:
    """Steps from 0 to `n_steps`, evenly spread: `n_samples` + 1 of them, or all there are."""
    return np.unique(np.linspace(0, n_steps, min(n_steps, n_samples) + 1).astype(np.int64))


def _structure(model: Model) -> Model:
    """The model without its numbers, so that one kernel serves all of them."""
    return replace(
        model,
        mechanisms=tuple(replace(m, mu=1.0) for m in model.mechanisms),
        costs=tuple(replace(c, alpha=1.0) for c in model.costs),
        rates=(),
    )
