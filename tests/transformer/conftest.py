import pytest
import torch

from transformer.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.training.machine import can_compile
from transformer.training.step import TrainState, step_numbers

CONTEXT, BATCH, N_LABELS = 3, 4, 11
N_FEATURES = {"linear": 6, "resnet": 49}  # images of side 7 for the ResNet
HAS_COMPILER = can_compile(torch.device("cpu"))


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


def make_state(model, members, *, precision="float64", device="cpu", execution="eager"):
    return TrainState(
        model,
        members,
        context=CONTEXT,
        d_features=N_FEATURES[model.encoder],
        n_labels=N_LABELS,
        precision=precision,
        device=torch.device(device),
        execution=execution,
    )


def randomise(train_state, seed=0):
    """Move every parameter by a random amount, those that start at 0 or 1 too."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in train_state.parameters.items():
        noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        value.add_(noise, alpha=0.15)
        if name.endswith("_var"):
            value.abs_().add_(0.1)
    return train_state


def numbers_at(train_state, rates, step=1):
    """The step numbers of runs at these rates, as a train state takes them."""
    values = [(rate, *step_numbers(train_state.optim, step)[1:]) for rate in rates]
    return torch.tensor(values, dtype=train_state.dtype, device=train_state.device).T.contiguous()


def draw_batch(train_state, seed=0):
    """Features, labels and target of one step; every run has its own."""
    generator = torch.Generator().manual_seed(seed)
    n_runs, d = len(train_state.loss_sum), N_FEATURES[train_state.model.encoder]
    features = torch.randn(n_runs, CONTEXT + 1, BATCH, d, generator=generator)
    labels = torch.randint(N_LABELS, (n_runs, CONTEXT, BATCH), generator=generator)
    target = torch.randint(N_LABELS, (n_runs, BATCH), generator=generator)
    features = features.to(train_state.dtype)
    return tuple(each.to(train_state.device) for each in (features, labels, target))


def traced(test):
    """Mark a test that lets torch trace a step; torch warns of its own code while it does."""
    for mark in (
        pytest.mark.slow,
        pytest.mark.timeout(600),
        pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated"),
        pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    ):
        test = mark(test)
    return test


def compiled(test):
    """Mark a test that compiles too."""
    return pytest.mark.skipif(not HAS_COMPILER, reason="no C++ compiler")(traced(test))
