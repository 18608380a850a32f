"""A training step needs nothing from the host, so that a CUDA graph can capture it.

No GPU is needed: torch's device `meta` stands for one.  Its tensors have shapes and types but no
values, so that a step that reads a value fails, and every operation on them is seen.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.transformer.conftest import (
    BATCH,
    CONTEXT,
    N_FEATURES,
    N_LABELS,
    CountCalls,
    make_state,
)
from tests.transformer.model.textbook import make_model
from transformer.config import OptimConfig
from transformer.config.interventions import INTERVENTIONS, Intervention
from transformer.interventions import grafts
from transformer.interventions.attention import Temperature
from transformer.interventions.grafts import Source
from transformer.interventions.inputs import At
from transformer.model.loaded import Model
from transformer.model.parameters import parameter_shapes
from transformer.training import step
from transformer.training.step import RunSettings

DEVICE = torch.device("meta")
READS_VALUES = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique", "equal"}


class FromTheHost(AssertionError):
    """An operation that a captured step may not contain."""


class OnDevice(TorchDispatchMode):
    """Refuse operations on tensors of the host, and those whose result has to be waited for.

    Torch makes tensors of Python's numbers, such as indices of a list, unseen.  So it learns in a
    first step which tensors come from outside the step; `repeat` refuses all others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.storages = {}  # kept, so that no address is used twice
        self.repeats = False

    def repeat(self) -> None:
        self.repeats = True

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        is_masked = name.startswith(("index", "_index_put")) and any(
            getattr(each, "dtype", None) in (torch.bool, torch.uint8) for each in args[1]
        )
        if name in READS_VALUES or is_masked:
            raise FromTheHost(f"{func} waits for values of the device")
        for each in tensors((args, kwargs)):
            if self.repeats and each.untyped_storage()._cdata not in self.storages:
                raise FromTheHost(f"{func} reads a tensor that Python made for it")
            self._check(func, each)
        result = func(*args, **kwargs)
        for each in tensors(result):
            self._check(func, each)
        return result

    def _check(self, func, tensor) -> None:
        if tensor.device != DEVICE:
            raise FromTheHost(f"{func} reads or makes a tensor of the {tensor.device}")
        storage = tensor.untyped_storage()
        self.storages[storage._cdata] = storage


def tensors(tree):
    return [each for each in tree_leaves(tree) if isinstance(each, torch.Tensor)]


def empty_batch(state):
    n_runs, d = len(state.loss_sum), N_FEATURES[state.model.encoder]
    return (
        torch.empty(n_runs, CONTEXT + 1, BATCH, d, device=DEVICE, dtype=state.dtype),
        torch.empty(n_runs, CONTEXT, BATCH, device=DEVICE, dtype=torch.int64),
        torch.empty(n_runs, BATCH, device=DEVICE, dtype=torch.int64),
        torch.empty(3, n_runs, device=DEVICE, dtype=state.dtype),
    )


@pytest.fixture(autouse=True)
def without_draws(monkeypatch):
    """Replace what the device without values lacks: draws, and precisions to choose from."""

    def zeros(config, shapes, seed):
        return {name: torch.zeros(shape) for name, shape in shapes.items()}

    monkeypatch.setattr(step, "initialise", zeros)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def check_step(model, *members: RunSettings) -> None:
    """Make two steps of tensors without values; raise `FromTheHost` where one needs the host."""
    state = make_state(model, list(members), precision="float32", device=DEVICE)
    batch = empty_batch(state)
    with OnDevice() as mode:
        state.step(*batch)
        mode.repeat()
        state.step(*batch)


def settings(*interventions: Intervention, seed=0, frozen=(), **optim) -> RunSettings:
    return RunSettings(seed, OptimConfig(**optim), frozen, interventions)


def grafted_model(path: str, step: int) -> Source:
    """Return a model of weights that are 0, instead of one that is read from a file."""
    model = make_model(3, mlp_ratio=2)
    shapes = parameter_shapes(
        model, context=CONTEXT, d_features=N_FEATURES["linear"], n_labels=N_LABELS
    )
    own = (Temperature(heads=("0:0",), temperature=2.0),)
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    return Source(Model(model, weights, 10, own), "a run")


HEADS = {"heads": ("0:*", "1:1")}
FIELDS = {
    "Temperature": HEADS | {"temperature": 2.0},
    "CopyFromPattern": {"head": "1:0"},
    "Preserve": {"what": ("keys", "patterns")},
    "GraftIn": {"checkpoint": "elsewhere", "till": 0},
    "GraftOut": {"checkpoint": "elsewhere", "from_": 0},
    "AblateEmbedding": {},
    "PerfectPreviousTokenInput": {},
}
VARIANTS = {
    "labels' rows": INTERVENTIONS["PreviousToken"](**HEADS, rows="labels", strength=0.5),
    "soft match": INTERVENTIONS["Match"](**HEADS, temperature=0.5),
    "weak clamp": INTERVENTIONS["ClampPattern"](heads=("2:*",), strength=0.3),
    "own function": At(names=("blocks.*.z",), function=lambda name, value, scene: 2 * value),
}
EACH = {name: kind(**FIELDS.get(name, HEADS)) for name, kind in INTERVENTIONS.items()} | VARIANTS


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", EACH)
def test_a_step_under_an_intervention_stays_on_the_device(name, shared, monkeypatch):
    """An intervention of all runs, and of one beside a run without any."""
    monkeypatch.setattr(grafts, "SOURCES", {"run": grafted_model})
    own = settings(EACH[name])
    check_step(make_model(3, mlp_ratio=2), own, own if shared else settings())


PENALTIES = (("mlp", 0.1), ("all", 0.03))
MODELS = {
    "attention only": make_model(2),
    "MLP": make_model(2, mlp_ratio=4),
    "ResNet": make_model(2, encoder="resnet"),
    "rotary": replace(make_model(2), positions="rotary", bias=False),
    "sinusoidal": replace(make_model(2), positions="sinusoidal"),
}
OPTIMS = {
    "adam": {},
    "adamw": {"algorithm": "adamw", "weight_decay": 0.3},
    "sgd": {"algorithm": "sgd"},
    "momentum": {"algorithm": "sgd", "momentum": 0.9},
    "squared penalty": {"l2": PENALTIES},
    "norm penalty": {"l2": PENALTIES, "penalty": "norm", "clip_norm": 0.5},
    "clipping": {"clip_norm": 0.5},
}


@pytest.mark.parametrize("optim", OPTIMS)
@pytest.mark.parametrize("model", MODELS)
def test_a_step_stays_on_the_device(model, optim):
    changes = OPTIMS[optim]
    frozen = settings(**changes, seed=1, frozen=("labels", "blocks.0"))
    check_step(MODELS[model], settings(**changes), frozen)


@dataclass(frozen=True, kw_only=True)
class FromList(Intervention):
    """Chooses heads by a list, which is copied to the device."""

    def sites(self, model):
        return ("blocks.0.z",)

    def act(self, site, value, scene):
        return value[:, [1, 0]]


@dataclass(frozen=True, kw_only=True)
class FromNumber(FromList):
    """Makes a tensor from a number of the host."""

    def act(self, site, value, scene):
        return value * torch.tensor([2.0]).to(value.device)


@dataclass(frozen=True, kw_only=True)
class ReadsValue(FromList):
    """Waits for a value of the device."""

    def act(self, site, value, scene):
        return value[value > 0].sum() * value


@pytest.mark.parametrize("kind", [FromList, FromNumber, ReadsValue])
def test_what_needs_the_host_is_found(kind):
    with pytest.raises(FromTheHost):
        check_step(make_model(2), settings(kind()))


@pytest.mark.parametrize("n_runs", [1, 3])
def test_a_step_of_the_deepest_model_makes_few_calls(n_runs):
    """About 2,200 for one run; it was 7,000 when each parameter had an update of its own."""
    model = make_model(12, mlp_ratio=4, encoder="resnet")
    state = make_state(model, [settings()] * n_runs, precision="float32", device=DEVICE)
    batch = empty_batch(state)
    with CountCalls() as mode:
        state.step(*batch)
    assert mode.n_calls < 3200
