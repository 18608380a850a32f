"""Compiled gradient descent of many problems at once, generated from the symbolic model.

Compiled once a machine for each structure of a model (`coopetition.tools.compiled_code`).  The
velocity is taken from `Symbolic`, its common subexpressions are computed once (those of the
parameters alone once per problem), and numba compiles the loop over time.  Problems go in blocks of
`LANES`, each entry of a block's state in an array of its own, so that the compiler turns the loop
over a block into vector instructions; blocks are shared out over the cores.

Many problems of one model at once: different draws, mu, alpha, lengths.

A random problem needs no vectors.  For standard normal targets and initial values (times a scale),
an overlap is normal, an orthogonal part is chi distributed with one degree of freedom less than the
factor's length, and a target's norm chi distributed with the length itself.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
import sympy as sp
from numba.core import config
from numpy.typing import ArrayLike, NDArray

from coopetition.model.graph import Model
from coopetition.model.initial_state import Draw, canonical_draw
from coopetition.model.reduced import Problem, State
from coopetition.model.symbolic import Expression, Symbolic
from coopetition.tools.checks import check_number
from coopetition.tools.compiled_code import ensure_compiled, jit_source
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]
LANES = 32  # problems in a block: a few vector registers for each number of the state


@dataclass(frozen=True, slots=True)
class Kernel:
    """Descent for one sharing graph.

    name : of what it computes, for messages
    losses : names of the rows of the samples
    run : function of `jit` with the arguments of a call
    """

    name: str
    losses: tuple[str, ...]
    run: Any

    def __call__(
        self, state: Array, parameters: Array, samples: Array, waits: NDArray[np.int64], step: float
    ) -> None:
        """Take `step`s, sharing out the blocks over the cores.

        state : (blocks, entries, LANES), changed in place
        parameters : (blocks, rows, LANES), as `parameter_rows`
        samples : (blocks, n, losses, LANES), filled, each after `waits` (n,) more steps
        """
        run = ensure_compiled(self.run, self.name, state, parameters, samples, waits, step)
        n_threads = min(config.NUMBA_NUM_THREADS, len(state))  # type: ignore[attr-defined]
        bounds = np.linspace(0, len(state), n_threads + 1).astype(int)

        def share(first: int, last: int) -> None:
            of = slice(first, last)
            run(state[of], parameters[of], samples[of], waits, step)

        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(share, bounds[:-1], bounds[1:]))


def parameter_rows(
    inverse_sizes: Iterable[Any], problem: Problem, rates: Iterable[Any]
) -> list[Any]:
    """Parameters in the order in which a kernel takes them, as numbers, arrays or symbols.

    A division a step would cost more than the rest: sizes enter by their inverses.
    """
    own = (problem.targets, problem.mu, problem.alpha)
    return [*inverse_sizes, *(value for named in own for value in named.values()), *rates]


@lru_cache(maxsize=32)
def descent_kernel(model: Model) -> Kernel:
    """The kernel of a model's factors, mechanisms, costs and convention.

    Rates, mu and alpha are parameters, whatever the model's are.
    """
    symbolic = Symbolic(model)
    sizes = symbolic.problem.sizes
    inverse = {name: sp.Symbol(f"inverse_N_{name}", positive=True) for name in sizes}
    numbers = {size: 1 / inverse[name] for name, size in sizes.items()}
    velocity = [speed.xreplace(numbers) for speed in symbolic.velocity.values()]
    losses = {name: value.xreplace(numbers) for name, value in symbolic.losses.items()}
    parameters = parameter_rows(inverse.values(), symbolic.problem, symbolic.rate.values())
    source = _source(symbolic.state, velocity, list(losses.values()), parameters)
    # "contract": a product and a sum may become one instruction, the one liberty that is taken
    graph = ", ".join(f"{m.name} = {' '.join(m.factors)}" for m in model.mechanisms)
    name = f"gradient descent of the model {graph}"
    return Kernel(name, tuple(losses), jit_source(source, "run", nogil=True, fastmath={"contract"}))


def _source(
    state: list[sp.Symbol],
    velocity: list[Expression],
    losses: list[Expression],
    parameters: list[sp.Symbol],
) -> str:
    """Python source of a module with the function `run` (see `Kernel`)."""
    hoisted, steps, speeds = _eliminate(velocity, parameters, "s")
    _, sums, values = _eliminate(losses, [], "l")
    known = [*parameters, *(name for name, _ in hoisted)]
    reads = [f"{x} = {x}_[lane]" for x in [*state, *known]]
    update = [
        *reads,
        *(f"{name} = {sp.pycode(value)}" for name, value in steps),
        *(
            f"{x}_[lane] = {x} + step * ({sp.pycode(v)})"
            for x, v in zip(state, speeds, strict=True)
        ),
    ]
    measure = [
        *reads,
        *(f"{name} = {sp.pycode(value)}" for name, value in sums),
        *(f"samples[block, k, {i}, lane] = {sp.pycode(v)}" for i, v in enumerate(values)),
    ]
    prologue = [
        *(f"{p} = {p}_[lane]" for p in parameters),
        *(f"{name} = {name}_[lane] = {sp.pycode(value)}" for name, value in hoisted),
    ]
    lines = ["from numpy import empty", f"LANES = {LANES}", ""]
    lines += ["def run(state, parameters, samples, waits, step):"]
    lines += _indent(1, ["for block in range(state.shape[0]):"])
    lines += _indent(2, [f"{x}_ = state[block, {i}].copy()" for i, x in enumerate(state)])
    lines += _indent(2, [f"{p}_ = parameters[block, {i}].copy()" for i, p in enumerate(parameters)])
    lines += _indent(2, [f"{name}_ = empty(LANES)" for name, _ in hoisted])
    lines += _indent(2, ["for lane in range(LANES):"]) + _indent(3, prologue)
    lines += _indent(2, ["for k in range(samples.shape[1]):"])
    lines += _indent(3, ["for _ in range(waits[k]):"])
    lines += _indent(4, ["for lane in range(LANES):"]) + _indent(5, update)
    lines += _indent(3, ["for lane in range(LANES):"]) + _indent(4, measure)
    lines += _indent(2, [f"state[block, {i}] = {x}_" for i, x in enumerate(state)])
    return "\n".join(lines) + "\n"


Assignments = list[tuple[Expression, Expression]]


def _eliminate(
    expressions: list[Expression], parameters: list[sp.Symbol], prefix: str
) -> tuple[Assignments, Assignments, list[Expression]]:
    """Common subexpressions: those of parameters alone, the others, and what is left to compute."""
    assignments, rest = sp.cse(expressions, sp.numbered_symbols(prefix), order="none")
    constant = set(parameters)
    hoisted, remaining = [], []
    for name, value in assignments:
        if value.free_symbols <= constant:
            constant.add(name)
            hoisted.append((name, value))
        else:
            remaining.append((name, value))
    return hoisted, remaining, list(rest)


def _indent(depth: int, lines: list[str]) -> list[str]:
    return ["    " * depth + line for line in lines]


def in_blocks(rows: Array) -> Array:
    """(n_rows, n) numbers as (blocks, n_rows, LANES); the last problem fills up the last block."""
    n_rows, n = rows.shape
    n_blocks = math.ceil(n / LANES)
    padded = np.pad(rows, ((0, 0), (0, n_blocks * LANES - n)), mode="edge")
    return np.ascontiguousarray(padded.reshape(n_rows, n_blocks, LANES).transpose(1, 0, 2))


def from_blocks(blocks: Array, n: int) -> Array:
    """Inverse of `in_blocks` for n problems; axes between the first and the last are kept."""
    return np.moveaxis(blocks, 0, -2).reshape(*blocks.shape[1:-1], -1)[..., :n]


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
