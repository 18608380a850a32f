"""A learner that mixes strategies by their posterior: loss against complexity.

After Wurgaft et al. 2025: the log posterior odds of a strategy against knowing nothing are

    gain (offset + t)^(1 - discount) - complexity,

the evidence that data give it, which counts less than in full, less what it costs to describe.
ICL is simple and gains less; CIWL is complex and gains more, as its error is lower in the end.
With p0, p1, p2 the posterior of nothing, ICL and CIWL, ICL's error is 1 - p1, CIWL's 1 - p2, and
training's p0.

Ours are three strategies where the paper has two, and time counts from where the fit begins, with
what came before as the `offset`.
"""

import sympy as sp

from coopetition.compare.theory import TIME, ClosedForm, Parameter
from coopetition.model.presets import CIWL, ICL

PARAMETERS = (
    Parameter(name="icl_gain", what="evidence for ICL by time 1", lower=0.3, upper=300.0),
    Parameter(name="icl_complexity", what="cost of ICL", lower=0.1, upper=300.0),
    Parameter(name="ciwl_gain", what="evidence for CIWL by time 1", lower=0.3, upper=300.0),
    Parameter(name="ciwl_complexity", what="cost of CIWL", lower=0.1, upper=300.0),
    Parameter(name="discount", what="how much less later data count", lower=0.0, upper=0.95,
              logarithmic=False),
    Parameter(name="offset", what="data seen before", lower=1e-2, upper=10.0, per_time=-1),
)  # fmt: skip
icl_gain, icl_cost, ciwl_gain, ciwl_cost, discount, offset = SYMBOLS = sp.symbols(
    [each.name for each in PARAMETERS], positive=True
)
seen = (offset + TIME) ** (1 - discount)
odds = {ICL: icl_gain * seen - icl_cost, CIWL: ciwl_gain * seen - ciwl_cost}
highest = sp.Max(0, *odds.values())
weights = {name: sp.exp(value - highest) for name, value in odds.items()}
whole = sp.exp(-highest) + sum(weights.values())
share = {name: weight / whole for name, weight in weights.items()}

THEORY = ClosedForm(
    name="bayesian_mixture",
    title="a Bayesian mixture of strategies, loss against complexity",
    source="after Wurgaft et al. 2025, arXiv 2506.17859",
    parameters=PARAMETERS,
    symbols=tuple(SYMBOLS),
    outputs={
        "train": sp.exp(-highest) / whole,
        ICL: 1 - share[ICL],
        CIWL: 1 - share[CIWL],
        "preference": share[ICL] - share[CIWL],
    },
)
