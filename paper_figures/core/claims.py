"""What a paper claims, and the rule by which our runs decide on it.

A claim has a *shape*, which holds in a run or does not (`Reading.holds`), and may have a number.
The same rule for all, whatever the runs show:

- `not tested`: no run that it is about is kept
- `contradicted`: the shape holds in at most half of the runs, or in fewer than the claim says
  (`Claim.needed`), whatever is so in those that cannot tell
- `horizon too short`: it depends on these, which end too early; `undecided` of a claim that noise
  keeps from being told (`Claim.untold`)
- `shape only`: it holds in enough, but the number is not what was published: fewer than half of the
  runs that tell have one, or its mean is farther from the published range than a factor 1.5: of
  sequences and losses, and of the odds of shares, p / (1 - p) (about 0.1 at one half, 0.01 at
  0.98); shares may differ by 0.02, or by two standard errors of 1,000 sequences, at any rate
- `reproduced`: it holds in enough, and so does the number, if one was published

Sequences are the paper's: ours times our learning rate over the paper's.  Every run that was made
for a claim counts.
"""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

FACTOR = 1.5
READING = 0.02  # of shares that are read off a figure
N_SEQUENCES = 1000  # of an evaluation of ours
Unit = Literal["share", "above chance", "signed", "sequences", "nats"]


class Verdict(StrEnum):
    """What our runs say of a claim."""

    REPRODUCED = "reproduced"
    SHAPE_ONLY = "shape only"
    CONTRADICTED = "contradicted"
    TOO_SHORT = "horizon too short"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested"


def _margin(share: float) -> float:
    """Return what a share may differ by at any rate."""
    variance = max(0.0, share * (1 - share))
    return max(READING, 2 * math.sqrt(variance / N_SEQUENCES))


@dataclass(frozen=True, slots=True)
class Published:
    """A published number, or the range of those of several runs.

    unit : `share` (accuracies, attention); `above chance` (accuracy among two labels, of which the
        odds are those of what is known, 2 p - 1); `signed` (from -1 to 1, as induction strength);
        `sequences`; or `nats`
    """

    low: float
    high: float
    unit: Unit = "share"

    @classmethod
    def of(cls, value: float, unit: Unit = "share") -> "Published":
        """One share."""
        return cls(value, value, unit)

    @classmethod
    def at(cls, millions: float) -> "Published":
        """A time, in millions of sequences."""
        return cls(1e6 * millions, 1e6 * millions, "sequences")

    def agrees(self, value: float) -> bool:
        """Whether a number of ours is what was published, by the rule."""
        low, high = self.band
        return low <= value <= high

    @property
    def band(self) -> tuple[float, float]:
        """Return the lowest and the highest number that agree."""
        if self.unit in ("sequences", "nats"):
            return self.low / FACTOR, self.high * FACTOR
        return (
            min(self._with_odds_times(1 / FACTOR, self.low), self.low - _margin(self.low)),
            max(self._with_odds_times(FACTOR, self.high), self.high + _margin(self.high)),
        )

    def _with_odds_times(self, factor: float, value: float) -> float:
        """Return the number whose odds are those of another times a factor; chance stays."""
        scale, offset = {"above chance": (2, -1), "signed": (0.5, 0.5)}.get(self.unit, (1, 0))
        p = scale * value + offset
        if not 0 < p < 1:
            return value
        odds = factor * p / (1 - p)
        return (odds / (1 + odds) - offset) / scale

    def told(self, value: float) -> str:
        """A number in this unit, as text."""
        return f"{value / 1e6:.3g}M" if self.unit == "sequences" else f"{value:.2f}"

    def __str__(self) -> str:
        ends = dict.fromkeys(self.told(end) for end in (self.low, self.high))
        return " to ".join(ends)


class SeededRun(Protocol):
    """What a reading keeps of a run."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def seeds(self) -> tuple[int, int]:
        """Seeds of its initial parameters and of its data."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run says of a claim.

    run : its name
    holds : whether the shape does; None if it cannot tell, as one that ends too early
    value : the number; None without, or where there is none
    part : which part of the run, of several that are read
    n_runs : of all runs together that one reading is of
    seeds : of the run's initial parameters and data; None where there is no such pair
    """

    run: str
    holds: bool | None
    value: float | None = None
    part: str = ""
    n_runs: int = 1
    seeds: tuple[int, int] | None = None

    @classmethod
    def of(
        cls, run: SeededRun, holds: bool | None, value: float | None = None, part: str = ""
    ) -> "Reading":
        """Return a reading of one run."""
        return cls(run.name, holds, value, part, seeds=run.seeds)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the runs together say of a claim, of which a number may be published.

    needed, untold : see `Claim`
    """

    readings: tuple[Reading, ...] = ()
    published: Published | None = None
    needed: float | None = None
    untold: Verdict = Verdict.TOO_SHORT

    @property
    def verdict(self) -> Verdict:
        """By the rule (see above)."""
        if not self.readings:
            return Verdict.NOT_TESTED
        n_untold = len(self.readings) - self.n_told
        if not self._enough(self.n_held + n_untold):
            return Verdict.CONTRADICTED
        if not self._enough(self.n_held):
            return self.untold
        mean, few = self.mean, 2 * len(self.values) < self.n_told
        if self.published is not None and (mean is None or few or not self.published.agrees(mean)):
            return Verdict.SHAPE_ONLY
        return Verdict.REPRODUCED

    def _enough(self, n: int) -> bool:
        """Whether the shape is right if it holds in so many of the readings."""
        share = n / len(self.readings)
        return share > 0.5 and share >= (self.needed or 0.0)

    @property
    def n_runs(self) -> int:
        """Different runs."""
        return sum({each.run: each.n_runs for each in self.readings}.values())

    @property
    def n_seed_pairs(self) -> int:
        """Different pairs of seeds: runs of one pair are not independent of each other."""
        return sum({each.seeds or each.run: each.n_runs for each in self.readings}.values())

    @property
    def n_told(self) -> int:
        """Runs that can tell."""
        return sum(each.holds is not None for each in self.readings)

    @property
    def n_held(self) -> int:
        """Runs in which the shape holds."""
        return sum(each.holds is True for each in self.readings)

    @property
    def values(self) -> list[float]:
        """The numbers of the runs that tell, of those that have one."""
        told = (each.value for each in self.readings if each.holds is not None)
        return [value for value in told if value is not None]

    @property
    def mean(self) -> float | None:
        """The mean of the numbers; None if there are none."""
        return sum(self.values) / len(self.values) if self.values else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "verdict": self.verdict.value,
            "n": len(self.readings),
            "n_told": self.n_told,
            "n_held": self.n_held,
            "n_runs": self.n_runs,
            "n_seed_pairs": self.n_seed_pairs,
            "mean": self.mean,
            "readings": [asdict(each) for each in self.readings],
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of a figure.

    text : the paper's words in ours
    measure : readings of what each of the figure's `needs` stands for, in that order
    contradiction : the result that would contradict it, in words
    published : its number
    explained : where it is not reproduced, the best explanation that was tested
    needed : share of the runs in which it must hold, if it says so: 1 for "every seed"
    ours : whether it is no claim of the paper but one of ours
    untold : the verdict where it depends on runs that cannot tell
    """

    text: str
    measure: Callable[..., list[Reading]]
    published: Published | None = None
    explained: str = ""
    needed: float | None = None
    ours: bool = False
    untold: Verdict = Verdict.TOO_SHORT
    _: KW_ONLY
    contradiction: str

    def judge(self, *found: Any) -> Judgement:
        """The verdict of what was found."""
        return Judgement(tuple(self.measure(*found)), self.published, self.needed, self.untold)
