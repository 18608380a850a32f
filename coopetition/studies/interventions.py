"""The papers' interventions in the toy: what CIWL does to ICL, as numbers.

Each intervention turns an ensemble of `two_strategies` into another one, and each effect is a time
in the one against that in the other, draw by draw:

    cooperation  = ln [ T(ICL alone) / T(with CIWL) ],      T: the time at which ICL emerges
    competition  = ln [ learnt(ICL alone) / learnt(with CIWL) ],

with `learnt` the time during which ICL is learnt before the horizon.  Above 0, CIWL helps ICL to
emerge, and takes from its life.  The effect of the circuit that CIWL has built is the same
logarithm with ICL trained on shared factors clamped at a state of a CIWL-only run.

Times end at the horizon: ICL that does not emerge before it counts with the horizon, and so does
ICL alone, which never fades.  Such effects depend on the horizon, as bounds; `Effect.censored`
marks them.  All by gradient descent with step 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.ensemble import Ensemble, EnsembleRun, descend_ensemble, sample_steps
from coopetition.dynamics.events import DIVERGED, excess, learnt_for, learnt_from
from coopetition.model.graph import Model
from coopetition.model.presets import CIWL, ICL, is_two_strategies, named_dims, no_sharing
from coopetition.studies.phases import Axis, check_axes, ensemble_at
from coopetition.tools.checks import check_int
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]
N_SAMPLES = 2000  # of each curve: times are known to a small part of the horizon


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """What an intervention changes, draw by draw.

    name : what is compared with what
    values : (n,) logarithms of ratios, 0 for no effect
    censored : (n,) True where one of the two times is cut off by the horizon, or is 0
    """

    name: str
    values: Array
    censored: NDArray[np.bool_]

    @property
    def median(self) -> float:
        """The median over the draws."""
        return float(np.median(self.values))

    @property
    def positive(self) -> float:
        """The share of the draws with a positive effect, of those with any; NaN if none has."""
        some = self.values != 0
        return float((self.values[some] > 0).mean()) if some.any() else np.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "median": self.median,
            "positive": self.positive,
            "censored": int(self.censored.sum()),
            "values": self.values.tolist(),
        }


def icl_alone(ensemble: Ensemble) -> Ensemble:
    """Without CIWL: d is 0 and stays there."""
    return _absent(ensemble, "d")


def ciwl_alone(ensemble: Ensemble) -> Ensemble:
    """Without ICL: a is 0 and stays there."""
    return _absent(ensemble, "a")


def without_competition(ensemble: Ensemble) -> Ensemble:
    """The same problems with alpha = 0."""
    _check(ensemble)
    none = {"alpha": np.zeros(ensemble.n)}
    return replace(ensemble, parameters=dict(ensemble.parameters) | none)


def without_sharing(ensemble: Ensemble) -> Ensemble:
    """The same problems with b and c split in two, both halves with the same draw and rates."""
    _check(ensemble)
    model = ensemble.model
    apart = no_sharing()
    twice = [model.factors.index({"f": "b", "g": "c"}.get(f, f)) for f in apart.factors]
    split = replace(
        apart,
        mechanisms=(
            model.mechanism(ICL),
            replace(model.mechanism(CIWL), factors=apart.mechanism(CIWL).factors),
        ),
        costs=model.costs,
        convention=model.convention,
        rates=tuple(model.rates[k] for k in twice),
    )
    return Ensemble(
        split,
        ensemble.lengths[twice],
        ensemble.norms[twice],
        ensemble.overlap[twice],
        ensemble.orthogonal[twice],
        ensemble.parameters,
    )


def with_circuit(ensemble: Ensemble, overlap: Array, orthogonal: Array) -> Ensemble:
    """ICL alone on shared factors b and c that are clamped at given reduced states (4, n)."""
    alone = icl_alone(ensemble)
    on_it = _with_states(alone, ("b", "c"), overlap, orthogonal)
    return replace(on_it, model=alone.model.clamped("b", "c", "d"))


def after_ciwl(ensemble: Ensemble, overlap: Array, orthogonal: Array) -> Ensemble:
    """Both, with b, c, d from reduced states (4, n) of a CIWL-only run, and a from the draw."""
    return _with_states(ensemble, ("b", "c", "d"), overlap, orthogonal)


def _absent(ensemble: Ensemble, factor: str) -> Ensemble:
    _check(ensemble)
    nothing = np.zeros_like(ensemble.overlap)
    without = _with_states(ensemble, (factor,), nothing, nothing)
    return replace(without, model=ensemble.model.clamped(factor))


def _with_states(
    ensemble: Ensemble, factors: tuple[str, ...], overlap: Array, orthogonal: Array
) -> Ensemble:
    """The ensemble with some factors at their part of other states (4, n)."""
    rows = [ensemble.model.factors.index(f) for f in factors]
    u, w = ensemble.overlap.copy(), ensemble.orthogonal.copy()
    u[rows], w[rows] = overlap[rows], orthogonal[rows]
    return replace(ensemble, overlap=u, orthogonal=w)


def _check(ensemble: Ensemble) -> None:
    if not is_two_strategies(ensemble.model):
        raise UsageError(f"interventions are those of two_strategies; got {ensemble.model}")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """ICL in many runs, up to a horizon.

    emergence : (n,) when ICL is first learnt, as in `Events`; infinite if it never is
    learnt : (n,) for how long it is learnt
    ongoing : (n,) is it still learnt at the horizon?
    """

    horizon: float
    emergence: Array
    learnt: Array
    ongoing: NDArray[np.bool_]


def outcome(ensemble: Ensemble, horizon: float, *, step: float = 1.0) -> Outcome:
    """Follow ICL by gradient descent until the horizon (flow time, at least one step).

    Raises `UsageError` if descent diverges for any of the problems.
    """
    if not step <= horizon < math.inf:
        raise UsageError(f"horizon is {horizon}; choose a finite time of at least one step, {step}")
    run = descend_ensemble(ensemble, sample_steps(round(horizon / step), N_SAMPLES), step=step)
    return read_outcome(run, ensemble)


def read_outcome(run: EnsembleRun, ensemble: Ensemble) -> Outcome:
    """ICL in the curves of a run; times between samples by straight lines."""
    n_diverged = int((~(run.losses["total"][-1] < DIVERGED)).sum())
    if n_diverged:
        raise UsageError(
            f"descent diverged in {n_diverged} of {ensemble.n} problems; lower the step"
        )
    above = excess(run.losses[ICL], ensemble.problem.unlearnt()[ICL])
    first = [learnt_from(run.times, curve) for curve in above.T]
    emergence = np.array([math.inf if time is None else time for time in first])
    learnt = learnt_for(run.times, above)
    return Outcome(float(run.times[-1]), emergence, learnt, above[-1] < 0)


def compare_emergence(name: str, first: Outcome, second: Outcome) -> Effect:
    """ln(T first / T second) of the times of emergence, each at most the horizon."""
    censored = np.isinf(first.emergence) | np.isinf(second.emergence)
    return Effect(name, _log_ratio(first.emergence, second.emergence, first.horizon), censored)


def compare_learnt(name: str, first: Outcome, second: Outcome) -> Effect:
    """ln(learnt first / learnt second), each at least one sample's part of the horizon."""
    censored = np.any(
        [each.ongoing | (each.learnt < each.horizon / N_SAMPLES) for each in (first, second)],
        axis=0,
    )
    return Effect(name, _log_ratio(first.learnt, second.learnt, first.horizon), censored)


def _log_ratio(first: Array, second: Array, horizon: float) -> Array:
    ends = [np.clip(times, horizon / N_SAMPLES, horizon) for times in (first, second)]
    return np.log(ends[0] / ends[1])


def cooperation(ensemble: Ensemble, horizon: float) -> Effect:
    """Does CIWL's presence make ICL emerge earlier?  ln [T(ICL alone) / T(both)]."""
    alone, both = outcome(icl_alone(ensemble), horizon), outcome(ensemble, horizon)
    return compare_emergence("cooperation", alone, both)


def competition(ensemble: Ensemble, horizon: float) -> Effect:
    """Does CIWL's presence shorten ICL's life?  ln [learnt(ICL alone) / learnt(both)]."""
    alone, both = outcome(icl_alone(ensemble), horizon), outcome(ensemble, horizon)
    return compare_learnt("competition", alone, both)


def sharing(ensemble: Ensemble, horizon: float) -> Effect:
    """Does sharing b and c make ICL emerge earlier?  ln [T(split in two) / T(shared)]."""
    split, both = outcome(without_sharing(ensemble), horizon), outcome(ensemble, horizon)
    return compare_emergence("sharing", split, both)


def rivalry(ensemble: Ensemble, horizon: float) -> Effect:
    """Does the cost shorten ICL's life?  ln [learnt(alpha = 0) / learnt(both)]."""
    free, both = outcome(without_competition(ensemble), horizon), outcome(ensemble, horizon)
    return compare_learnt("rivalry", free, both)


def circuit(ensemble: Ensemble, at_step: int, horizon: float) -> Effect:
    """Does the circuit of a CIWL-only run help ICL?  ln [T(ICL alone) / T(ICL on it, clamped)].

    at_step : of the CIWL-only run at which b and c are taken
    """
    alone = outcome(icl_alone(ensemble), horizon)
    on_it = outcome(with_circuit(ensemble, *_ciwl_state(ensemble, at_step)), horizon)
    return compare_emergence(f"circuit of step {at_step}", alone, on_it)


def late_start(ensemble: Ensemble, at_step: int, horizon: float) -> Effect:
    """Does ICL come late if CIWL had a start?  ln [T(both) / T(both, after the start)].

    at_step : of the CIWL-only run at which both go on together; time is counted from there
    """
    both = outcome(ensemble, horizon)
    late = outcome(after_ciwl(ensemble, *_ciwl_state(ensemble, at_step)), horizon)
    return compare_emergence(f"start after step {at_step}", both, late)


def _ciwl_state(ensemble: Ensemble, at_step: int) -> tuple[Array, Array]:
    run = descend_ensemble(ciwl_alone(ensemble), [at_step])
    return run.overlap, run.orthogonal


def effect_map(
    effect: Callable[[Ensemble, float], Effect],
    model: Model,
    x: Axis,
    y: Axis,
    *,
    n_draws: int,
    horizon: float,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Median and share above 0 of an effect, each (ny, nx), over two parameters.

    Draws without any effect are left out of the share.
    """
    n_draws = check_int("n_draws", n_draws, 1)
    check_axes(model, x, y)
    size, positive = (np.empty((len(y.values), len(x.values))) for _ in range(2))
    with ProgressReport(effect.__name__, size.size, "points") as progress:
        for (row, column), _ in np.ndenumerate(size):
            point = {x.parameter: float(x.values[column]), y.parameter: float(y.values[row])}
            found = effect(ensemble_at(model, named_dims(model), n_draws, seed, point), horizon)
            size[row, column], positive[row, column] = found.median, found.positive
            progress.advance()
    return size, positive
