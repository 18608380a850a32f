"""Two cues: a model of ICL and CIWL that sees data, with noise of each strategy's cue.

A sequence shows two cues of its correct label: the context says s ~ N(1, sigma^2), and what is
remembered of the class says r ~ N(1, nu^2).  The logit of the correct label is x s + y r, where the
strength of ICL, x = a b c, and that of CIWL, y = d b c, share factors as in the published model.
The loss is the cross-entropy

    L = E log(1 + e^-(x s + y r)),        -dL/dx = E[s q],        -dL/dy = E[r q],

with q = 1 / (1 + e^(x s + y r)), the probability of the wrong label.  The logit is normal, of mean
x + y and variance sigma^2 x^2 + nu^2 y^2, and E[(s - 1) f] = sigma^2 x E[f'] for a function f of it
(Stein's lemma).  So every expectation is an integral over one normal number:

    E[s q] = E[q] - sigma^2 x E[q (1 - q)],        E[r q] = E[q] - nu^2 y E[q (1 - q)].

`expect` takes these by the trapezoid rule, which converges faster than any power of the step for
functions that are analytic about the real line: here with an error below 1e-9.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coopetition.model.presets import CIWL, ICL
from coopetition.tools.checks import check_number

Array = NDArray[np.float64]

# kind of sequence -> signs of the strengths of ICL and CIWL in its evidence
SIGNS = {"train": (1, 1), "flip": (1, -1), ICL: (1, 0), CIWL: (0, 1)}
REACH = 8.0  # of the integral, in standard deviations: 1e-15 lies beyond
STEP = 0.55  # of the trapezoid rule, in the smaller of 1 and 1 / (standard deviation of the logit)


class Moments(NamedTuple):
    """Negative gradient of the loss by the strengths x and y, as expectations.

    context, memory : E[s q] and E[r q]
    """

    context: Any
    memory: Any


@dataclass(frozen=True, slots=True)
class TwoCues:
    """The noise of the two cues.

    sigma, nu : standard deviation of the cue of ICL and of CIWL, each of mean 1
    """

    sigma: float
    nu: float

    def __post_init__(self) -> None:
        for name in ("sigma", "nu"):
            object.__setattr__(self, name, check_number(name, getattr(self, name)))

    @property
    def optimum(self) -> tuple[float, float]:
        """The strengths of the least loss, 2 / sigma^2 and 2 / nu^2; infinite without noise.

        There, the logit is the log odds of the label given both cues (Fisher's discriminant).  The
        loss is convex in x and y, so there is no other minimum.
        """
        with np.errstate(divide="ignore"):
            x, y = 2 / np.square([self.sigma, self.nu])
        return float(x), float(y)

    def loss(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Return the cross-entropy."""
        return expect(lambda logit: np.logaddexp(0, -logit), *self._logit(x, y))

    def moments(self, x: ArrayLike, y: ArrayLike) -> Moments:
        """Return the expectations that set the gradient; see `Moments`."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        mean, deviation = self._logit(x, y)
        error = expect(_wrong, mean, deviation)
        slope = expect(lambda logit: _wrong(logit) * _wrong(-logit), mean, deviation)
        return Moments(error - self.sigma**2 * x * slope, error - self.nu**2 * y * slope)

    def accuracies(self, x: Any, y: Any) -> dict[str, Any]:
        """Return the accuracy on sequences of each kind, by signal detection.

        The label is read out with noise of variance 1 besides that of the cues.  Sequences of `icl`
        have only the context's cue, of `ciwl` only memory's; in `flip` the two disagree, and the
        context is said to be right.
        """
        from scipy.special import ndtr

        noise = np.sqrt(1 + (self.sigma * x) ** 2 + (self.nu * y) ** 2)
        return {name: ndtr((i * x + j * y) / noise) for name, (i, j) in SIGNS.items()}

    def _logit(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Return mean and standard deviation of the logit."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        return x + y, np.hypot(self.sigma * x, self.nu * y)


def expect(function: Callable[[Array], Array], mean: Array, deviation: Array) -> Array:
    """Return E f(mean + deviation z), z standard normal, for mean and deviation of one shape.

    The nearest singularity of f may be at a distance of pi from the real line, as in q.
    """
    step = STEP / max(1.0, float(np.max(deviation, initial=0.0)))
    z = step * np.arange(-np.ceil(REACH / step), np.ceil(REACH / step) + 1)
    weights = np.exp(-(z**2) / 2) * step / np.sqrt(2 * np.pi)
    return function(mean[..., None] + deviation[..., None] * z) @ weights


def _wrong(logit: Array) -> Array:
    """Return q."""
    from scipy.special import expit

    return expit(-logit)
