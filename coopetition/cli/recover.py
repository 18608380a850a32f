"""Fit noisy curves that a theory simulates, and report the coverage of the intervals."""

from dataclasses import dataclass
from typing import Annotated

from coopetition.cli._theory import TheoryFlags, read_assignments
from coopetition.tools.console import print_json
from coopetition.tools.flags import default_shown_as


@dataclass(frozen=True, kw_only=True)
class Flags(TheoryFlags):
    values: Annotated[tuple[str, ...], default_shown_as("random values for each problem")] = ()
    """True values of all parameters, such as `alpha=0.3 mu1=0.1 ...`; times in sequences, up to
    1,000,000."""
    problems: int = 20
    """Number of problems to simulate and fit (some seconds each)."""
    samples: int = 100
    """Number of samples of each curve."""
    noise: float = 0.02
    """Standard deviation of the noise, in units of each curve's standard deviation."""
    correlation: float = 0.5
    """Correlation of the noise between neighbouring samples."""
    seed: int = 0
    """Random seed for parameters, noise and starting points."""
    starts: int = 8
    """Number of starting points from which each fit is refined."""
    json: bool = False
    """Print one JSON object."""


def run(flags: Flags) -> None:
    from coopetition.compare.recovery import recover

    recovery = recover(
        flags.theory,
        values=read_assignments("--values", flags.values, float, "NUMBER") or None,
        n_problems=flags.problems,
        n=flags.samples,
        noise=flags.noise,
        correlation=flags.correlation,
        seed=flags.seed,
        n_starts=flags.starts,
        n_screened=max(1024, flags.starts),
    )
    if flags.json:
        print_json(recovery.to_dict())
    else:
        print(recovery.summary())
