"""Estimates of a step's memory against the tensors of a real step."""

import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import HERE
from transformer.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from transformer.data.exemplar_sets import Exemplars, RunExemplars
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.data.sequences import Sequences
from transformer.experiments import transience
from transformer.measures import metrics
from transformer.measures.metrics import evaluate_runs
from transformer.training import cost
from transformer.training.activations import saved_elements
from transformer.training.cost import activation_bytes, check_size, memory_bytes
from transformer.training.ensemble import new_train_state
from transformer.training.execution import repeated_step
from transformer.training.machine import Machine


class PeakMemory(TorchDispatchMode):
    """Count the bytes of all tensors that operations make, but of `others`, and the peak."""

    def __init__(self, others) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.seen = dict.fromkeys(each.untyped_storage()._cdata for each in others)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            storage = each.untyped_storage() if isinstance(each, torch.Tensor) else None
            if storage is not None and (key := storage._cdata) not in self.seen:
                self.live += storage.nbytes()
                freed = partial(self.free, key, storage.nbytes())
                self.seen[key] = weakref.ref(storage, lambda _, freed=freed: freed())
        self.peak = max(self.peak, self.live)
        return result

    def free(self, key, n_bytes):
        self.live -= n_bytes
        del self.seen[key]


def config_of(model, context=2, n_classes=50, d_features=16, batch_size=8, **optim):
    exemplars = GaussianConfig(n_classes=n_classes, d_features=d_features)
    return RunConfig(
        model=model,
        data=DataConfig(context=context, batch_size=batch_size, exemplars=exemplars),
        optim=OptimConfig(**optim),
    )


CONFIGS = {
    "coopetition": config_of(ModelConfig()),
    "many classes": config_of(ModelConfig(), n_classes=6400),
    "one layer": config_of(ModelConfig(n_layers=1), n_classes=800, batch_size=32),
    "context": config_of(ModelConfig(n_layers=3, norm=False), context=8),
    "mlp": config_of(ModelConfig(n_layers=3, mlp_ratio=4, positions="rotary"), context=4),
    "clipped": config_of(ModelConfig(), n_classes=6400, clip_norm=1.0),
    "sgd": config_of(ModelConfig(attention_bias=True), algorithm="sgd"),
    "resnet": config_of(ModelConfig(encoder="resnet", mlp_ratio=2), d_features=28**2),
    "wide context": config_of(
        ModelConfig(mlp_ratio=4, positions="sinusoidal"), context=8, n_classes=6400, d_features=784
    ),
    "odd sides": config_of(ModelConfig(encoder="resnet"), d_features=35**2),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("n_runs", [1, 3])
def test_the_estimate_is_close_to_the_memory_of_a_step(name, n_runs):
    """Within a factor of 1.5, and at most a tenth too small."""
    config = CONFIGS[name]
    configs = [replace(config, init_seed=seed) for seed in range(n_runs)]
    d_features = config.data.exemplars.feature_count()
    state = new_train_state(configs, d_features, HERE)
    step = repeated_step(state, config.data.batch_size)
    tensors = state._step_state().tensors().values()
    with PeakMemory(tensors) as memory:
        step()
    kept = sum(each.nbytes for each in tensors)
    needs = memory_bytes(configs, d_features, HERE)["parameters, gradients and moments"]
    estimate = needs + activation_bytes(configs, d_features)
    assert 0.9 <= estimate / (memory.peak + kept) <= 1.5


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("kind", "n_runs"), [("cpu", 1), ("cuda", 3)])
def test_the_estimate_is_close_to_the_memory_of_an_evaluation(name, kind, n_runs, monkeypatch):
    """Within the same factors, also in the pieces of a GPU, here a small one."""
    config, machine = CONFIGS[name], replace(HERE, device=kind)
    d_features = config.data.exemplars.feature_count()
    n_sequences = 12 if config.model.encoder == "resnet" else 300
    config = replace(config, evaluation=replace(config.evaluation, n_sequences=n_sequences))
    monkeypatch.setattr(metrics, "DEVICE_BYTES", 2**25)
    sizes = metrics.piece_sizes
    on_device = lambda *about, **flags: sizes(*about, **flags | {"is_cpu": kind == "cpu"})  # noqa: E731
    monkeypatch.setattr(metrics, "piece_sizes", on_device)
    state = new_train_state([config] * n_runs, d_features, HERE)
    exemplars = Exemplars(torch.zeros(1, 1, d_features), 1.0)
    zeros = torch.zeros(config.data.context + 1, n_sequences, dtype=torch.int64)
    sequences = Sequences(zeros, zeros[1:], zeros[0])
    of_runs = RunExemplars([exemplars] * n_runs)
    with PeakMemory([*state.parameters.values(), exemplars.values, zeros]) as memory:
        evaluate_runs(state.parameters, config.model, of_runs, [sequences] * n_runs)
    estimate = cost.evaluated_bytes([config] * n_runs, d_features, machine)
    assert 0.9 <= estimate / memory.peak <= 1.5


@pytest.mark.parametrize("name", CONFIGS)
def test_the_numbers_of_the_forward_pass_are_those_that_it_keeps(name):
    config = CONFIGS[name]
    d_features = config.data.exemplars.feature_count()
    state = new_train_state([config], d_features, HERE)
    shape = (1, config.data.context + 1, config.data.batch_size, d_features)
    features, labels = torch.randn(shape), torch.zeros(shape[:3], dtype=torch.int64)[:, 1:]
    own = [*state.parameters.values(), features, labels]
    counted = {each.untyped_storage()._cdata: each for each in own}
    kept = []

    def pack(value):
        if (key := value.untyped_storage()._cdata) not in counted:
            counted[key] = value  # so that its storage is not used again
            kept.append(value.untyped_storage().nbytes())
        return value

    parameters = {key: state.parameters[key].requires_grad_() for key in state.moments}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        state._loss(parameters | running(state), features, labels, labels[:, 0])
    assert 4 * saved_elements(config, d_features) == pytest.approx(sum(kept), rel=0.05)


def running(state):
    return {name: each for name, each in state.parameters.items() if name not in state.moments}


GPU = Machine("cuda", 1, "auto")


def test_a_graph_needs_the_memory_of_a_step_of_its_own():
    """The norms of gradients are computed beside it."""
    config = CONFIGS["resnet"]
    plain, graph = (
        memory_bytes([config], 28**2, replace(GPU, execution=execution))
        for execution in ("eager", "graph")
    )
    step = activation_bytes([config], 28**2)
    assert graph["activations"] == plain["activations"] + step
    assert graph == memory_bytes([config], 28**2, GPU)
    assert plain["exemplars"] == graph["exemplars"]
    assert memory_bytes([config], 28**2, replace(GPU, execution="compiled")) == plain


@pytest.mark.parametrize(("side", "share"), [(28, 0.15), (105, 1.0)])
def test_64_deep_runs_with_the_resnet_fit_an_h200(side, share):
    """Without computing the stem again in the backward pass, and with a graph."""
    config = transience.default("paper")
    needed = sum(memory_bytes([config] * 64, side**2, GPU).values())
    assert (config.model.n_layers, config.model.encoder) == (12, "resnet")
    assert needed < share * 139 * 2**30


@pytest.mark.parametrize(
    ("n_runs", "share", "named", "not_named"),
    [
        (64, 0.9, ["activations", "fewer runs than 64", "batch_size than 8", "eager"], "\n"),
        (64, 0.3, ["activations", "fewer runs than 64", "batch_size than 8"], "eager"),
        (1, 0.3, ["activations", "batch_size than 8"], "fewer runs"),
    ],
)
def test_runs_that_do_not_fit_are_refused_in_one_line(monkeypatch, n_runs, share, named, not_named):
    configs = [CONFIGS["resnet"]] * n_runs
    needed = sum(memory_bytes(configs, 28**2, GPU).values())
    monkeypatch.setattr(cost, "_memory", lambda device: needed)
    check_size(configs, 28**2, GPU)
    monkeypatch.setattr(cost, "_memory", lambda device: share * needed)
    with pytest.raises(UsageError) as caught:
        check_size(configs, 28**2, GPU)
    assert all(each in str(caught.value) for each in named)
    assert not_named not in str(caught.value) and "\n" not in str(caught.value)
