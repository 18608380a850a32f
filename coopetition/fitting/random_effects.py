"""Comparison of theories over many runs, from the log evidence of every theory in every run.

*Random effects*: each run is described by one of the theories, which differ between runs; r_k is
the frequency of theory k among all such runs, with a uniform Dirichlet prior.  The posterior of r
is approximated by a Dirichlet distribution (Stephan et al. 2009, NeuroImage 46, 1004).  The
*exceedance probability* is that of a theory being more frequent than any other.  The *protected*
one allows for the differences being chance: with the probability that all theories are equally
frequent (the Bayesian omnibus risk), none exceeds the others (Rigoux et al. 2014, NeuroImage 84,
971).

*Fixed effects*: all runs of a group are described by the same theory; its log evidence is the sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, entr, expit, gammaln, logsumexp, softmax

from coopetition.tools.errors import UsageError

Array = NDArray[np.float64]

MAX_UPDATES = 10_000
SETTLED = 1e-8  # change of a count in one update
N_SAMPLES = 200_000  # of the Dirichlet distribution, for exceedance probabilities: exact to 0.002


@dataclass(frozen=True, slots=True)
class RandomEffects:
    """Frequencies of theories among runs, one entry per theory.

    counts : of the Dirichlet distribution: 1 plus the expected number of runs that the theory
        describes
    exceedance, protected_exceedance : see the module
    omnibus_risk : probability that all theories are equally frequent
    assignments : (runs, theories) probability that a run is described by a theory
    """

    counts: Array
    exceedance: Array
    protected_exceedance: Array
    omnibus_risk: float
    assignments: Array

    @property
    def frequencies(self) -> Array:
        """Expected frequencies."""
        return self.counts / self.counts.sum()


def random_effects(log_evidence: ArrayLike) -> RandomEffects:
    """Return the frequencies of theories from log evidences (runs, theories).

    Raises
    ------
    UsageError : not a table of finite numbers with two theories or more
    """
    evidence = np.asarray(log_evidence, float)
    if evidence.ndim != 2 or len(evidence) < 1 or evidence.shape[1] < 2:
        raise UsageError(
            f"log evidences of shape {evidence.shape}; give a row per run, a column per theory"
        )
    if not np.isfinite(evidence).all():
        raise UsageError("a log evidence is not finite; leave out the run or the theory")
    n_theories = evidence.shape[1]
    counts = np.ones(n_theories) + len(evidence) / n_theories
    for _ in range(MAX_UPDATES):
        assignments = softmax(evidence + digamma(counts), axis=1)
        before, counts = counts, 1 + assignments.sum(0)
        if np.abs(counts - before).max() < SETTLED:
            break
    drawn = np.random.default_rng(0).dirichlet(counts, N_SAMPLES)
    exceedance = np.bincount(drawn.argmax(1), minlength=n_theories) / N_SAMPLES
    equal = float(np.sum(logsumexp(evidence, axis=1) - np.log(n_theories)))
    risk = float(expit(equal - _free_energy(evidence, counts, assignments)))
    protected = (1 - risk) * exceedance + risk / n_theories
    return RandomEffects(counts, exceedance, protected, risk, assignments)


def _free_energy(evidence: Array, counts: Array, assignments: Array) -> float:
    """Return the lower bound of the log evidence of unequal frequencies (Rigoux 2014, A.4).

    E[log p(data, assignments, r)] + entropies; the terms in E[log r] cancel, because counts are 1
    plus the summed assignments.
    """
    expected = np.sum(assignments * evidence) + entr(assignments).sum()
    return float(expected + gammaln(len(counts)) + gammaln(counts).sum() - gammaln(counts.sum()))


def summed_by_group(
    log_evidence: ArrayLike, groups: Sequence[str], reference: int
) -> dict[str, Array]:
    """Return the summed log evidence of each theory minus that of a reference, by group of runs.

    log_evidence : (runs, theories); reference : a column
    """
    evidence = np.asarray(log_evidence, float)
    above = evidence - evidence[:, [reference]]
    labels = np.array(groups)
    return {group: above[labels == group].sum(0) for group in dict.fromkeys(groups)}
