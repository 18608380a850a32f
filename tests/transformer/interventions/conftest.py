from dataclasses import replace

import pytest
import torch

from tests.transformer.conftest import draw_batch, tiny_config
from tests.transformer.model.textbook import make, of_run
from transformer import train
from transformer.config import ModelConfig
from transformer.model.loaded import Model
from transformer.training.machine import Machine

MACHINE = Machine("cpu", 1, "eager")
CONFIG = replace(tiny_config(), n_steps=8, checkpoint_every=4)
SMALL = ModelConfig(n_layers=2, n_heads=2, d_model=8)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Two runs that differ in their initial seed, with checkpoints at steps 4 and 8."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        train(replace(CONFIG, init_seed=seed), folder / f"run_{seed}", MACHINE) for seed in (5, 6)
    ]


def drawn(config: ModelConfig = SMALL, seed: int = 1):
    """A random model, and exemplars, labels and targets, of which each is in context."""
    train_state = make(config, n_runs=1)
    features, labels, _ = (each[0] for each in draw_batch(train_state, seed))
    model = Model(config, of_run(train_state, 0))
    return model, features.transpose(0, 1), labels.T, labels[seed % len(labels)]


def under(model, batch, *interventions) -> torch.Tensor:
    exemplars, labels, target = batch
    with model.intervened(*interventions):
        return model.logits(exemplars, labels, target=target)


def plain(model, batch) -> torch.Tensor:
    return model.logits(*batch[:2])
