import pytest
import torch

from transformer.config import DataConfig, EvaluationConfig, GlyphConfig, ModelConfig, RunConfig


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def tiny() -> RunConfig:
    return tiny_config()


def tiny_config() -> RunConfig:
    """A run of a second: 40 steps, uneven checkpoints and evaluations."""
    return RunConfig(
        model=ModelConfig(d_model=16, n_heads=2),
        data=DataConfig(exemplars=GlyphConfig(n_classes=20, n_exemplars=4), batch_size=8),
        evaluation=EvaluationConfig(every=7, n_sequences=50, n_classes=20, n_exemplars=3),
        n_steps=40,
        checkpoint_every=10,
    )
