"""
Tutorial: from a model to a fitted run
======================================

This tutorial is for newcomers who know Python and have heard of transformers. In about a minute
of computing you

1. solve the minimal model, in which in-context learning (ICL) rises and fades,
2. train a small transformer that does the same,
3. look at what it has learnt,
4. fit the minimal model to the transformer's curves.

Install the package first: ``pip install -e .`` in a clone of the repository. You can download
this page as a notebook or as a script at its end.
"""

# %%
# 1. The minimal model
# --------------------
#
# A transformer can answer from its context (ICL), or from its weights. A third strategy does
# both: context-constrained in-weights learning (CIWL) remembers the label of a class, and
# chooses it only if it is in the context. In the minimal model, ICL is the product of the
# factors a, b and c, and CIWL is that of d, b and c. The strategies share b and c, while a and
# d compete.

import matplotlib.pyplot as plt

import coopetition as co

model = co.two_strategies(alpha=0.1, mu1=0.1)
trajectory = co.solve(model, co.published_draw(7))
print(trajectory.summary())

# %%
# The events are times, in steps of gradient descent. ICL is learnt at its *emergence*. CIWL
# catches up, ICL becomes worse, and is *unlearnt*. Two numbers cause this: the strength
# ``alpha`` of the competition, and the irreducible error ``mu1`` of ICL. The total loss
# is the product of the strategies' losses, each with its irreducible error, plus the cost of
# competition. So it can lie below both losses.

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
trajectory.plot(ax=ax)
plt.show()

# %%
# 2. A transformer
# ----------------
#
# Now train a transformer of two layers. Its data are sequences *exemplar, label, exemplar,
# label, query*, and it predicts the label of the query. An exemplar is a point of one of 3,200
# clusters. The query's class is always in the context, so both strategies can answer.
#
# A run is described by a ``RunConfig``. Settings that you do not give have default values.

from transformer import train
from transformer.config import DataConfig, EvaluationConfig, OptimConfig, RunConfig
from transformer.data.exemplars.synthetic import GaussianConfig

config = RunConfig(
    data=DataConfig(exemplars=GaussianConfig(n_classes=3200, d_features=8, noise=0.8)),
    optim=OptimConfig(learning_rate=1e-3),
    evaluation=EvaluationConfig(every=100),
    n_steps=4000,
)
run = train(config, "runs/first")

# %%
# The folder ``runs/first`` has everything about the run. During training the model was
# evaluated on sequences that tell the strategies apart:
#
# - ``icl``: only ICL solves them,
# - ``ciwl``: only CIWL solves them,
# - ``flip``: the labels in context contradict the learnt ones. The accuracy is 1 if the model
#   prefers ICL, and 0 if it prefers CIWL.

curves = run.curves("in_context_accuracy").select(["icl", "ciwl", "flip"])
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
curves.plot(ax=ax)
plt.show()

# %%
# First the model prefers CIWL: ``flip`` falls. Then ICL emerges, and ``flip`` rises above one
# half. At last ICL begins to fade: ``flip`` falls again, although ICL still works when it is
# needed.
#
# In a later session, ``load_run`` opens the folder again:

from transformer import load_model, load_run

run = load_run("runs/first")
print(run.steps())  # its checkpoints

# %%
# 3. Inside the transformer
# -------------------------
#
# ``load_model`` gives the network at the end of the run. Let it answer the ``flip`` sequences,
# and keep the attention patterns. The exemplars of a run are numbered; ``features`` turns
# numbers into vectors.

from transformer.data.exemplar_sets import load_exemplars

sequences = run.evaluation_sets()["flip"]
features = load_exemplars(config.data.exemplars).features(sequences.exemplars.T)
network = load_model(run)
names = "blocks.*.pattern"
_, activations = network.run_with_cache(features, sequences.labels.T, names=names)
print(activations["blocks.1.pattern"].shape)  # sequences, heads, queries, keys

# %%
# How much does the query, which is the last token, attend to each token in the second layer?

attention = activations["blocks.1.pattern"][:, :, -1].mean(0)
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.imshow(attention.T, vmin=0, vmax=1)
ax.set(xlabel="head", yticks=range(5))
ax.set_yticklabels(["exemplar 1", "label 1", "exemplar 2", "label 2", "query"])
plt.show()

# %%
# All heads attend to labels: this circuit, which copies a label, serves both strategies.
#
# 4. A fit
# --------
#
# Does the minimal model describe the transformer? ``fit`` finds the parameters with the highest
# likelihood. Here it uses the accuracies on ``train``, ``icl`` and ``ciwl`` sequences.

fit = co.fit(run.curves("in_context_accuracy"), n_starts=8)
print(fit.summary())

# %%
# The first lines say how far you can trust the fit. This one describes most of the curves, but
# the table shows parameters that the curves do not identify, or that are at an end of
# their search range. Points are measured, lines are fitted:

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
fit.plot(ax=ax)
plt.show()

# %%
# Where to go from here
# ---------------------
#
# - `docs/tour.md` shows what the theory says: laws, phase diagrams, times.
# - `examples/` has short examples of most functions.
# - `docs/train.md` shows how to train on your own data.
# - `docs/fit_your_own_log.md` shows how to fit the log of another tool.
# - `docs/glossary.md` defines our terms.
