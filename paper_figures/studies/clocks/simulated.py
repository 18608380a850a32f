"""The plan `clocks` with models in place of the transformer: the exponents that they predict.

A model is trained in every cell of the grid, with the plan's lengths, evaluations and seeds; its
accuracies are those of as many sequences; and its events are found as those of runs are.  The
numbers of two cues fit the mean curves of `demo` (six seeds, kept before the plan), which describes
the base run; nothing is fitted to other rates and batch sizes.

    python -m paper_figures.studies.clocks.simulated MODEL ...
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.cues import accuracy_curves, train
from coopetition.dynamics.optimisers import Optimiser, adam, descent, optimise
from coopetition.fitting.curves import Curves
from coopetition.model.initial_state import random_draw
from coopetition.model.presets import CIWL, ICL, two_strategies
from coopetition.model.two_cues import TwoCues
from coopetition.tools.console import print_progress
from coopetition.tools.files import markdown_table, to_csv, write_text
from paper_figures.core.kept_data import DATA, read_other_rows, read_rows
from paper_figures.core.runs import METRIC, FigureRun
from paper_figures.studies.clocks.exponents import (
    EVENTS,
    Exponents,
    Observation,
    fit_exponents,
    observe,
)
from transformer.experiments.clocks import (
    BASE,
    FIRST,
    LATER,
    N_EVALUATIONS,
    SEEDS,
    grid_name,
    presets,
)

Array = NDArray[np.float64]
PATH = DATA / "simulated" / "clocks.csv"
CELLS = (*FIRST, *LATER)
NO_LAW = 3.0  # a factor of one standard deviation about a power law that is none


@dataclass(frozen=True, slots=True)
class SimulatedRun(FigureRun):
    """A run of a model, whose curves are in no file."""

    accuracies: Curves

    def curves(self, metric: str = METRIC) -> Curves:
        """Return the accuracies, whatever the metric."""
        return self.accuracies


@dataclass(frozen=True, slots=True, kw_only=True)
class CuesModel:
    """Two cues with an optimiser.

    start : a, b, c, and d of all classes, in the base run
    speed : rate of the factors over the optimiser's;  kappa : that of d over the others'
    """

    cues: TwoCues
    start: tuple[float, float, float, float]
    speed: float
    kappa: float
    n_classes: int = 1
    dims: int = 1
    spread: float = 0.0
    share: float = 1.0
    make: Callable[[float], Optimiser] = adam

    def accuracies(self, rate: float, batch: int, n_steps: int, every: int, seed: int) -> Any:
        """Return steps and accuracies by name."""
        optimiser = self.make(self.speed * rate)
        steps, states = train(
            self.cues, self.start, optimiser, batch=batch, n_steps=n_steps, every=every, seed=seed,
            kappa=self.kappa, n_classes=self.n_classes, dims=self.dims, spread=self.spread,
        )  # fmt: skip
        return steps, accuracy_curves(self.cues, states)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyModel:
    """The published toy from small random vectors, by Adam, with noise of its gradient.

    A strategy's accuracy is 1/2 if nothing is learnt, 1 if its product of overlaps is the target.

    scale : of the initial values
    noise : standard deviation of an entry of one sequence's gradient
    share : length of a run over that of the plan; the toy is faster
    """

    scale: float = 0.1
    noise: float = 1e-3
    share: float = 0.25

    def accuracies(self, rate: float, batch: int, n_steps: int, every: int, seed: int) -> Any:
        """Return steps and accuracies by name."""
        model = two_strategies()
        run = optimise(
            model, random_draw(seed, model, self.scale), adam(rate), n_steps=n_steps, every=every,
            noise=self.noise, batch=batch, seed=seed,
        )  # fmt: skip
        norms = np.array([run.problem.norms[f] for f in model.factors])
        a, b, c, d = run.overlap / norms[:, None]
        x, y = a * b * c, d * b * c
        learnt = {"train": 1 - (1 - x) * (1 - y), "flip": x - y, ICL: x, CIWL: y}
        steps = np.round(run.times / rate)
        return steps, {name: np.clip((1 + each) / 2, 0, 1) for name, each in learnt.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceModel:
    """A race of loss against complexity at a temperature of rate / batch.

    It is the theory `bayesian_mixture` in the clock rate x steps, with the evidence, which is the
    loss over the temperature, of the base run times (batch / rate) over that of the base run.

    values : of the theory's parameters in the base run;  unit : its steps in a unit of time
    """

    values: tuple[float, ...]
    unit: float = 18_000.0
    share: float = 1.0

    def accuracies(self, rate: float, batch: int, n_steps: int, every: int, seed: int) -> Any:
        """Return steps and accuracies by name: all noise is that of evaluation."""
        from coopetition.fitting.registry import theory_of
        from coopetition.fitting.theory import OUTPUTS  # sympy is slow to import

        theory, heat = theory_of("bayesian_mixture"), (rate / batch) / (BASE[0] / BASE[1])
        values = [
            v / heat if "gain" in n else v for n, v in zip(theory.names, self.values, strict=True)
        ]
        steps = np.arange(0, n_steps + 1, every)
        times = np.asarray(steps * (rate / BASE[0]) / self.unit, np.float64)
        outputs = theory.curves(np.array(values), times)
        errors = dict(zip(OUTPUTS, outputs, strict=True))
        flip = (1 + errors.pop("preference")) / 2
        return steps, {name: 1 - each / 2 for name, each in errors.items()} | {"flip": flip}


NOISE = TwoCues(1.0, 0.62)
# two starts that describe the base run: with CIWL preferred at first, and with neither
STARTS = {"first": (-0.17, 0.73, 0.73, 0.21), "second": (1.16, 0.011, 0.011, 0.53)}
# In the base run at step 300, the square of the gradient's mean is 0.002 of a batch's variance.
SPREAD, DIMS = 90.0, 64


def _cues(start: str, **numbers: Any) -> CuesModel:
    return CuesModel(cues=NOISE, start=STARTS[start], **numbers)


MODELS: Mapping[str, CuesModel | ToyModel | RaceModel] = {
    "toy": ToyModel(),
    "race": RaceModel(values=(18.6, 7.77, 23.4, 11.5, 0.597, 0.01)),  # a fit to the mean of `demo`
    "cues, first start": _cues("first", speed=0.49, kappa=0.002),
    "cues, second start": _cues("second", speed=0.44, kappa=0.2),
    "descent, first start": _cues("first", speed=2.0, kappa=0.2, make=descent),
    "rows, first start": _cues("first", speed=0.3, kappa=1.0, n_classes=6400),
    "rows, second start": _cues("second", speed=0.44, kappa=4.0, n_classes=6400),
    "entries, first start": _cues("first", speed=1.8, kappa=0.002, dims=DIMS, spread=SPREAD),
    "entries, second start": _cues("second", speed=2.0, kappa=0.2, dims=DIMS, spread=SPREAD),
    # A quarter of the entries with half the spread: the same noise of overlaps, sooner computed.
    # Made after the runs; of 1, 2, 3, 4 and 6, this kappa has the fade nearest to the base run's.
    "noisy rows, first start": _cues(
        "first", speed=2.0, kappa=2.0, n_classes=6400, dims=DIMS // 4, spread=SPREAD / 2
    ),
}


def simulate(
    model: CuesModel | ToyModel | RaceModel, rate: float, batch: int, seed: int
) -> SimulatedRun:
    """Return a model's run in a cell of the grid."""
    evaluation = presets("cpu")[grid_name(rate, batch)].config.evaluation
    every = math.ceil(model.share * evaluation.every)
    n_steps = N_EVALUATIONS * every
    steps, exact = model.accuracies(rate, batch, n_steps, every, seed)
    rng = np.random.default_rng([seed, 1])
    n = evaluation.n_sequences
    seen = {name: rng.binomial(n, each) / n for name, each in exact.items()}
    config = {
        "init_seed": seed,
        "optim": {"learning_rate": rate},
        "data": {"batch_size": batch},
        "evaluation": {"n_sequences": n},
    }
    provenance = {"step": n_steps, "config": config}
    accuracies = Curves(steps * batch, seen, metric="accuracy")
    return SimulatedRun("simulated", Path(), provenance, accuracies)


def write_events(names: Sequence[str], path: Path = PATH) -> None:
    """Simulate models in all cells and with all seeds, and replace their rows in the table."""
    rows: list[Any] = read_other_rows(path, "model", names)
    for name in names:
        for rate, batch in CELLS:
            runs = [simulate(MODELS[name], rate, batch, seed) for seed in SEEDS]
            rows += [
                {"model": name, "event": event, **asdict(each), "steps": round(each.steps, 1)}
                for event in EVENTS
                for each in observe(runs, event)
            ]
            print_progress(f"{name}: rate {rate:g}, batch {batch}")
    write_text(path, to_csv(rows))


def simulated_exponents(name: str, path: Path = PATH) -> dict[str, Exponents | None]:
    """Return the exponents of a model's events, from the table."""
    rows = [each for each in read_rows(path, needed="model") if each["model"] == name]
    return {
        event: fit_exponents([observation_of(each) for each in rows if each["event"] == event])
        for event in EVENTS
    }


INGREDIENTS = {
    "descent, first start": "two cues by descent on batches",
    "cues, first start": "by Adam",
    "cues, second start": "by Adam, from the second start",
    "rows, first start": "by Adam, with a memory d for each class",
    "rows, second start": "the same, from the second start",
    "entries, first start": "by Adam, with noise of entries",
    "entries, second start": "the same, from the second start",
    "noisy rows, first start": "by Adam, with both: a memory d for each class, noise of entries",
    "toy": "the published toy by Adam, with normal noise",
    "race": "loss against complexity, at a temperature of rate / batch",
}


def ingredients_table() -> str:
    """Return the exponents of rise, fade and CIWL by model, and how many clocks these are."""
    rows = []
    for name, text in INGREDIENTS.items():
        found = simulated_exponents(name)
        cells = (_exponents_text(found[event]) for event in ("emergence", "fade", "ciwl_75"))
        rows.append([text, *cells])
    return markdown_table(["model", "emergence", "fade", "CIWL 0.75"], rows)


def _exponents_text(found: Exponents | None) -> str:
    if found is None:
        return "-"
    return f"a = {found.a:.2f}, b = {found.b:.2f}" if found.spread < NO_LAW else "no power law"


def observation_of(row: Mapping[str, str]) -> Observation:
    """Return the observation of a row of the table."""
    return Observation(
        float(row["rate"]),
        int(row["batch"]),
        int(row["seed"]),
        float(row["steps"]),
        row["is_censored"] == "True",
    )


if __name__ == "__main__":
    write_events(sys.argv[1:] or [*MODELS])
