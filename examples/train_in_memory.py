"""
Train in memory
===============

Two runs are trained as one step, and nothing is written. The first sees ordinary data, which
both strategies solve: CIWL is learnt first, and then ICL emerges. Labels in the second run
change from sequence to sequence, so that only ICL solves them.
"""

from dataclasses import replace

import matplotlib.pyplot as plt

from transformer import in_memory
from transformer.config import DataConfig, EvaluationConfig, OptimConfig, RunConfig
from transformer.data.exemplars.synthetic import GaussianConfig

config = RunConfig(
    data=DataConfig(exemplars=GaussianConfig(n_classes=1600, d_features=8)),
    optim=OptimConfig(learning_rate=1e-3),
    evaluation=EvaluationConfig(every=50, n_sequences=500),
    n_steps=1500,
)
modes = ("bursty", "icl_only")
ensemble = in_memory(*(replace(config, data=replace(config.data, mode=mode)) for mode in modes))
rows = [ensemble.metric_rows(ensemble.evaluate())]
while ensemble.step < config.n_steps:
    ensemble.advance()
    if ensemble.step % config.evaluation.every == 0:
        rows.append(ensemble.metric_rows(ensemble.evaluate()))

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", sharey=True)
for number, (mode, ax) in enumerate(zip(modes, axes, strict=True)):
    sequences = [row[number]["sequences"] for row in rows]
    for name in ("icl", "ciwl", "flip"):
        values = [row[number][f"{name}/in_context_accuracy"] for row in rows]
        ax.plot(sequences, values, label=name)
    ax.set(title=f"data mode {mode}", xlabel="sequences seen", ylabel="in-context accuracy")
axes[0].legend(loc="lower right")
plt.show()
