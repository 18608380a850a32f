"""Claims of a paper, and the rule that compares them with our runs.

A claim has a *shape*, which holds in a run or does not (`Reading.holds`), and may have a number.
The same rule gives all verdicts:

- `not tested`: no run of the claim is kept
- `contradicted`: the shape holds in at most half of the runs, or in fewer than the claim requires
  (`Claim.needed`), even if it held in all inconclusive ones
- `horizon too short`: the verdict depends on runs that end too early; `undecided`: it depends only
  on measurements that are too noisy, or that do not exist in some runs (`Reading.if_inconclusive`)
- `shape only`: the shape holds in enough runs, but fewer than half of the conclusive ones have a
  number, or the mean number differs from the published range by more than a factor of 1.5.  For
  times and losses this is a factor of the number.  For shares it is a factor of the odds
  p / (1 - p) (about 0.1 at one half, 0.01 at 0.98).  A share may always differ by 0.02, or by two
  standard errors of 1,000 sequences
- `reproduced`: the shape holds in enough runs, and the number agrees if one was published

Every run that was made for a claim counts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

from paper_figures.core.runs import FigureRun, KeptTable

FACTOR = 1.5
READING = 0.02  # of shares that are read off a figure
N_SEQUENCES = 1000  # of an evaluation of ours
Unit = Literal["share", "above chance", "signed", "sequences", "nats"]


class Verdict(StrEnum):
    """Result of the rule."""

    REPRODUCED = "reproduced"
    SHAPE_ONLY = "shape only"
    CONTRADICTED = "contradicted"
    TOO_SHORT = "horizon too short"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested"


def _margin(share: float) -> float:
    """Return the difference of shares that is always allowed."""
    variance = max(0.0, share * (1 - share))
    return max(READING, 2 * math.sqrt(variance / N_SEQUENCES))


@dataclass(frozen=True, slots=True)
class Published:
    """A published number, or the range of several.

    unit : `share` (accuracies, attention); `above chance` (accuracy p among two labels, with the
        odds of 2 p - 1); `signed` (from -1 to 1, such as induction strength, with the odds of
        (1 + s) / 2); `sequences`; or `nats`
    """

    low: float
    high: float
    unit: Unit = "share"

    @classmethod
    def of(cls, value: float, unit: Unit = "share") -> "Published":
        """Return one number."""
        return cls(value, value, unit)

    @classmethod
    def at(cls, millions: float) -> "Published":
        """Return a time, given in millions of sequences."""
        return cls(1e6 * millions, 1e6 * millions, "sequences")

    def agrees(self, value: float) -> bool:
        """Return whether a number of ours agrees with the published one, by the rule."""
        low, high = self.accepted_range
        return low <= value <= high

    @property
    def accepted_range(self) -> tuple[float, float]:
        """Return the lowest and the highest number that agree."""
        if self.unit in ("sequences", "nats"):
            return self.low / FACTOR, self.high * FACTOR
        return (
            min(self._with_odds_times(1 / FACTOR, self.low), self.low - _margin(self.low)),
            max(self._with_odds_times(FACTOR, self.high), self.high + _margin(self.high)),
        )

    def _with_odds_times(self, factor: float, value: float) -> float:
        """Return the number whose odds are `factor` times those of `value`; chance stays."""
        scale, offset = {"above chance": (2, -1), "signed": (0.5, 0.5)}.get(self.unit, (1, 0))
        p = scale * value + offset
        if not 0 < p < 1:
            return value
        odds = factor * p / (1 - p)
        return (odds / (1 + odds) - offset) / scale

    def format(self, value: float) -> str:
        """Return a number in this unit as text."""
        return f"{value / 1e6:.3g}M" if self.unit == "sequences" else f"{value:.2f}"

    def __str__(self) -> str:
        ends = dict.fromkeys(self.format(end) for end in (self.low, self.high))
        return " to ".join(ends) + (" nats" if self.unit == "nats" else "")


@dataclass(frozen=True, slots=True)
class Reading:
    """Result of one run for a claim.

    run : its name
    holds : whether the shape holds; None if the run is inconclusive, such as one that ends early
    value : the number, if there is one
    part : the part of the run, if several are read
    n_runs : how many runs the reading is of
    seeds : pairs of seeds, of initial parameters and data, of these runs; without them, each run
        counts as one
    if_inconclusive : the verdict if an inconclusive reading decides
    """

    run: str
    holds: bool | None
    value: float | None = None
    part: str = ""
    n_runs: int = 1
    seeds: tuple[tuple[int, int], ...] = ()
    if_inconclusive: Verdict = Verdict.TOO_SHORT

    @classmethod
    def of(
        cls,
        run: FigureRun,
        holds: bool | None,
        value: float | None = None,
        part: str = "",
        *,
        if_inconclusive: Verdict = Verdict.TOO_SHORT,
    ) -> "Reading":
        """Return a reading of one run."""
        seeds = (run.seeds,)
        return cls(run.name, holds, value, part, seeds=seeds, if_inconclusive=if_inconclusive)

    @classmethod
    def of_several(
        cls,
        runs: Sequence[FigureRun],
        holds: bool | None,
        value: float | None = None,
        if_inconclusive: Verdict = Verdict.TOO_SHORT,
    ) -> "Reading":
        """Return one reading of several runs."""
        seeds, name = tuple(dict.fromkeys(run.seeds for run in runs)), runs[0].name
        return cls(
            name, holds, value, n_runs=len(runs), seeds=seeds, if_inconclusive=if_inconclusive
        )


Condition = Callable[[FigureRun], bool | None]
Value = Callable[[FigureRun], float | None]


def readings(
    runs: Sequence[FigureRun],
    holds: Condition,
    value: Value = lambda run: None,
    *,
    if_inconclusive: Verdict = Verdict.TOO_SHORT,
) -> list[Reading]:
    """Return a reading of each run."""
    return [
        Reading.of(run, holds(run), value(run), if_inconclusive=if_inconclusive) for run in runs
    ]


def table_readings(
    tables: Sequence[KeptTable], measure: Callable[[KeptTable], tuple[bool, float | None]]
) -> list[Reading]:
    """Return a reading of each table: whether the shape holds, and the number."""
    return [Reading.of(table.run, *measure(table)) for table in tables]


def negation(holds: bool | None) -> bool | None:
    """Return the opposite; None stays."""
    return None if holds is None else not holds


@dataclass(frozen=True, slots=True)
class Judgement:
    """Result of all runs for a claim.

    published, needed : see `Claim`
    """

    readings: tuple[Reading, ...] = ()
    published: Published | None = None
    needed: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Return the verdict, by the rule of this module."""
        if not self.readings:
            return Verdict.NOT_TESTED
        n_indecisive = len(self.readings) - self.n_decisive
        if not self._enough(self.n_held + n_indecisive):
            return Verdict.CONTRADICTED
        if not self._enough(self.n_held):
            kinds = {each.if_inconclusive for each in self.readings if each.holds is None}
            return Verdict.TOO_SHORT if Verdict.TOO_SHORT in kinds else Verdict.UNDECIDED
        mean, few = self.mean, 2 * len(self.values) < self.n_decisive
        if self.published is not None and (mean is None or few or not self.published.agrees(mean)):
            return Verdict.SHAPE_ONLY
        return Verdict.REPRODUCED

    def _enough(self, n: int) -> bool:
        """Return whether the shape holds in enough runs, if it does in `n` readings."""
        share = n / len(self.readings)
        return share > 0.5 and share >= (self.needed or 0.0)

    @property
    def n_runs(self) -> int:
        """Return the number of different runs."""
        return sum({each.run: each.n_runs for each in self.readings}.values())

    @property
    def n_seed_pairs(self) -> int:
        """Return the number of different pairs of seeds: runs of one pair are not independent."""
        pairs = {pair for each in self.readings for pair in each.seeds}
        others = {each.run: each.n_runs for each in self.readings if not each.seeds}
        return len(pairs) + sum(others.values())

    @property
    def n_decisive(self) -> int:
        """Return the number of conclusive readings."""
        return sum(each.holds is not None for each in self.readings)

    @property
    def n_held(self) -> int:
        """Return the number of readings in which the shape holds."""
        return sum(each.holds is True for each in self.readings)

    @property
    def values(self) -> list[float]:
        """Return the numbers of the conclusive readings that have one."""
        decisive = (each for each in self.readings if each.holds is not None)
        return [each.value for each in decisive if each.value is not None]

    @property
    def mean(self) -> float | None:
        """Return the mean of the numbers; None if there are none."""
        return sum(self.values) / len(self.values) if self.values else None

    def format_numbers(self) -> str:
        """Return the mean of our numbers, and their range if there are several, as text."""
        if self.published is None or self.mean is None:
            return ""
        low, high = (self.published.format(end(self.values)) for end in (min, max))
        span = f" ({low} to {high})" if len(self.values) > 1 else ""
        return self.published.format(self.mean) + span

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "published": str(self.published or ""),
            "ours": self.format_numbers(),
            "verdict": self.verdict.value,
            "n": len(self.readings),
            "n_decisive": self.n_decisive,
            "n_held": self.n_held,
            "n_runs": self.n_runs,
            "n_seed_pairs": self.n_seed_pairs,
            "mean": self.mean,
            "readings": [asdict(each) for each in self.readings],
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of a figure.

    text : the claim, in our words
    measure : takes what was found of each of the figure's `needs`, and returns readings
    published : its number
    explanation : if it is not reproduced, the best explanation that was tested
    needed : the share of runs in which it must hold, if it says so: 1 for "every seed"
    ours : whether it is our claim and not the paper's
    contradiction : the result that would contradict it
    """

    text: str
    measure: Callable[..., list[Reading]]
    published: Published | None = None
    explanation: str = ""
    needed: float | None = None
    ours: bool = False
    _: KW_ONLY
    contradiction: str

    def judge(self, *found: Any) -> Judgement:
        """Return the judgement of what was found."""
        return Judgement(tuple(self.measure(*found)), self.published, self.needed)
