"""Compiled gradient descent of many problems at once, generated from the symbolic model.

Compiled once a machine for each structure of a model (`coopetition.tools.machine_code`).  The
velocity is taken from `Symbolic`, its common subexpressions are computed once (those of the
parameters alone once per problem), and numba compiles the loop over time.  Problems go in blocks of
`LANES`, each entry of a block's state in an array of its own, so that the compiler turns the loop
over a block into vector instructions; blocks are shared out over the cores.
"""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numba.core import config
from numpy.typing import NDArray

from coopetition.model.declaration import Model
from coopetition.model.problem import Problem
from coopetition.model.symbolic import Expression, Symbolic
from coopetition.tools.machine_code import compiled, jit_source

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
        run = compiled(self.run, self.name, state, parameters, samples, waits, step)
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
