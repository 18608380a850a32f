"""How the number of threads is chosen, on a made-up clock."""

from types import SimpleNamespace

import pytest
import torch

from tests.transformer.conftest import draw_batch, make_state, numbers_at
from transformer.config import ModelConfig, OptimConfig
from transformer.runs.machine import Machine
from transformer.training import execution, timing
from transformer.training.step import RunSettings

OPEN = Machine("cpu", None, "eager")
LONG = 10**6  # steps


@pytest.fixture
def state():
    model = ModelConfig(n_layers=2, n_heads=2, d_model=8)
    return make_state(model, [RunSettings(0, OptimConfig())])


@pytest.fixture
def four_cores():
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(1)


def costing(monkeypatch, state, seconds: dict[int, float]):
    """A step that takes so long by so many threads, and a list of the threads that it ran with."""
    now, used = [0.0], []
    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr(execution, "time", clock)
    monkeypatch.setattr(timing, "time", clock)

    def step():
        used.append(torch.get_num_threads())
        now[0] += seconds[used[-1]]
        state.step(*draw_batch(state), numbers_at(state, [1e-2]))

    return step, used


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({1: 4e-3, 2: 2e-3, 4: 1e-3}, 4),
        ({1: 4e-3, 2: 2e-3, 4: 3e-3}, 2),
        ({1: 4e-3, 2: 3.5e-3, 4: 1e-3}, 1),  # little gain: one does not suffer from neighbours
        ({1: 4e-3, 2: 0.8, 4: 1e-3}, 1),  # as where others want the cores
    ],
)
@pytest.mark.usefixtures("four_cores")
def test_more_threads_are_taken_where_they_are_clearly_faster(
    monkeypatch, capsys, state, seconds, chosen
):
    step, _ = costing(monkeypatch, state, seconds)
    before = state.tensors(0)
    machine = execution.settle(state, step, OPEN, LONG)
    assert machine == Machine("cpu", chosen, "eager")
    assert torch.get_num_threads() == 4, "what others compute with is left as it was"
    assert all(torch.equal(value, before[name]) for name, value in state.tensors(0).items())
    assert "a step by threads: 1: 4 ms, 2: " in capsys.readouterr().err


@pytest.mark.usefixtures("four_cores")
def test_a_short_run_is_not_kept_waiting(monkeypatch, state):
    """300 steps: two are tried, by one thread."""
    step, used = costing(monkeypatch, state, {1: 3e-3, 2: 0.8})
    assert execution.settle(state, step, OPEN, 300).threads == 1
    assert used == [1, 1]


@pytest.mark.usefixtures("four_cores")
def test_a_hopeless_number_is_given_up_early(monkeypatch, state):
    """Timing takes at most 2 % of the run, and one round of steps."""
    step, used = costing(monkeypatch, state, {1: 10e-3, 2: 0.8})
    assert execution.settle(state, step, OPEN, 3000).threads == 1
    assert used.count(2) <= execution.STEPS


def test_threads_that_are_given_are_taken(monkeypatch, state):
    step, used = costing(monkeypatch, state, {3: 1e-3})
    given = Machine("cpu", 3, "eager")
    assert execution.settle(state, step, given, LONG) == given
    assert used == []


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(("by_two", "chosen"), [(1e-3, 2), (5e-3, 1)])
def test_compiled_steps_are_timed_themselves(monkeypatch, state, by_two, chosen):
    """Where plain ones gain from two threads, and compiled ones may not."""
    seconds = {1: 4e-3, 2: 2e-3, 4: 4e-3}
    step, _ = costing(monkeypatch, state, seconds)

    def compiled(method, **options):
        seconds[2] = by_two
        return method

    monkeypatch.setattr(torch, "compile", compiled)
    machine = execution.settle(state, step, Machine("cpu", None, "compiled"), LONG)
    assert machine == Machine("cpu", chosen, "compiled")
