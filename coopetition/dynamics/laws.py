"""Checks of the laws of the norms along solutions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coopetition.model.laws import NormLaw
from coopetition.model.reduced import Problem, State

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LawCheck:
    """Check of one law along a trajectory.

    values, expected : (n,) Q at each time, and Q by the law from its value at the start
    scale : the largest `NormLaw.size`
    """

    law: NormLaw
    values: Array
    expected: Array
    scale: float

    def __repr__(self) -> str:
        return f"<LawCheck of {self.law.name}: drift {self.drift:.3g}>"

    @property
    def drift(self) -> float:
        """Largest distance from the law, relative to the scale.

        It checks the integrator; it does not bound the error of event times.
        """
        return float(np.abs(self.values - self.expected).max() / self.scale)


def check_law(
    law: NormLaw, problem: Problem, times: Array, states: State, step: float | None
) -> LawCheck:
    """Compare a solution with a law of the norms.

    The law of the flow is Q(0) plus the integral of the rate, by the trapezoid rule with its end
    correction, of fourth order in the integrator's own steps.  The law of descent is the sum of its
    exact steps.

    states : curves of all entries
    step : step size of descent; None for the flow
    """
    values = law.value(problem, states)
    if step is None:
        changes = _integrate_rate(times, problem, states, law)
    else:
        before = states.with_entries([x[:-1] for x in states.entries])
        changes = law.step_change(problem, before, step)
    expected = values[0] + np.concatenate([[0.0], np.cumsum(changes)])
    return LawCheck(law, values, expected, float(np.max(law.size(problem, states))) or 1.0)


def _integrate_rate(times: Array, problem: Problem, state: State, law: NormLaw) -> Array:
    """Return the integral of a law's rate over each interval between two times."""
    rate = law.rate(problem, state) * np.ones(len(times))
    h = 1e-30  # complex step: the rate is a polynomial, so its derivative is exact
    ahead = state.step_along(problem.velocity(state), 1j * h)
    slope = np.imag(law.rate(problem, ahead) * np.ones(len(times))) / h
    dt = np.diff(times)
    return dt / 2 * (rate[:-1] + rate[1:]) + dt**2 / 12 * (slope[:-1] - slope[1:])
