"""The five evaluators of the coopetition paper: which strategy solves a sequence?

| name  | context                   | labels                               | target            |
|-------|---------------------------|--------------------------------------|-------------------|
| train | bursty, in every mode     | true                                 | query's label     |
| icl   | query's class and another | 0 and 1 in random order              | query class's     |
| flip  | query's class and another | the two true labels swapped          | the swapped label |
| ciwl  | distinct other classes    | one overwritten by the query's label | query's label     |
| iwl   | distinct other classes    | true; the query's is absent          | query's label     |

`flip` is 1 for in-context learning and 0 for either in-weights strategy; chance is 0.5 for the
in-context accuracy of icl, flip and ciwl (context of 2).  Classes are drawn uniformly, exemplars
with replacement and without noise, whatever the training data are.
"""

from dataclasses import replace

import numpy as np

from transformer.config import DataConfig, RunConfig
from transformer.data.sequences import Pool, Sequences, draw_sequences


def evaluator_data(data: DataConfig) -> dict[str, DataConfig]:
    """The evaluators by name, each as the training data that it would be."""
    train = replace(
        data,
        mode="bursty",
        mixture=(),
        repeats=True,
        zipf_exponent=0.0,
        zipf_rarest_first=False,
        noise=0.0,
    )
    plain = DataConfig(exemplars=data.exemplars, context=data.context, burstiness=data.context // 2)
    return {
        "train": train,
        "icl": replace(plain, mode="zero_one"),
        "ciwl": replace(plain, mode="ciwl_only"),
        "flip": replace(plain, mode="flip"),
        "iwl": replace(plain, mode="no_support"),
    }


EVALUATORS = ("train", "icl", "ciwl", "flip", "iwl")


def draw_evaluators(config: RunConfig) -> dict[str, Sequences]:
    """Evaluation sequences by name, a function of `eval_seed` and the data settings alone.

    Each evaluator has a stream of its own, so that adding one leaves the others as they were.
    """
    settings = config.evaluation
    pool = Pool(settings.n_classes, settings.n_exemplars, config.data.exemplars.n_exemplars)
    return {
        name: draw_sequences(
            np.random.default_rng([config.eval_seed, number]), pool, data, settings.n_sequences
        )
        for number, (name, data) in enumerate(evaluator_data(config.data).items())
    }
