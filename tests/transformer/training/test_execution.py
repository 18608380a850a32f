"""How the number of threads is chosen, on a made-up clock."""

from types import SimpleNamespace

import pytest
import torch

from tests.transformer.conftest import make_state
from transformer.config import ModelConfig, OptimConfig
from transformer.training import execution
from transformer.training.execution import choose_execution
from transformer.training.machine import Machine
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
    """A step that takes so long by so many threads, and a list of the threads that it ran with.

    It only changes the state, since real threads take real time.
    """
    now, used = [0.0], []
    monkeypatch.setattr(execution, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def step():
        used.append(torch.get_num_threads())
        now[0] += seconds[used[-1]]
        for value in state.parameters.values():
            value.add_(1)

    return step, used


@pytest.mark.parametrize(
    ("seconds", "chosen", "why"),
    [
        ({1: 4e-3, 2: 2e-3, 4: 1e-3}, 4, "1 ms a plain step; 1: 4 ms, 2: 2 ms"),
        ({1: 4e-3, 2: 2e-3, 4: 3e-3}, 2, "2 ms a plain step; 1: 4 ms, 4: 3 ms"),
        # one does not suffer from neighbours
        ({1: 4e-3, 2: 3.5e-3, 4: 1e-3}, 1, "4 ms a plain step; 2: 3.5 ms, too little gain"),
        # as where others want the cores
        ({1: 4e-3, 2: 0.8, 4: 1e-3}, 1, "4 ms a plain step; 2: 800 ms"),
    ],
)
@pytest.mark.usefixtures("four_cores")
def test_more_threads_are_taken_if_they_are_clearly_faster(
    monkeypatch, capsys, state, seconds, chosen, why
):
    step, _ = costing(monkeypatch, state, seconds)
    before = state.tensors(0)
    assert choose_execution(state, step, OPEN, LONG) == (Machine("cpu", chosen, "eager"), why)
    assert torch.get_num_threads() == 4, "those of others stay"
    assert all(torch.equal(value, before[name]) for name, value in state.tensors(0).items())
    assert f"{chosen} ({why})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("n_steps", "by_one", "most_by_one", "most_by_two"),
    [(300, 3e-3, 2, 0), (3000, 10e-3, LONG, execution.STEPS)],
)
@pytest.mark.usefixtures("four_cores")
def test_a_hopeless_number_is_given_up_early(
    monkeypatch, state, n_steps, by_one, most_by_one, most_by_two
):
    """Timing takes at most 2 % of the run, and one round of steps; none in a short run."""
    step, used = costing(monkeypatch, state, {1: by_one, 2: 0.8})
    assert choose_execution(state, step, OPEN, n_steps)[0].threads == 1
    assert used.count(1) <= most_by_one and used.count(2) <= most_by_two


def test_given_threads_are_taken(monkeypatch, capsys, state):
    step, used = costing(monkeypatch, state, {3: 1e-3})
    given = Machine("cpu", 3, "eager")
    assert choose_execution(state, step, given, LONG) == (given, "as given or recorded")
    assert used == [] and capsys.readouterr().err == ""


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(("by_two", "chosen"), [(1e-3, 2), (5e-3, 1)])
def test_compiled_steps_are_timed_themselves(monkeypatch, state, by_two, chosen):
    """Plain ones gain from two threads, and compiled ones may not."""
    seconds = {1: 4e-3, 2: 2e-3, 4: 4e-3}
    step, _ = costing(monkeypatch, state, seconds)

    def compiled(method, **options):
        seconds[2] = by_two
        return method

    monkeypatch.setattr(torch, "compile", compiled)
    machine, why = choose_execution(state, step, Machine("cpu", None, "compiled"), LONG)
    assert machine == Machine("cpu", chosen, "compiled")
    assert why.startswith(f"{seconds[chosen] * 1e3:g} ms a compiled step; ")
