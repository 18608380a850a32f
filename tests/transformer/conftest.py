from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from coopetition.tools.run_files import Row
from transformer.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.runs.folder import RunFolder
from transformer.training.machine import Machine, can_compile
from transformer.training.optimisers import step_numbers
from transformer.training.step import TrainState

HERE = Machine("cpu", 1, "eager")
CONTEXT, BATCH, N_LABELS = 3, 4, 11
N_FEATURES = {"linear": 6, "resnet": 49}  # images of side 7 for the ResNet
HAS_COMPILER = can_compile(torch.device("cpu"))


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


class CountCalls(TorchDispatchMode):
    """Count the operations, and those that are kernels on a GPU; the others are views."""

    def __init__(self) -> None:
        super().__init__()
        self.n_calls = self.n_kernels = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        aliases = [each.alias_info for each in func._schema.arguments if each.alias_info]
        self.n_calls += 1
        self.n_kernels += all(each.is_write for each in aliases)
        return func(*args, **(kwargs or {}))


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


def short_config(**changes) -> RunConfig:
    """Nine steps, a checkpoint every other and the last."""
    tiny = tiny_config()
    evaluation = replace(tiny.evaluation, every=4, n_sequences=2)
    exemplars = GaussianConfig(n_classes=20, n_exemplars=4, d_features=3)
    return replace(
        tiny,
        data=replace(tiny.data, exemplars=exemplars),
        evaluation=evaluation,
        n_steps=9,
        checkpoint_every=2,
        **changes,
    )


def without_time(rows: list[Row]) -> list[Row]:
    """Rows of metrics without the seconds, which no two runs share."""
    return [row | {"seconds": None} for row in rows]


def assert_same_run(a: RunFolder, b: RunFolder) -> None:
    """Two runs have the same metrics and the same files of weights and states."""
    assert without_time(a.metrics()) == without_time(b.metrics())
    assert (a.steps(), a.state_steps()) == (b.steps(), b.state_steps())
    for step in a.steps():
        assert a.checkpoint_path(step).read_bytes() == b.checkpoint_path(step).read_bytes(), step
    for step in a.state_steps():
        assert a.state_path(step).read_bytes() == b.state_path(step).read_bytes(), step


def contents(folder: Path) -> dict[Path, bytes]:
    """All files of a folder but those in which a session says how it went."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", "status.json")
    }


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
