"""Make curves by a theory with noise, and fit them: do the intervals hold what they should?"""

from dataclasses import dataclass

from coopetition.tools.console import print_json
from coopetition.tools.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Flags:
    theory: str = "toy"
    """The toy, a variant as `toy_no_sharing`, or a rival as `logistic_race`; a wrong name lists
    all."""
    values: tuple[str, ...] = ()
    """All its parameters, as `alpha=0.3 mu1=0.1 ...`, those of time in sequences (1,000,000 are
    made); without, others are drawn for each problem."""
    problems: int = 20
    """How many are made and fitted: some seconds each."""
    samples: int = 100
    """Of each curve."""
    noise: float = 0.02
    """In units of a curve's deviation."""
    correlation: float = 0.5
    """Of the noise of neighbouring samples."""
    seed: int = 0
    """Of parameters, noise and starts."""
    starts: int = 8
    """Starts that are refined in each fit."""
    json: bool = False
    """Print one JSON object."""


def run(flags: Flags) -> None:
    from coopetition.compare.recovery import recover

    found = recover(
        flags.theory,
        values=dict(map(_value, flags.values)) or None,
        n_problems=flags.problems,
        n=flags.samples,
        noise=flags.noise,
        correlation=flags.correlation,
        seed=flags.seed,
        n_starts=flags.starts,
        n_screened=max(1024, flags.starts),
    )
    if flags.json:
        print_json(found.to_dict())
    else:
        print(found.summary())


def _value(given: str) -> tuple[str, float]:
    name, _, value = given.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise UsageError(f"--values {given}; expected NAME=NUMBER") from error
