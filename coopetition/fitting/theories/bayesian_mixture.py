"""A learner that mixes strategies by their posterior: loss against complexity.

After Wurgaft et al. 2025.  The log posterior odds of a strategy against no strategy are

    gain (offset + t)^(1 - discount) - complexity,

the evidence of the data, discounted, minus the length of the strategy's description.  ICL is simple
and gains less; CIWL is complex and gains more, because its final error is lower.  With p0, p1, p2
the posterior of no strategy, ICL and CIWL, ICL's error is 1 - p1, CIWL's 1 - p2, and training's p0.

The paper has two strategies, this theory three; and time counts from the start of the fit, with
earlier data as the `offset`.
"""

import sympy as sp

from coopetition.fitting.theory import TIME, ClosedForm, Parameter
from coopetition.model.presets import CIWL, ICL

PARAMETERS = (
    Parameter(name="icl_gain", description="evidence for ICL by time 1", lower=0.3, upper=300.0),
    Parameter(name="icl_complexity", description="length of ICL's description", lower=0.1,
              upper=300.0),
    Parameter(name="ciwl_gain", description="evidence for CIWL by time 1", lower=0.3, upper=300.0),
    Parameter(name="ciwl_complexity", description="length of CIWL's description", lower=0.1,
              upper=300.0),
    Parameter(name="discount", description="discount of later data", lower=0.0, upper=0.95,
              logarithmic=False),
    Parameter(name="offset", description="data before the start", lower=1e-2, upper=10.0,
              per_time=-1),
)  # fmt: skip
icl_gain, icl_complexity, ciwl_gain, ciwl_complexity, discount, offset = SYMBOLS = sp.symbols(
    [each.name for each in PARAMETERS], positive=True
)
data = (offset + TIME) ** (1 - discount)
odds = {ICL: icl_gain * data - icl_complexity, CIWL: ciwl_gain * data - ciwl_complexity}
highest = sp.Max(0, *odds.values())
weights = {name: sp.exp(value - highest) for name, value in odds.items()}
total = sp.exp(-highest) + sum(weights.values())
posterior = {name: weight / total for name, weight in weights.items()}

THEORY = ClosedForm(
    name="bayesian_mixture",
    title="a Bayesian mixture of strategies, loss against complexity",
    source="after Wurgaft et al. 2025, arXiv 2506.17859",
    parameters=PARAMETERS,
    symbols=tuple(SYMBOLS),
    outputs={
        "train": sp.exp(-highest) / total,
        ICL: 1 - posterior[ICL],
        CIWL: 1 - posterior[CIWL],
        "preference": posterior[ICL] - posterior[CIWL],
    },
)
