"""Interventions of the papers in the minimal model: effects of CIWL on ICL, as numbers.

Each intervention turns a batch of `two_strategies` into another one.  An effect compares the
two, draw by draw:

    cooperation  = ln [ T(ICL alone) / T(with CIWL) ],      T: the time at which ICL emerges
    competition  = ln [ learnt(ICL alone) / learnt(with CIWL) ],

with `learnt` the time during which ICL is learnt before the horizon.  Above 0, CIWL helps ICL to
emerge, and shortens its life.  The effect of the circuit that CIWL has built is the first logarithm
with ICL trained on shared factors clamped at a state of a CIWL-only run.

Times end at the horizon: ICL that does not emerge before it counts with the horizon, and so does
ICL alone, which never fades.  Such effects are bounds that depend on the horizon; `Effect.censored`
marks them.  All runs are gradient descent, in every effect with a step size of 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.batch import ROWS, ProblemBatch, descend_batch, sample_steps
from coopetition.dynamics.events import DIVERGED_ABOVE, excess, first_learnt_time, learnt_duration
from coopetition.model.graph import Model
from coopetition.model.presets import CIWL, ICL, is_two_strategies, named_dims, no_sharing
from coopetition.studies.phases import Axis, batch_at, check_axes
from coopetition.tools.checks import check_int
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]
N_SAMPLES = 2000  # of each curve: times are known to a small part of the horizon


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """The effect of an intervention, draw by draw.

    name : of the comparison
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
        """The share of positive effects among the draws with any effect; NaN if there is none."""
        nonzero = self.values[self.values != 0]
        return float((nonzero > 0).mean()) if len(nonzero) else np.nan


def icl_alone(batch: ProblemBatch) -> ProblemBatch:
    """Return the batch without CIWL: d is 0 and stays there."""
    return _without_factor(batch, "d")


def ciwl_alone(batch: ProblemBatch) -> ProblemBatch:
    """Return the batch without ICL: a is 0 and stays there."""
    return _without_factor(batch, "a")


def without_competition(batch: ProblemBatch) -> ProblemBatch:
    """Return the same problems with alpha = 0."""
    _check_model(batch)
    return replace(batch, parameters={**batch.parameters, "alpha": np.zeros(batch.n)})


def without_sharing(batch: ProblemBatch) -> ProblemBatch:
    """Return the same problems with b and c split in two, both with the same start and rate."""
    _check_model(batch)
    model, split = batch.model, no_sharing()
    ciwl = replace(model.mechanism(CIWL), factors=split.mechanism(CIWL).factors)
    rows = [model.factors.index({"f": "b", "g": "c"}.get(f, f)) for f in split.factors]
    model = replace(
        model,
        factors=split.factors,
        mechanisms=(model.mechanism(ICL), ciwl),
        rates=tuple(model.rates[row] for row in rows),
    )
    return replace(batch, model=model, **{name: getattr(batch, name)[rows] for name in ROWS})


def with_circuit(batch: ProblemBatch, overlap: Array, orthogonal: Array) -> ProblemBatch:
    """Return ICL alone on shared factors b and c, clamped at given reduced states (4, n)."""
    alone = _with_states(icl_alone(batch), "bc", overlap, orthogonal)
    return replace(alone, model=alone.model.with_clamped("b", "c", "d"))


def after_ciwl(batch: ProblemBatch, overlap: Array, orthogonal: Array) -> ProblemBatch:
    """Return both, with b, c, d from reduced states (4, n) of a CIWL-only run, a from the draw."""
    return _with_states(batch, "bcd", overlap, orthogonal)


def _without_factor(batch: ProblemBatch, factor: str) -> ProblemBatch:
    _check_model(batch)
    zero = np.zeros_like(batch.overlap)
    without = _with_states(batch, factor, zero, zero)
    return replace(without, model=batch.model.with_clamped(factor))


def _with_states(
    batch: ProblemBatch, factors: str, overlap: Array, orthogonal: Array
) -> ProblemBatch:
    """Return the batch with some factors taken from other states (4, n)."""
    rows = [batch.model.factors.index(f) for f in factors]
    u, w = batch.overlap.copy(), batch.orthogonal.copy()
    u[rows], w[rows] = overlap[rows], orthogonal[rows]
    return replace(batch, overlap=u, orthogonal=w)


def _check_model(batch: ProblemBatch) -> None:
    if not is_two_strategies(batch.model):
        raise UsageError(f"interventions are those of two_strategies; got {batch.model}")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """ICL in many runs, up to a horizon.

    emergence : (n,) when ICL is first learnt, as in `Events`; infinite if it never is
    learnt : (n,) for how long it is learnt
    ongoing : (n,) whether it is still learnt at the horizon
    """

    horizon: float
    emergence: Array
    learnt: Array
    ongoing: NDArray[np.bool_]


def outcome(batch: ProblemBatch, horizon: float, *, step: float = 1.0) -> Outcome:
    """Follow ICL by gradient descent until the horizon (flow time, at least one step).

    Times between samples are interpolated linearly.  Raises `UsageError` if descent diverges for
    any of the problems.
    """
    if not step <= horizon < math.inf:
        raise UsageError(f"horizon is {horizon}; choose a finite time of at least one step, {step}")
    run = descend_batch(batch, sample_steps(round(horizon / step), N_SAMPLES), step=step)
    n_diverged = int((~(run.losses["total"][-1] < DIVERGED_ABOVE)).sum())
    if n_diverged:
        raise UsageError(
            f"descent with a step size of {step:g} diverged in {n_diverged} of {batch.n} problems; "
            "lower their initial scale, rates or alpha (in `outcome`: or the step size)"
        )
    above = excess(run.losses[ICL], batch.problem.unlearnt_losses()[ICL])
    first = [first_learnt_time(run.times, curve) for curve in above.T]
    emergence = np.array([math.inf if time is None else time for time in first])
    learnt = learnt_duration(run.times, above)
    return Outcome(float(run.times[-1]), emergence, learnt, above[-1] < 0)


def compare_emergence(name: str, first: Outcome, second: Outcome) -> Effect:
    """Return ln(T first / T second) of the times of emergence, each at most the horizon."""
    censored = np.isinf(first.emergence) | np.isinf(second.emergence)
    return Effect(name, _log_ratio(first.emergence, second.emergence, first.horizon), censored)


def compare_learnt(name: str, first: Outcome, second: Outcome) -> Effect:
    """Return ln(learnt first / learnt second), each at least one sample's part of the horizon."""
    censored = np.any(
        [each.ongoing | (each.learnt < each.horizon / N_SAMPLES) for each in (first, second)],
        axis=0,
    )
    return Effect(name, _log_ratio(first.learnt, second.learnt, first.horizon), censored)


def _log_ratio(first: Array, second: Array, horizon: float) -> Array:
    first, second = (np.clip(times, horizon / N_SAMPLES, horizon) for times in (first, second))
    return np.log(first / second)


def cooperation(batch: ProblemBatch, horizon: float) -> Effect:
    """Return ln [T(ICL alone) / T(both)]: above 0, CIWL makes ICL emerge earlier."""
    alone, both = outcome(icl_alone(batch), horizon), outcome(batch, horizon)
    return compare_emergence("cooperation", alone, both)


def competition(batch: ProblemBatch, horizon: float) -> Effect:
    """Return ln [learnt(ICL alone) / learnt(both)]: above 0, CIWL shortens ICL's life."""
    alone, both = outcome(icl_alone(batch), horizon), outcome(batch, horizon)
    return compare_learnt("competition", alone, both)


def sharing(batch: ProblemBatch, horizon: float) -> Effect:
    """Return ln [T(split in two) / T(shared)]: above 0, sharing makes ICL emerge earlier."""
    split, both = outcome(without_sharing(batch), horizon), outcome(batch, horizon)
    return compare_emergence("sharing", split, both)


def rivalry(batch: ProblemBatch, horizon: float) -> Effect:
    """Return ln [learnt(alpha = 0) / learnt(both)]: above 0, the cost shortens ICL's life."""
    free, both = outcome(without_competition(batch), horizon), outcome(batch, horizon)
    return compare_learnt("rivalry", free, both)


def circuit(batch: ProblemBatch, at_step: int, horizon: float) -> Effect:
    """Return ln [T(ICL alone) / T(ICL on CIWL's circuit, clamped)]: above 0, the circuit helps.

    at_step : step of the CIWL-only run from which b and c are taken
    """
    alone = outcome(icl_alone(batch), horizon)
    on_circuit = outcome(with_circuit(batch, *_ciwl_state(batch, at_step)), horizon)
    return compare_emergence(f"circuit of step {at_step}", alone, on_circuit)


def late_start(batch: ProblemBatch, at_step: int, horizon: float) -> Effect:
    """Return ln [T(both) / T(both, after CIWL had a start)]: below 0, ICL comes later.

    at_step : step of the CIWL-only run from which both continue; time is counted from there
    """
    both = outcome(batch, horizon)
    late = outcome(after_ciwl(batch, *_ciwl_state(batch, at_step)), horizon)
    return compare_emergence(f"start after step {at_step}", both, late)


def _ciwl_state(batch: ProblemBatch, at_step: int) -> tuple[Array, Array]:
    run = descend_batch(ciwl_alone(batch), [at_step])
    return run.overlap, run.orthogonal


def effect_map(
    effect: Callable[[ProblemBatch, float], Effect],
    model: Model,
    x: Axis,
    y: Axis,
    *,
    n_draws: int,
    horizon: float,
) -> tuple[Array, Array]:
    """Return the median and the share above 0 of an effect, each (ny, nx), over two parameters.

    The share leaves out draws without any effect.
    """
    n_draws = check_int("n_draws", n_draws, 1)
    check_axes(model, x, y)
    median, positive = (np.empty((len(y.values), len(x.values))) for _ in range(2))
    with ProgressReport(effect.__name__, median.size, "points") as progress:
        for row, column in np.ndindex(median.shape):
            point = {x.parameter: float(x.values[column]), y.parameter: float(y.values[row])}
            batch = batch_at(model, named_dims(model), n_draws, 0, point)
            found = effect(batch, horizon)
            median[row, column], positive[row, column] = found.median, found.positive
            progress.advance()
    return median, positive
