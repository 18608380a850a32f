"""Readout by signal detection: four accuracies from two strengths, without floor and gain.

This is the alternative to the affine `observation`, in which every curve has a
floor and a gain of its own, and Flip is not described.  ICL and CIWL have strengths z_icl and
z_ciwl, which are added and read out with normal noise; the four errors are

    train: Phi(-(z_icl + z_ciwl)),    flip: Phi(-(z_icl - z_ciwl)),
    icl: Phi(-z_icl),                 ciwl: Phi(-z_ciwl).

A strength is what a theory says is learnt, 1 - error / (error of nothing learnt), times a gain for
each strategy.  A theory whose errors are those of a readout (`Theory.has_readout`) gives the
strengths themselves and needs no gains.  The curves of a run have one noise (`common_noise`).
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from coopetition.fitting.curves import FITTED_CURVES, FLIP
from coopetition.fitting.theory import OUTPUTS, Parameter, Theory
from coopetition.model.presets import CIWL, ICL
from coopetition.model.two_cues import SIGNS
from coopetition.tools.errors import check_type

Array = NDArray[np.float64]

GAINS = tuple(
    Parameter(name=f"{name}_strength", description=f"strength of {name} when learnt", lower=0.1,
              upper=9.0)
    for name in (ICL, CIWL)
)  # fmt: skip
READOUT_SUFFIX = "_readout"  # after the name of a theory
SMALLEST = 1e-9  # an error below it counts as this


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Readout(Theory):
    """The readout of a theory: its curves are accuracies of train, icl, ciwl and flip.

    The preference is the accuracy of flip above one half.
    """

    has_levels: ClassVar[bool] = False
    theory: Theory

    @classmethod
    def of(cls, theory: Theory) -> Self:
        """Return the readout of a theory."""
        check_type(theory, Theory, "a Theory; readouts of the package's are called as toy_readout")
        return cls(
            name=theory.name + READOUT_SUFFIX,
            title=f"{theory.title}, read out by signal detection",
            source=theory.source,
            parameters=theory.parameters if theory.has_readout else (*theory.parameters, *GAINS),
            unlearnt=0.5,
            has_readout=True,
            theory=theory,
        )

    @property
    def curve_names(self) -> tuple[str, ...]:
        """Return the names of every theory's curves, and flip."""
        return *OUTPUTS, FLIP

    def curves(self, values: Array, times: Array) -> Array:
        """Return train, icl, ciwl, preference, flip (5, n); see `Theory`."""
        errors = self.theory.curves(values[: len(self.theory.parameters)], times)
        return self._observe(values, errors, np.empty((*errors.shape, 0)))[0]

    def curves_and_jacobian(self, values: Array, times: Array) -> tuple[Array, Array]:
        """Return the curves, and their derivatives by the parameters (5, n, parameters)."""
        own = values[: len(self.theory.parameters)]
        return self._observe(values, *self.theory.curves_and_jacobian(own, times))

    def finer(self) -> "Readout":
        """Return the readout of the theory with smaller steps."""
        return self.of(self.theory.finer())

    def _observe(self, values: Array, errors: Array, jacobian: Array) -> tuple[Array, Array]:
        rows = [OUTPUTS.index(ICL), OUTPUTS.index(CIWL)]
        errors, slopes = errors[rows], jacobian[rows]
        if self.theory.has_readout:
            strengths = -ndtri(np.clip(errors, SMALLEST, 1 - SMALLEST))
            slopes = -slopes / _density(strengths)[..., None]
        else:
            gains = values[-len(GAINS) :, None]
            learnt = 1 - errors / self.theory.unlearnt
            strengths = gains * learnt
            slopes = -gains[..., None] * slopes / self.theory.unlearnt
            if slopes.shape[2]:
                by_gains = np.eye(2)[:, None, :] * learnt[..., None]
                slopes = np.concatenate([slopes, by_gains], axis=2)
        signs = np.array([SIGNS[name] for name in (*FITTED_CURVES, FLIP)], float)
        signals = signs @ strengths
        errors = ndtr(-signals)
        slopes = -_density(signals)[..., None] * np.einsum("ks,snp->knp", signs, slopes)
        flip, by_flip = errors[-1:], slopes[-1:]
        return (
            np.concatenate([errors[:-1], 0.5 - flip, flip]),
            np.concatenate([slopes[:-1], -by_flip, by_flip]),
        )


def _density(z: Array) -> Array:
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
