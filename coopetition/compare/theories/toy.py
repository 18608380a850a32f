"""The toy as a theory that can be fitted, in numbers without dimensions.

With v = u/n and s = w/n (overlap and orthogonal part over the target's norm) and targets of typical
norm, n^2 = length, a mechanism's loss is [1 - 2 V + prod(v^2 + s^2)] / 2 with V the product of its
v: no length and no norm is left in it.  They are left in how fast each factor moves, at 1/n^2.

What of this can be seen in curves?  The losses hold v_a and v_d only as products with v_b v_c, and
v_a v_d with alpha: measured from other units, a, d -> z a, z d and b -> b/z, the curves are the
same if the rates of a and d are z^2 times theirs, that of b 1/z^2, and alpha 1/z^4.  Likewise b
against c.  With the unit of time, three of the four rates can so be set to 1; what is left is
n_d^2 / n_a^2, which is 8 as published, and no matter of units.  Nor do the curves tell b and c
apart: b is the one that starts with the larger overlap, and c is measured by it.

Left out of the fit: mu2 = 0, and orthogonal parts but d's: the run starts collapsed, see
docs/theory.md.

The minimal model of two strategies that share b and c and compete by a and d.

The toy without the cost: sharing alone.

The toy with b and c split in two, which start alike: rivalry alone.

The toy with mu1 = 0: ICL without an irreducible error, which stays.
"""

import math
from collections.abc import Mapping

import sympy as sp

from coopetition.compare.sensitivities import Flow
from coopetition.compare.theory import Parameter
from coopetition.model.graph import Model
from coopetition.model.presets import (
    CIWL,
    ICL,
    named_dims,
    no_competition,
    no_sharing,
    two_strategies,
)
from coopetition.model.reduced import Problem, State

UNIT = 20  # of flow time: then a factor of the published length 20 moves at rate 1

ALPHA = Parameter(name="alpha", what="strength of the competition", lower=1e-3, upper=30.0)
MU1 = Parameter(name="mu1", what="ICL's irreducible error", lower=1e-4, upper=10.0)
A = Parameter(name="a", what="overlap of a at the start", lower=-0.9, upper=0.9, logarithmic=False)
B = Parameter(name="b", what="overlap of b at the start", lower=1e-3, upper=1.4)
C = Parameter(name="c", what="overlap of c over that of b at the start", lower=1e-3, upper=1.0)
D = Parameter(name="d", what="overlap of d at the start", lower=1e-4, upper=0.8)
D_ORTHOGONAL = Parameter(
    name="d_orthogonal", what="orthogonal part of d at the start", lower=1e-3, upper=1.05
)
STARTS = {"a": ("a",), "b": ("b",), "c": ("b", "c"), "d": ("d",)}
PACE = Parameter(name="pace", what="flow time over 20", lower=1.5, upper=400.0, per_time=1)


def toy_theory(
    name: str,
    title: str,
    model: Model,
    parameters: tuple[Parameter, ...],
    starts: Mapping[str, tuple[str, ...]],
    *,
    source: str = "Singh et al. 2025, arXiv 2503.05631",
) -> Flow:
    """A model of two strategies as a theory.

    Parameters
    ----------
    model : its weights are those of the same name among `parameters`, or its own
    starts : factor -> the parameters whose product is its overlap at the start; 0 without
    """
    symbols = {each.name: sp.Symbol(each.name, real=True) for each in parameters}
    dims = named_dims(model)
    norms = {factor: sp.sqrt(length) for factor, length in dims.items()}
    n = len(model.factors)
    x = sp.symbols(f"x:{2 * n}", real=True)
    at = dict(zip(model.factors, zip(x[:n], x[n:], strict=True), strict=True))
    state = State(
        model.factors,
        [norms[f] * v for f, (v, _) in at.items()],
        [norms[f] * s for f, (_, s) in at.items()],
    )
    known = {name: symbols[name] for name in ("alpha", "mu1") if name in symbols}
    problem = Problem.from_numbers(model, dims, norms, start=state, parameters=known)
    speeds = problem.velocity(state).entries
    each_norm = [norms[f] for f in model.factors] * 2
    pace = symbols["pace"] * UNIT
    losses = problem.losses(state)
    learnt = {
        m: math.prod(at[f][0] for f in model.mechanism(m).factors)
        if m in (each.name for each in model.mechanisms)
        else sp.Integer(0)
        for m in (ICL, CIWL)
    }
    nothing = sp.Rational(1, 2)  # a mechanism's loss before it has learnt anything
    overlaps = [
        math.prod((symbols[each] for each in starts[f]), start=sp.Integer(1))
        if f in starts
        else sp.Integer(0)
        for f in model.factors
    ]
    orthogonal = [
        symbols["d_orthogonal"] if f == "d" and "d_orthogonal" in symbols else sp.Integer(0)
        for f in model.factors
    ]
    return Flow(
        name=name,
        title=title,
        source=source,
        parameters=parameters,
        state=x,
        symbols=tuple(symbols.values()),
        start=(*overlaps, *orthogonal),
        velocity=tuple(pace * speed / norm for speed, norm in zip(speeds, each_norm, strict=True)),
        outputs={
            "train": losses["total"],
            ICL: losses.get(ICL, nothing),
            CIWL: losses.get(CIWL, nothing),
            "preference": learnt[ICL] - learnt[CIWL],
        },
    )


THEORY = toy_theory(
    "toy",
    "the minimal model",
    two_strategies(),
    (ALPHA, MU1, A, B, C, D, D_ORTHOGONAL, PACE),
    STARTS,
)


THEORY_TOY_NO_COMPETITION = toy_theory(
    "toy_no_competition",
    "the minimal model without competition",
    no_competition(),
    (MU1, A, B, C, D, D_ORTHOGONAL, PACE),
    STARTS,
)


THEORY_TOY_NO_SHARING = toy_theory(
    "toy_no_sharing",
    "the minimal model without sharing",
    no_sharing(),
    (ALPHA, MU1, A, B, C, D, D_ORTHOGONAL, PACE),
    STARTS | {"f": ("b",), "g": ("b", "c")},
)


THEORY_TOY_PERSISTENT = toy_theory(
    "toy_persistent",
    "the minimal model with mu1 = 0",
    two_strategies(mu1=0.0),
    (ALPHA, A, B, C, D, D_ORTHOGONAL, PACE),
    STARTS,
)
