"""Theory of strategy coopetition: how in-context learning emerges, fades, and why.

model        factors, mechanisms, costs; the models with a name
draws        targets and initial values: random, or the published ones from a file
dynamics     solve(): gradient descent or flow -> Trajectory
reduced      the exact reduction that solve() uses;  vectors: the definition, its oracle
symbolic     the same in sympy;  derivation, theorems: the theory as a document with proofs
laws         what is conserved, or changes in a known way
stability    Hessian, spectrum, largest stable step;  critical_points: where the flow can rest
toleration   where it goes if it cannot
ensemble     many problems at once, compiled (kernels);  parameters: axes and points by name
fates        what becomes of ICL and CIWL;  phases: diagrams over two parameters
timescales   collapse, plateau, takeover
interventions  what CIWL does to ICL, as numbers
compare      loss curves of real runs, and the model fitted to them
"""

from coopetition.model.declaration import Cost, Mechanism, Model
from coopetition.model.draws import Draw, random_draw, read_draw
from coopetition.model.presets import two_strategies
from coopetition.solve.dynamics import solve
from coopetition.solve.trajectory import Events, Status, Trajectory

__all__ = [
    "Cost",
    "Draw",
    "Events",
    "Mechanism",
    "Model",
    "Status",
    "Trajectory",
    "random_draw",
    "read_draw",
    "solve",
    "two_strategies",
]
