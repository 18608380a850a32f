"""Compiled and captured steps are checked before use; CUDA's graphs are simulated."""

from contextlib import contextmanager

import pytest
import torch

from coopetition.tools.errors import UsageError, UserError
from tests.transformer.conftest import HAS_COMPILER, draw_batch, make_state, numbers_at, traced
from transformer.config import ModelConfig, OptimConfig
from transformer.training import execution, machine, step
from transformer.training.compiled import GraphReplay
from transformer.training.execution import choose_execution, repeated_step
from transformer.training.machine import Machine
from transformer.training.step import RunSettings, TrainState

SMALL = ModelConfig(n_layers=2, n_heads=2, d_model=8)
RUNS = [RunSettings(0, OptimConfig()), RunSettings(1, OptimConfig(clip_norm=0.1))]
LONG = 10**6  # steps


class FakeCuda:
    """Stands for `torch.cuda` on a machine with two devices that compute as the CPU does.

    A capture records the function's next call instead of its kernels, and undoes what it did.  It
    is empty if the stream is of another device than the current one, as CUDA's would be.
    """

    def __init__(self) -> None:
        self.current = torch.device("cuda:0")
        self.state: TrainState  # set by the tests
        self.captured: GraphReplay
        self.function = None
        self.inputs: tuple[torch.Tensor, ...] = ()
        self.captures = self.replays = 0
        self.used: list[torch.device] = []
        self.fails = False

    def install(self, monkeypatch) -> None:
        for name in ("device", "stream", "graph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream(torch.device(device)))
        monkeypatch.setattr(
            torch.cuda, "current_stream", lambda device: FakeStream(torch.device(device))
        )
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: self)

    @contextmanager
    def device(self, device):
        before, self.current = self.current, torch.device(device)
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def stream(self, stream):
        self.used.append(stream.device)
        yield

    @contextmanager
    def graph(self, graph, *, stream):
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nat some line")
        self.captures += 1
        is_empty = stream.device != self.current
        with self.state.unchanged():
            yield
        self.function = None if is_empty else self.captured.function
        self.inputs = self.captured.inputs

    def replay(self):
        self.replays += 1
        self.used.append(self.current)
        if self.function is not None:
            self.function(*self.inputs)


class FakeStream:
    def __init__(self, device):
        self.device = device

    def wait_stream(self, stream):
        assert stream.device == self.device


@pytest.fixture
def cuda(monkeypatch):
    """Graphs of one device of two, which is not the current one."""
    fake = FakeCuda()
    fake.install(monkeypatch)
    monkeypatch.setattr(step, "GraphReplay", OnSecondDevice)
    return fake


class OnSecondDevice(GraphReplay):
    def __init__(self, function, device):
        super().__init__(function, torch.device("cuda:1"))


def captured(cuda):
    cuda.state = make_state(SMALL, RUNS, execution="graph")
    cuda.captured = cuda.state.run_step._step
    return cuda.state


def train_steps(state, steps):
    for number in steps:
        state.step(*draw_batch(state, number), numbers_at(state, [1e-2, 1e-2], number))
    return state


def test_a_graph_is_captured_once_and_replayed_on_its_device(cuda):
    """Each step reads its own inputs; the device that was current is current again."""
    state = train_steps(captured(cuda), range(1, 8))
    expected = train_steps(make_state(SMALL, RUNS), range(1, 8))
    for name, value in expected.tensors(1).items():
        torch.testing.assert_close(state.tensors(1)[name], value, rtol=1e-12, atol=0)
    assert cuda.captures == 1 and cuda.replays >= 7
    assert set(cuda.used) == {torch.device("cuda:1")}
    assert cuda.current == torch.device("cuda:0")


def test_an_empty_graph_is_refused(cuda, monkeypatch):
    """As of a capture on another device than the current one."""
    state = captured(cuda)
    before = state.tensors(0)
    cuda.captured.stream.device = torch.device("cuda:0")
    monkeypatch.setattr(FakeStream, "wait_stream", lambda *_: None)
    with pytest.raises(UserError, match="trains nothing.*execution eager"):
        train_steps(state, [1])
    assert all(torch.equal(value, before[name]) for name, value in state.tensors(0).items())


def test_a_graph_that_keeps_its_first_inputs_is_refused(cuda):
    state = captured(cuda)
    state.run_step._step = lambda *inputs: cuda.captured(*(cuda.captured.inputs or inputs))
    with pytest.raises(UserError, match="differs from the plain one"):
        train_steps(state, [1])


def test_a_step_that_cannot_be_captured_is_reported_in_one_line(cuda):
    state, cuda.fails = captured(cuda), True
    with pytest.raises(UserError, match="captured.*not permitted") as caught:
        train_steps(state, [1])
    assert "\n" not in str(caught.value)


# the choice among executions


@pytest.mark.parametrize(
    ("device", "has_compiler", "n_steps", "candidates"),
    [
        ("cuda", True, LONG, ["compiled-graph", "graph", "eager"]),
        ("cuda:1", False, LONG, ["graph", "eager"]),
        ("cuda", True, 1000, ["graph", "eager"]),
        ("cuda", True, 10, ["eager"]),
        ("cpu", True, LONG, ["compiled", "eager"]),
        ("cpu", True, 1000, ["eager"]),
        ("cpu", False, LONG, ["eager"]),
    ],
)
def test_auto_tries_the_fastest_first(monkeypatch, device, has_compiler, n_steps, candidates):
    monkeypatch.setattr(machine, "can_compile", lambda device: has_compiler)
    assert machine.list_candidates(torch.device(device), n_steps) == candidates


def skip_all(*batch):
    """A step that trains nothing."""


@pytest.mark.parametrize("faulty", [0, 1, 2])
@pytest.mark.parametrize("fault", ["skips", "differs", "raises"])
def test_auto_falls_back_until_an_execution_passes(monkeypatch, capsys, faulty, fault):
    """As on a GPU, with the first candidates faulty."""
    candidates = ["compiled-graph", "graph", "eager"]
    monkeypatch.setattr(execution, "list_candidates", lambda *_: candidates)
    state = make_state(SMALL, RUNS)

    def step_of(number):
        def run(*batch):
            if number >= faulty or fault == "differs":
                state._step(*batch)
            if number < faulty and fault == "raises":
                raise RuntimeError("CUDA error")
            if number < faulty and fault == "differs":
                state.parameters["W_E"][1].mul_(1.01)  # one run of two

        return run

    monkeypatch.setattr(step, "CompiledStep", lambda *_: step_of(0))

    def capture(function, device):
        return step_of(1) if function == state._step else function

    capture.WARM_UP = 3
    monkeypatch.setattr(step, "GraphReplay", capture)
    before = state.tensors(0)
    chosen, _ = choose_execution(state, repeated_step(state, 4), Machine("cpu", 1, "auto"), LONG)
    assert chosen == Machine("cpu", 1, candidates[faulty])
    assert capsys.readouterr().err.count("falling back") == faulty
    assert all(torch.equal(value, before[name]) for name, value in state.tensors(0).items())
    train_steps(state, [1])
    assert not torch.equal(state.parameters["W_E"][0], before["W_E"])


def test_an_execution_that_was_asked_for_is_refused_if_it_is_faulty(monkeypatch):
    monkeypatch.setattr(step, "CompiledStep", lambda *_: skip_all)
    state = make_state(SMALL, RUNS)
    for name in ("compiled", "compiled-graph"):
        monkeypatch.setattr(step, "GraphReplay", lambda function, device: function)
        step.GraphReplay.WARM_UP = 3
        with pytest.raises(UserError, match=f"{name} step trains nothing"):
            choose_execution(state, repeated_step(state, 4), Machine("cpu", 1, name), LONG)


EXECUTIONS = [
    "eager",
    pytest.param("compiled", marks=pytest.mark.skipif(not HAS_COMPILER, reason="no compiler")),
]
MODELS = [SMALL, ModelConfig(n_layers=2, n_heads=2, d_model=8, encoder="resnet", mlp_ratio=2)]


@traced
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("algorithm", ["adam", "sgd"])
@pytest.mark.parametrize("name", EXECUTIONS)
def test_every_execution_moves_the_parameters(name, algorithm, model):
    runs = [RunSettings(seed, OptimConfig(algorithm=algorithm)) for seed in range(2)]
    state = make_state(model, runs, precision="float32", execution=name)
    before = {key: value.clone() for key, value in state.parameters.items()}
    train_steps(state, range(1, 4))
    for key in ("W_U", "W_L", "blocks.0.W_O"):
        assert (state.parameters[key] != before[key]).flatten(1).any(1).all(), key


@pytest.mark.parametrize("algorithm", ["adam", "sgd"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("model", MODELS)
def test_rounding_passes_the_check_and_a_wrong_gradient_does_not(
    monkeypatch, model, algorithm, momentum
):
    """Rounding of 1e-5 of the gradient that is largest, also where a gradient is mere rounding."""
    momentum = momentum if algorithm == "sgd" else 0.0
    runs = [RunSettings(0, OptimConfig(algorithm=algorithm, momentum=momentum))]
    for name, error in ((None, 1e-5), ("blocks.0.W_O", 0.1)):
        state = make_state(model, runs, precision="float32")

        def compiled(gradients, update, name=name, error=error):
            def run(features, labels, target, numbers):
                slopes, loss, statistics = gradients(features, labels, target)
                generator = torch.Generator().manual_seed(0)
                largest = max(float(slope.norm()) for slope in slopes.values())
                for key, slope in slopes.items():
                    noise = torch.randn(slope.shape, generator=generator)
                    noise *= (0.01 * largest + slope.norm()) / noise.norm()
                    if name in (None, key):
                        slope += error * noise
                update(slopes, loss, statistics, numbers)

            return run

        monkeypatch.setattr(step, "CompiledStep", compiled)
        state.execute_as("compiled")
        if name is None:
            train_steps_of_one(state)
        else:
            with pytest.raises(UserError, match=f"differs from the plain one in .*{name}"):
                train_steps_of_one(state)


def train_steps_of_one(state):
    state.step(*draw_batch(state, 1), numbers_at(state, [1e-3]))


# devices


def test_a_machine_makes_its_device_current(monkeypatch):
    fake = FakeCuda()
    fake.install(monkeypatch)
    with Machine("cuda:1", 1, "graph").use():
        assert fake.current == torch.device("cuda:1")
    assert fake.current == torch.device("cuda:0")


@pytest.mark.parametrize("name", ["graph", "compiled-graph"])
def test_graphs_need_a_cuda_device(name):
    with pytest.raises(UsageError, match=f"{name}.*CUDA.*eager"):
        Machine.choose("cpu", 1, name)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_trials_have_the_precision_of_training(precision):
    state = make_state(SMALL, RUNS, precision=precision)
    seen, run = [], state._step

    def observed(*batch):
        backends = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
        seen.append(backends)
        run(*batch)

    state._step = observed
    batch_step = repeated_step(state, 4)
    state.run_step = observed
    torch.set_num_threads(2)
    try:
        choose_execution(state, batch_step, Machine("cpu", None, "eager"), LONG)
    finally:
        torch.set_num_threads(1)
    expected = (True, "high") if precision == "tf32" else (False, "highest")
    assert set(seen) == {expected}
