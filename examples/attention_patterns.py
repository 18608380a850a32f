"""
Look at attention patterns
==========================

A transformer that learns in context builds an induction circuit. In some heads of the first
layer, labels attend to the exemplar before them. In the second layer, the query attends to the
label of its own class: here always the first label.
"""

import matplotlib.pyplot as plt

from transformer import in_memory
from transformer.config import DataConfig, OptimConfig, RunConfig
from transformer.data.exemplars.synthetic import GaussianConfig

exemplars = GaussianConfig(n_classes=128, d_features=16, noise=0.3)
data, optim = DataConfig(mode="icl_only", exemplars=exemplars), OptimConfig(learning_rate=1e-3)
ensemble = in_memory(RunConfig(data=data, optim=optim, n_steps=1500))
while ensemble.step < 1500:
    ensemble.advance()

# %%
# Average the patterns over sequences whose first pair is of the class of the query.

sequences = ensemble.evaluation_sets[0]["icl"]
is_first = sequences.labels[0] == sequences.target
features = ensemble.exemplars[0].features(sequences.exemplars.T[is_first])
names = "blocks.*.pattern"
_, found = ensemble.model(0).run_with_cache(features, sequences.labels.T[is_first], names=names)

tokens = ["match", "label", "other", "label", "query"]
figure, axes = plt.subplots(2, 8, figsize=(13, 4.2), layout="constrained", sharey=True)
for layer, row in enumerate(axes):
    for head, ax in enumerate(row):
        image = ax.imshow(found[f"blocks.{layer}.pattern"][:, head].mean(0), vmin=0, vmax=1)
        ax.set_title(f"layer {layer}, head {head}")
        ax.set_xticks(range(5), tokens if layer else [""] * 5, rotation=90)
        ax.set_yticks(range(5), tokens)
figure.colorbar(image, ax=axes, label="attention from row to column", shrink=0.8)
plt.show()
