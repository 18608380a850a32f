"""The toy and three variants as theories that can be fitted, in dimensionless form.

With v = u/n and s = w/n (overlap and orthogonal part over the target's norm) and targets of typical
norm, n^2 = length, a mechanism's loss is [1 - 2 V + prod(v^2 + s^2)] / 2 with V the product of its
v: lengths and norms remain only in the rate of each factor, 1/n^2.

Which of these rates can curves identify?  The losses contain v_a and v_d only in products with
v_b v_c, and v_a v_d with alpha.  If a, d -> z a, z d and b -> b/z, the curves stay the same if the
rates of a and d are multiplied by z^2, that of b by 1/z^2, and alpha by 1/z^4; likewise for b
against c.  With the unit of time, three of the four rates can be set to 1; what remains is
n_d^2 / n_a^2, which is 8 in the published setting.  Nor do the curves distinguish b from c: b is
the one that starts with the larger overlap, and c is measured relative to it.

Not fitted: mu2 = 0, and all orthogonal parts except that of d, since the run starts collapsed (see
docs/theory.md).
"""

import math
from collections.abc import Mapping

import sympy as sp

from coopetition.fitting.sensitivities import Flow
from coopetition.fitting.theory import Parameter
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

ALPHA = Parameter(name="alpha", description="strength of the competition", lower=1e-3, upper=30.0)
MU1 = Parameter(name="mu1", description="ICL's irreducible error", lower=1e-4, upper=10.0)
OTHERS = (
    Parameter(name="a", description="overlap of a at the start", lower=-0.9, upper=0.9,
              logarithmic=False),
    Parameter(name="b", description="overlap of b at the start", lower=1e-3, upper=1.4),
    Parameter(name="c", description="overlap of c over that of b at the start", lower=1e-3,
              upper=1.0),
    Parameter(name="d", description="overlap of d at the start", lower=1e-4, upper=0.8),
    Parameter(name="d_orthogonal", description="orthogonal part of d at the start", lower=1e-3,
              upper=1.05),
    Parameter(name="pace", description="speed of learning: flow time, divided by 20", lower=1.5,
              upper=400.0, per_time=1),
)  # fmt: skip
# factor -> the parameters whose product is its overlap at the start
OVERLAPS = {"a": ("a",), "b": ("b",), "c": ("b", "c"), "d": ("d",)}
NOTHING_LEARNT = sp.Rational(1, 2)  # loss of a mechanism that has learnt nothing


def toy_theory(
    name: str,
    title: str,
    model: Model,
    parameters: tuple[Parameter, ...],
    overlaps: Mapping[str, tuple[str, ...]] = OVERLAPS,
) -> Flow:
    """Return a model of two strategies as a theory.

    Parameters
    ----------
    model : its alpha and mu1 are the parameters of these names, if there are any
    overlaps : factor -> the parameters whose product is its overlap at the start; others start at 0
    """
    symbols = {each.name: sp.Symbol(each.name, real=True) for each in parameters}
    factors, dims = model.factors, named_dims(model)
    norms = {factor: sp.sqrt(length) for factor, length in dims.items()}
    x = sp.symbols(f"x:{len(factors) + 1}", real=True)
    v = dict(zip(factors, x[:-1], strict=True))
    s = dict.fromkeys(factors, sp.Integer(0)) | {"d": x[-1]}  # parts that start at 0 stay there
    state = State(factors, [norms[f] * v[f] for f in factors], [norms[f] * s[f] for f in factors])
    free = {each: symbols[each] for each in ("alpha", "mu1") if each in symbols}
    problem = Problem.from_numbers(model, dims, norms, start=state, parameters=free)
    velocity = problem.velocity(state).entries
    losses = problem.losses(state)
    learnt = {
        mechanism.name: math.prod(v[f] for f in mechanism.factors) for mechanism in model.mechanisms
    }
    pace = symbols["pace"] * UNIT
    return Flow(
        name=name,
        title=title,
        source="Singh et al. 2025, arXiv 2503.05631",
        parameters=parameters,
        unlearnt=float(NOTHING_LEARNT),
        state=x,
        symbols=tuple(symbols.values()),
        start=(
            *(
                sp.Mul(*(symbols[each] for each in overlaps[f])) if f in overlaps else sp.Integer(0)
                for f in factors
            ),
            symbols["d_orthogonal"],
        ),
        velocity=tuple(
            pace * speed / norms[f]
            for speed, f, moves in zip(
                velocity, factors * 2, [*v.values(), *s.values()], strict=True
            )
            if moves in x
        ),
        outputs={
            "train": losses["total"],
            ICL: losses.get(ICL, NOTHING_LEARNT),
            CIWL: losses.get(CIWL, NOTHING_LEARNT),
            "preference": learnt.get(ICL, 0) - learnt.get(CIWL, 0),
        },
    )


TOY = toy_theory("toy", "the minimal model", two_strategies(), (ALPHA, MU1, *OTHERS))
NO_COMPETITION = toy_theory(
    "toy_no_competition",
    "the minimal model without competition: sharing alone",
    no_competition(),
    (MU1, *OTHERS),
)
NO_SHARING = toy_theory(
    "toy_no_sharing",
    "the minimal model without sharing: b and c are split in two, with equal starts",
    no_sharing(),
    (ALPHA, MU1, *OTHERS),
    OVERLAPS | {"f": ("b",), "g": ("b", "c")},
)
PERSISTENT = toy_theory(
    "toy_persistent",
    "the minimal model with mu1 = 0: ICL without an irreducible error, which stays",
    two_strategies(mu1=0.0),
    (ALPHA, *OTHERS),
)
