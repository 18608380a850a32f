"""
Train in memory
===============

Train in memory, evaluate and plot; nothing is written.

Two runs are trained as one: on bursty data, which ICL and CIWL both solve, and on data whose
labels change from sequence to sequence, which ICL alone does.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from transformer import in_memory
from transformer.config import DataConfig, EvaluationConfig, OptimConfig, RunConfig
from transformer.data.exemplars.synthetic import GaussianConfig

BURSTY = RunConfig(
    data=DataConfig(exemplars=GaussianConfig(noise=0.3)),
    optim=OptimConfig(learning_rate=3e-4),
    evaluation=EvaluationConfig(every=50, n_sequences=500),
    n_steps=1000,
)


def main(base: RunConfig = BURSTY) -> Figure:
    """Curves of both runs, and where the query of the first attends."""
    modes = ("bursty", "icl_only")
    ensemble = in_memory(*(replace(base, data=replace(base.data, mode=mode)) for mode in modes))
    rows = []
    while True:
        if ensemble.step % base.evaluation.every == 0:
            rows.append(ensemble.metric_rows(ensemble.evaluate()))
        if ensemble.step == base.n_steps:
            break
        ensemble.advance()

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for number, mode in enumerate(modes):
        seen = [row[number]["sequences"] for row in rows]
        for name in ("icl", "flip", "ciwl"):
            curve = [row[number][f"{name}/in_context_accuracy"] for row in rows]
            axes[number].plot(seen, curve, label=name)
        axes[number].set(title=mode, xlabel="sequences seen", ylabel="accuracy", ylim=(0, 1))
    axes[0].legend()

    patterns = {}
    sequences = ensemble.evaluation_sets[0]["ciwl"]
    features = ensemble.exemplars[0].features(sequences.exemplars.T)
    ensemble.model(0).logits(features, sequences.labels.T, lambda k, v: patterns.setdefault(k, v))
    attention = patterns["blocks.1.pattern"][0, :, 0].mean(-1)  # (heads, keys), of the query
    axes[2].imshow(np.asarray(attention), vmin=0, vmax=1)
    axes[2].set(title="bursty, layer 1, CIWL sequences", xlabel="token", ylabel="head")
    return figure


if __name__ == "__main__":
    main()
    plt.show()
