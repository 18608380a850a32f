"""
Ablate attention heads
======================

Which heads does in-context learning need? No single one, but layer 0, in which labels attend to
the exemplars before them. Without this, the model tends to choose the wrong label.
"""

import matplotlib.pyplot as plt
import torch

from transformer import in_memory
from transformer.config import DataConfig, OptimConfig, RunConfig
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.interventions.attention import Ablate, ForbidPreviousToken

exemplars = GaussianConfig(n_classes=128, d_features=16, noise=0.3)
data, optim = DataConfig(mode="icl_only", exemplars=exemplars), OptimConfig(learning_rate=1e-3)
ensemble = in_memory(RunConfig(data=data, optim=optim, n_steps=1500))
while ensemble.step < 1500:
    ensemble.advance()
model, sequences = ensemble.model(0), ensemble.evaluation_sets[0]["icl"]
features = ensemble.exemplars[0].features(sequences.exemplars.T)
labels, target = torch.as_tensor(sequences.labels.T), torch.as_tensor(sequences.target)

heads = [f"{layer}:{head}" for layer in (0, 1) for head in range(8)]
cases = {name: (Ablate(heads=(name,)),) for name in heads}
cases["all 0:*"] = (Ablate(heads=("0:*",)),)
cases |= {"no previous token\nin layer 0": (ForbidPreviousToken(heads=("0:*",)),)}
accuracy = {}
for name, interventions in cases.items():
    with model.intervened(*interventions):
        scores = model.logits(features, labels).gather(1, labels)  # of the labels in context
    answer = labels.gather(1, scores.argmax(1, keepdim=True))[:, 0]
    accuracy[name] = float((answer == target).float().mean())

figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
ax.barh([*accuracy][::-1], [*accuracy.values()][::-1], color="grey")
ax.set(ylabel="ablated head (layer:head)", xlabel="in-context accuracy (chance: 0.5)")
plt.show()
