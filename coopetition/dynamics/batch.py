"""Many problems of one model at once: different draws, parameters and lengths; their descent.

A random problem needs no vectors: for standard normal targets and initial values (times a scale),
an overlap is normal, an orthogonal part is chi distributed with one degree of freedom less than the
factor's length, and a target's norm is chi distributed with the length itself.

Descent is compiled once a machine for each structure of a model.  Source is generated from
`Symbolic`, with common subexpressions computed once, and those of parameters once a problem.
Problems go in blocks of `LANES`, each entry of a block's state in an array of its own, so that the
compiler turns the loop over a block into vector instructions; blocks are shared among the cores.
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
from coopetition.model.initial_state import InitialState, canonical_draw
from coopetition.model.reduced import Problem, State
from coopetition.model.symbolic import Symbolic
from coopetition.tools.checks import check_number
from coopetition.tools.compiled_code import ensure_compiled, jit_source
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]
LANES = 32  # problems in a block: a few vector registers for each number of the state
ROWS = ("lengths", "norms", "overlap", "orthogonal")


@dataclass(frozen=True, slots=True, eq=False)
class ProblemBatch:
    """Problems of one model, as arrays with an entry for each problem.

    lengths, norms, overlap, orthogonal : (n_factors, n) dimension, norm of the target, and initial
        state of each factor, in the model's order
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
        """Number of problems."""
        return self.overlap.shape[1]

    @property
    def problem(self) -> Problem:
        """All problems as one, with arrays in place of numbers."""
        names = self.model.factors
        lengths, norms = (
            dict(zip(names, rows, strict=True)) for rows in (self.lengths, self.norms)
        )
        start = State(names, list(self.overlap), list(self.orthogonal))
        return Problem.from_numbers(
            self.model, lengths, norms, start=start, parameters=self.parameters
        )

    @classmethod
    def from_draws(cls, model: Model, draws: Sequence[InitialState]) -> Self:
        """Return a problem for each initial state, all with the model's own parameters."""
        problems = [Problem(model, draw) for draw in draws]
        return cls(
            model,
            np.array([[float(p.dims[f]) for p in problems] for f in model.factors]),
            np.array([[p.norms[f] for p in problems] for f in model.factors]),
            np.array([p.start.overlap for p in problems]).T,
            np.array([p.start.orthogonal for p in problems]).T,
            {},
        )

    @classmethod
    def concatenate(cls, parts: "Sequence[ProblemBatch]") -> Self:
        """Return the problems of several batches of one model, in order."""
        first = parts[0]
        rows = {
            name: np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ROWS
        }
        parameters = {
            name: np.concatenate([part.parameters[name] for part in parts])
            for name in first.parameters
        }
        return cls(first.model, **rows, parameters=parameters)

    def single(self, k: int) -> tuple[Model, InitialState]:
        """Return problem `k` as `solve` takes it."""
        parameters = {name: float(values[k]) for name, values in self.parameters.items()}
        lengths, norms, overlap, orthogonal = (
            dict(zip(self.model.factors, getattr(self, name)[:, k].tolist(), strict=True))
            for name in ROWS
        )
        dims = {f: int(length) for f, length in lengths.items()}
        draw = canonical_draw(dims, norms, overlap, orthogonal)
        return self.model.replace(**parameters), draw


def random_batch(
    model: Model,
    dims: Mapping[str, ArrayLike],
    n: int,
    rng: np.random.Generator,
    *,
    initial_scale: ArrayLike = 1.0,
    parameters: Mapping[str, ArrayLike] | None = None,
) -> ProblemBatch:
    """Return `n` random problems; dimensions and parameters are one number each, or n.

    They have the distribution of `random_draw` but other numbers.  `initial_scale` is one number,
    or any array that broadcasts to (n_factors, n).
    """
    model.check_factors(dims)
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
    degrees = np.where(lengths > 1, lengths - 1, 1)
    orthogonal = np.where(lengths > 1, scale * np.sqrt(rng.chisquare(degrees)), 0.0)
    values = {name: _spread(value, n) for name, value in (parameters or {}).items()}
    model.parameter_values(values)  # raises for an unknown name
    for name, value in values.items():
        if not (np.isfinite(value) & (value >= 0)).all():
            raise UsageError(f"a value of {name} is negative or not finite; choose at least 0")
    return ProblemBatch(model, lengths, norms, overlap, orthogonal, values)


def _spread(values: ArrayLike, n: int) -> Array:
    return np.broadcast_to(np.asarray(values, float), (n,)).copy()


@dataclass(frozen=True, slots=True, eq=False)
class BatchSolution:
    """Solutions of a batch.

    times : (n_samples,) flow time: steps x step size
    losses : name -> (n_samples, n) each mechanism's loss, each cost, and `total`
    overlap, orthogonal : (n_factors, n) the last state
    """

    times: Array
    losses: dict[str, Array]
    overlap: Array
    orthogonal: Array


def descend_batch(
    batch: ProblemBatch, samples_at: ArrayLike, *, step: float = 1.0
) -> BatchSolution:
    """Descend every problem, and keep the losses after the steps `samples_at` (ascending).

    The numbers are those of `solve` up to rounding: 1e-9 over the published 16,000 steps.  A
    problem that diverges has losses that are not finite from there on.  Memory: 16 bytes for each
    problem, loss and sample.
    """
    steps = np.asarray(samples_at)
    waits = np.diff(steps, prepend=0)
    if not (len(steps) and steps.dtype.kind == "i" and (waits >= 0).all()):
        raise UsageError("samples_at must be ascending whole numbers of at least 0")
    step = check_number("step", step, positive=True)
    model, problem = batch.model, batch.problem
    # one kernel serves a model with any numbers
    structure = replace(model.replace(**dict.fromkeys(model.parameters, 1.0)), rates=())
    state = _to_blocks(np.concatenate([batch.overlap, batch.orthogonal]))
    inverse_sizes = [1 / size for size in problem.sizes.values()]
    rows = [_spread(row, batch.n) for row in _parameters(inverse_sizes, problem, model.rates)]
    samples = np.empty((len(state), len(steps), len(model.parts) + 1, LANES))
    _run_kernel(structure, state, _to_blocks(np.stack(rows)), samples, waits, step)
    losses, end = _from_blocks(samples, batch.n), _from_blocks(state, batch.n)
    names = [*(part.name for part in model.parts), "total"]
    n_factors = len(model.factors)
    return BatchSolution(
        step * steps,
        {name: losses[:, k] for k, name in enumerate(names)},
        end[:n_factors],
        end[n_factors:],
    )


def sample_steps(n_steps: int, n_samples: int) -> NDArray[np.int64]:
    """Return `n_samples` + 1 steps from 0 to `n_steps`, evenly spread, or all steps."""
    return np.unique(np.linspace(0, n_steps, min(n_steps, n_samples) + 1).astype(np.int64))


def _to_blocks(rows: Array) -> Array:
    """Return (n_rows, n) as (blocks, n_rows, LANES); the last problem fills up the last block."""
    n_rows, n = rows.shape
    n_blocks = math.ceil(n / LANES)
    padded = np.pad(rows, ((0, 0), (0, n_blocks * LANES - n)), mode="edge")
    return np.ascontiguousarray(padded.reshape(n_rows, n_blocks, LANES).transpose(1, 0, 2))


def _from_blocks(blocks: Array, n: int) -> Array:
    """Return (blocks, ..., LANES) as (..., n)."""
    return np.moveaxis(blocks, 0, -2).reshape(*blocks.shape[1:-1], -1)[..., :n]


def _parameters(inverse_sizes: Iterable[Any], problem: Problem, rates: Iterable[Any]) -> list[Any]:
    """Return the parameters of a kernel, in its order, as numbers, arrays or symbols.

    Sizes enter by their inverses: a division a step would cost more than all the rest.
    """
    named = (problem.targets, problem.mu, problem.alpha)
    return [*inverse_sizes, *(value for values in named for value in values.values()), *rates]


def _run_kernel(
    structure: Model,
    state: Array,
    parameters: Array,
    samples: Array,
    waits: NDArray[np.int64],
    step: float,
) -> None:
    """Take steps in place, sharing out the blocks among the cores.

    state : (blocks, entries, LANES);  parameters : (blocks, rows, LANES)
    samples : (blocks, n, losses, LANES), filled, each after `waits` (n,) more steps
    """
    graph = ", ".join(f"{m.name} = {' '.join(m.factors)}" for m in structure.mechanisms)
    what = f"gradient descent of the model {graph}"
    run = ensure_compiled(_kernel(structure), what, state, parameters, samples, waits, step)
    n_threads = min(config.NUMBA_NUM_THREADS, len(state))  # type: ignore[attr-defined]
    bounds = np.linspace(0, len(state), n_threads + 1).astype(int)

    def run_share(first: int, last: int) -> None:
        share = slice(first, last)
        run(state[share], parameters[share], samples[share], waits, step)

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(run_share, bounds[:-1], bounds[1:]))


@lru_cache(maxsize=32)
def _kernel(structure: Model) -> Any:
    """Return the function `run` of `SOURCE` for a model; its numbers are parameters."""
    symbolic = Symbolic(structure)
    inverses = {
        size: 1 / sp.Symbol(f"inverse_{size}", positive=True)
        for size in symbolic.problem.sizes.values()
    }
    velocity = [speed.xreplace(inverses) for speed in symbolic.velocity.values()]
    losses = [loss.xreplace(inverses) for loss in symbolic.losses.values()]
    inverse_sizes = [1 / inverse for inverse in inverses.values()]
    parameters = _parameters(inverse_sizes, symbolic.problem, symbolic.rate.values())

    steps, speeds = sp.cse(velocity, sp.numbered_symbols("s"), order="none")
    sums, values = sp.cse(losses, sp.numbered_symbols("l"), order="none")
    constant, hoisted = set(parameters), []
    for name, value in steps:
        if value.free_symbols <= constant:  # once a problem, not once a step
            constant.add(name)
            hoisted.append((name, value))
    steps = [pair for pair in steps if pair not in hoisted]

    code, state = sp.pycode, symbolic.state
    names = [*parameters, *(name for name, _ in hoisted)]
    reads = [f"{x} = {x}_[lane]" for x in [*state, *names]]
    source = SOURCE.format(
        load=_indent(2, [f"{x}_ = state[block, {i}].copy()" for i, x in enumerate(state)]),
        load_parameters=_indent(
            2, [f"{p}_ = parameters[block, {i}].copy()" for i, p in enumerate(parameters)]
        ),
        allocate=_indent(2, [f"{name}_ = empty({LANES})" for name, _ in hoisted]),
        prepare=_indent(
            3,
            [f"{p} = {p}_[lane]" for p in parameters]
            + [f"{name} = {name}_[lane] = {code(value)}" for name, value in hoisted],
        ),
        update=_indent(
            5,
            reads
            + [f"{name} = {code(value)}" for name, value in steps]
            + [
                f"{x}_[lane] = {x} + step * ({code(v)})" for x, v in zip(state, speeds, strict=True)
            ],
        ),
        measure=_indent(
            4,
            reads
            + [f"{name} = {code(value)}" for name, value in sums]
            + [f"samples[block, k, {i}, lane] = {code(v)}" for i, v in enumerate(values)],
        ),
        store=_indent(2, [f"state[block, {i}] = {x}_" for i, x in enumerate(state)]),
        lanes=LANES,
    )
    # "contract": a product and a sum may become one instruction, and no other liberty is taken
    return jit_source(source, "run", nogil=True, fastmath={"contract"})


def _indent(depth: int, lines: list[str]) -> str:
    return "\n".join("    " * depth + line for line in lines)


SOURCE = """\
from numpy import empty

def run(state, parameters, samples, waits, step):
    for block in range(state.shape[0]):
{load}
{load_parameters}
{allocate}
        for lane in range({lanes}):
{prepare}
        for k in range(samples.shape[1]):
            for _ in range(waits[k]):
                for lane in range({lanes}):
{update}
            for lane in range({lanes}):
{measure}
{store}
"""
