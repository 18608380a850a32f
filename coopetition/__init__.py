"""Theory of strategy coopetition: how in-context learning emerges, fades, and why.

model           factors, mechanisms, costs, initial states; the exact reduction to overlaps; laws;
                two noisy cues, a model that sees data
dynamics        descent, flow and other optimisers; trajectories, events, fates
theory          critical points, fates, time scales; the document with proofs
studies         phase diagrams, interventions
fitting         loss curves of real runs, theories fitted to them, forecasts
plot, explorer  plots; an interactive page of the minimal model
cli, tools

A notebook needs the names below; each is loaded when it is first used.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "model.graph": "Cost Mechanism Model",
    "model.initial_state": "InitialState canonical_draw published_draw random_draw read_draw",
    "model.laws": "norm_laws",
    "model.presets": "induction_head no_competition no_sharing three_strategies two_strategies",
    "model.reduced": "Problem State",
    "model.two_cues": "TwoCues",
    "dynamics.solve": "descend solve",
    "dynamics.optimisers": "optimise",
    "dynamics.batch": "ProblemBatch descend_batch random_batch",
    "dynamics.events": "Events Fate",
    "dynamics.trajectory": "Status Trajectory check_laws",
    "theory.critical_sets": "critical_sets largest_stable_step spectrum",
    "theory.fates": "possible_fates",
    "theory.times": "after_collapse slow_times",
    "studies.phases": "Axis PhaseDiagram phase_diagram",
    "fitting.theory": "ClosedForm Parameter TIME Theory",
    "fitting.registry": "theories",
    "fitting.curves": "Curves",
    "fitting.reading": "read_curves",
    "fitting.posterior": "Posterior sample_posterior",
    "fitting.estimate": "fit",
    "fitting.sensitivities": "Flow",
    "fitting.forecast": "Forecast forecast",
    "fitting.intervals": "profile profiled",
    "fitting.simulation": "simulate",
    "fitting.readout": "Readout",
    "fitting.result": "Fit",
    "fitting.selection": "Comparison compare",
    "explorer.page": "write_explorer",
    "tools.errors": "UsageError UserError",
    "tools.console": "show_progress",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = [*_MODULE_OF]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'coopetition' has no attribute {name!r}")
    module = import_module(f"coopetition.{_MODULE_OF[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
