"""Execution of training steps: the fastest that passes its check, by as many threads as pay off.

Both are chosen by steps that can be repeated.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch

from coopetition.tools.console import print_progress
from transformer.training.check import UnusableExecution
from transformer.training.machine import Execution, Machine, list_candidates
from transformer.training.optimisers import step_numbers
from transformer.training.step import TrainState

WORTH_TIMING_S = 20.0  # a shorter run gets one thread, untimed
SHARE = 0.02  # of the run's time that timing a number of threads may take
ROUNDS, STEPS = 5, 3  # rounds of timing, and steps in each
GAIN = 0.8  # more threads must cut the time this far: one suffers least when others want the cores

Step = Callable[[], object]


def repeated_step(train_state: TrainState, batch_size: int) -> Step:
    """Return a function that trains one step of all runs, always on the same random batch."""
    generator = torch.Generator().manual_seed(0)
    n_runs, context, n_labels = len(train_state.loss_sum), train_state.context, train_state.n_labels
    shape = (n_runs, context + 1, batch_size, train_state.d_features)
    features = torch.randn(shape, generator=generator, dtype=train_state.dtype)
    labels = torch.randint(n_labels, (n_runs, context, batch_size), generator=generator)
    each = torch.tensor([step_numbers(train_state.optim, 1)] * n_runs, dtype=train_state.dtype)
    batch = [
        tensor.to(train_state.device)
        for tensor in (features, labels, labels[:, 0].contiguous(), each.mT.contiguous())
    ]
    return lambda: train_state.step(*batch)


def seconds_of(function: Step, device: torch.device, count: int = 1) -> float:
    """Return the seconds that a call takes, with the device's work done; the mean of `count`."""
    wait(device)
    start = time.perf_counter()
    for _ in range(count):
        function()
    wait(device)
    return (time.perf_counter() - start) / count


def median_seconds(function: Step, device: torch.device, at_least: float) -> float:
    """Return the median seconds of calls that together take at least `at_least` seconds."""
    times: list[float] = []
    while sum(times) < at_least:
        times.append(seconds_of(function, device))
    return statistics.median(times)


def wait(device: torch.device) -> None:
    """Wait until all work on a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Threads(NamedTuple):
    """A number of threads, and the reason for it."""

    number: int
    why: str


def choose_execution(
    train_state: TrainState, step: Step, machine: Machine, n_steps: int
) -> tuple[Machine, str]:
    """Resolve what the machine leaves open, and have the train state execute steps so.

    `auto` becomes the first of the candidates that passes its check.  Threads are 1, 2, 4 and so
    on, as long as twice as many make steps clearly faster.  Compiled steps are tried with more
    threads only if plain ones gain from them, since each number is compiled anew.  The choice is
    printed on stderr.  All trials have the precision of training.  The state is left as it was, so
    that they change a run's numbers only through the number of threads.

    Parameters
    ----------
    step : one training step of `train_state`
    n_steps : steps to be trained

    Returns
    -------
    The machine, and the reason for its number of threads
    """
    most = torch.get_num_threads()
    with machine.use(train_state.precision), train_state.unchanged():
        if machine.threads is None:
            threads = choose_threads(train_state, step, most, n_steps)
        else:
            threads = Threads(machine.threads, "as given or recorded")
        is_open = machine.threads is None and train_state.device.type == "cpu"
        counts = {1, threads.number} if is_open else {threads.number}
        candidates: list[Execution] = (
            list_candidates(train_state.device, n_steps)
            if machine.execution == "auto"
            else [machine.execution]
        )
        execution, better = _first_usable(train_state, step, candidates, counts)
    threads = better or threads
    if machine.threads is None:
        print_progress(f"threads: {threads.number} ({threads.why})")
    return replace(machine, threads=threads.number, execution=execution), threads.why


def choose_threads(train_state: TrainState, step: Step, most: int, n_steps: int) -> Threads:
    """Choose the threads with which plain steps are fastest; one where the gain is small.

    The train state changes.
    """
    if train_state.device.type != "cpu":
        return Threads(1, f"{train_state.device.type} computes")
    if most == 1:
        return Threads(1, "torch's limit, which OMP_NUM_THREADS sets")
    train_state.execute_as("eager")
    torch.set_num_threads(1)
    step()
    seconds = n_steps * seconds_of(step, train_state.device)
    if seconds < WORTH_TIMING_S:
        return Threads(1, "a run of seconds")
    threads, times = 1, {}
    while threads < most:
        more = min(2 * threads, most)
        device, use = train_state.device, torch.set_num_threads
        times |= _time_in_turn(step, device, (threads, more), use, SHARE * seconds)
        if times[more] > GAIN * times[threads]:
            break
        threads = more
    return _with_reason(threads, times, "a plain step")


def _first_usable(
    train_state: TrainState, step: Step, candidates: list[Execution], counts: set[int]
) -> tuple[Execution, Threads | None]:
    """Return the first candidate that passes its check, and threads that suit it, if it has any.

    The train state executes steps so from then on.
    """
    *faster, last = candidates
    for execution, next_one in zip(faster, candidates[1:], strict=True):
        try:
            return execution, _try(train_state, step, execution, counts)
        except UnusableExecution as error:
            print(f"warning: {error}; falling back to {next_one} execution", file=sys.stderr)
    return last, _try(train_state, step, last, counts)


def _try(
    train_state: TrainState, step: Step, execution: Execution, counts: set[int]
) -> Threads | None:
    """Execute steps so, compiled for one or two numbers of threads; return the faster of two."""
    if execution == "eager":
        train_state.execute_as(execution)
        return None
    compiled = {}
    for threads in sorted(counts):
        torch.set_num_threads(threads)
        train_state.execute_as(execution)
        step()
        compiled[threads] = train_state.run_step

    def use(threads: int) -> None:
        torch.set_num_threads(threads)
        train_state.run_step = compiled[threads]

    if len(counts) == 1:
        return None
    fewer, more = compiled
    times = _time_in_turn(step, train_state.device, (fewer, more), use, WORTH_TIMING_S)
    chosen = fewer if times[more] > GAIN * times[fewer] else more
    use(chosen)
    return _with_reason(chosen, times, "a compiled step")


def _with_reason(chosen: int, times: dict[int, float], what: str) -> Threads:
    """Return the chosen threads with the times by number of threads that led to them."""
    shown = {threads: f"{float(f'{each * 1e3:.2g}'):g} ms" for threads, each in times.items()}
    others = ", ".join(f"{threads}: {each}" for threads, each in shown.items() if threads != chosen)
    hint = "" if min(times.values()) == times[chosen] else ", too little gain"
    return Threads(chosen, f"{shown[chosen]} {what}; {others}{hint}")


def _time_in_turn(
    step: Step,
    device: torch.device,
    counts: tuple[int, int],
    use: Callable[[int], None],
    at_most: float,
) -> dict[int, float]:
    """Return the median seconds of a step by number of threads, timed in turn.

    It ends after `at_most` seconds; the first round, in which threads are started, counts only
    then.
    """
    times: dict[int, list[float]] = {threads: [] for threads in counts}
    start = time.perf_counter()
    for _ in range(1 + ROUNDS):
        for threads in counts:
            use(threads)
            times[threads].append(seconds_of(step, device, STEPS))
        if time.perf_counter() - start > at_most:
            break
    return {threads: statistics.median(each[1:] or each) for threads, each in times.items()}
