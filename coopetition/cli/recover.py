"""Fit curves that a theory made, with noise, and check whether the intervals hold the truth."""

from dataclasses import dataclass

from coopetition.cli._theory import TheoryFlags, read_assignments
from coopetition.tools.console import print_json


@dataclass(frozen=True, kw_only=True)
class Flags(TheoryFlags):
    values: tuple[str, ...] = ()
    """All parameters, as `alpha=0.3 mu1=0.1 ...`, times in sequences up to 1,000,000 (default:
    random values for each problem)."""
    problems: int = 20
    """Number of problems to make and fit (some seconds each)."""
    samples: int = 100
    """Samples of each curve."""
    noise: float = 0.02
    """Standard deviation of the noise, in units of a curve's deviation."""
    correlation: float = 0.5
    """Correlation of the noise of neighbouring samples."""
    seed: int = 0
    """Random seed of parameters, noise and starts."""
    starts: int = 8
    """Number of starts to refine in each fit."""
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
