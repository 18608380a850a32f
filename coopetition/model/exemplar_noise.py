"""Error floors of ICL and CIWL that follow from the noise of exemplars.

Classes are Gaussian, as `GaussianConfig` of the trainer draws them (with spectrum 0): an exemplar
is u = c + tau e, where the class vector c and the noise e are standard normal in D dimensions.  Two
labels are in context, so chance is 1/2.  A query q of class 1 is compared with a reference of each
label:

- `nearest`: ICL that compares q with one exemplar of each class; the nearer one wins.
- `best`: ICL that first shrinks both exemplars to E[c | u] = u / (1 + tau^2).  This is the Bayes
  rule if only the context is known, so no comparison with one exemplar errs less.
- `ciwl`: CIWL that compares q with both class vectors; the Bayes rule if they are known.

Derivation.  Let A and B be q minus the reference of its own label and of the other.  An error is
|A|^2 > |B|^2.  Coordinates are independent; in each, (A, B) is normal with a covariance S, and the
quadratic form has the eigenvalues of diag(1, -1) S.  Up to a common factor these are R - 1 and
-(R + 1), so that with independent chi-square X and Y of D degrees of freedom

    error = P[(R - 1) X > (R + 1) Y] = I_z(D / 2, D / 2),        z = (1 - 1 / R) / 2,

because X / (X + Y) has a beta distribution, with I the regularised incomplete beta function.

    nearest : S = [[2 tau^2, tau^2], [tau^2, 2 + 2 tau^2]],      R^2 = 1 + 4 tau^2 + 3 tau^4
    best    : S likewise for references u / (1 + tau^2),         R^2 = 1 + 4 tau^2 + 2 tau^4
    ciwl    : S = [[tau^2, tau^2], [tau^2, 2 + tau^2]],          R^2 = 1 + 2 tau^2

R of ICL is above that of CIWL, so ICL's floor is the higher one at every noise.  The code takes
z = sin^2(theta / 2) with tan^2(theta) = R^2 - 1, which loses no digits where noise is small.  The
error of a floor is below 1e-8.
"""

import math
from dataclasses import dataclass

from coopetition.tools.checks import check_int, check_number
from coopetition.tools.errors import UsageError


@dataclass(frozen=True, slots=True)
class ErrorFloors:
    """Shares of wrong answers, from 0 to 1/2: ICL `nearest` and `best`, and `ciwl`."""

    nearest: float
    best: float
    ciwl: float


def error_floors(noise: float, d_features: int) -> ErrorFloors:
    """Return the error floors of ICL and CIWL for Gaussian classes.

    They hold for a query and exemplars with independent noise, and for exact class vectors.

    Parameters
    ----------
    noise : tau, the standard deviation within a class over that between classes
    d_features : D, the number of features
    """
    noise = check_number("noise", noise)
    half = check_int("d_features", d_features, 1) / 2
    tangents = {
        "nearest": noise * math.hypot(2, math.sqrt(3) * noise),
        "best": noise * math.hypot(2, math.sqrt(2) * noise),
        "ciwl": math.sqrt(2) * noise,
    }
    return ErrorFloors(**{name: _error(each, half) for name, each in tangents.items()})


def cue_noise(error: float) -> float:
    """Return the noise of a cue in `TwoCues` at which a strategy alone cannot err less.

    The accuracy of a strategy of strength x alone is Phi(x / sqrt(1 + sigma^2 x^2)), which is at
    most Phi(1 / sigma).

    error : from 0 to 1/2, where the noise is infinite
    """
    from scipy.special import ndtri

    error = check_number("error", error)
    if error > 0.5:
        raise UsageError(f"error is {error:g}; choose a number from 0 to 0.5")
    return float(-1 / ndtri(error)) if error < 0.5 else math.inf


def _error(tangent: float, half: float) -> float:
    from scipy.special import betainc

    return float(betainc(half, half, math.sin(math.atan(tangent) / 2) ** 2))
