"""Timing of training steps: a step that can be repeated, and waiting for a device.

How steps are executed: compiled if that works, by as many threads as are faster.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch

from transformer.training.compiled import NotCompiled
from transformer.training.machine import Machine
from transformer.training.step import TrainState, step_numbers


def repeated_step(
    train_state: TrainState, *, context: int, d_features: int, n_labels: int, batch_size: int
) -> Callable[[], object]:
    """One call is one step of all runs of a train state, always on the same random batch."""
    generator = torch.Generator().manual_seed(0)
    n_runs = len(train_state.loss_sum)
    shape = (n_runs, context + 1, batch_size, d_features)
    features = torch.randn(shape, generator=generator, dtype=train_state.dtype)
    labels = torch.randint(n_labels, (n_runs, context, batch_size), generator=generator)
    each = torch.tensor([step_numbers(train_state.optim, 1)] * n_runs, dtype=train_state.dtype)
    numbers = each.mT.contiguous()
    batch = [
        tensor.to(train_state.device)
        for tensor in (features, labels, labels[:, 0].contiguous(), numbers)
    ]
    return lambda: train_state.step(*batch)


def seconds_of(function: Callable[[], object], device: torch.device) -> float:
    """Seconds that one call takes, with the device's work done."""
    start = time.perf_counter()
    function()
    wait(device)
    return time.perf_counter() - start


def median_seconds(function: Callable[[], object], device: torch.device, at_least: float) -> float:
    """Median seconds of a call, over calls that take `at_least` so many together."""
    times: list[float] = []
    while sum(times) < at_least:
        times.append(seconds_of(function, device))
    return statistics.median(times)


def wait(device: torch.device) -> None:
    """Until all work on a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


WORTH_TIMING_S = 20.0  # a shorter run has one thread, untimed
SHARE = 0.02  # of the run's time that timing a number of threads may take
ROUNDS, STEPS = 5, 3  # timed in turn, so many steps each
# more threads must be so much faster: one does not suffer when others want the cores
GAIN = 0.8

Step = Callable[[], object]


class Threads(NamedTuple):
    """A number of threads, and why it is that."""

    number: int
    why: str


def settle(
    train_state: TrainState, step: Step, machine: Machine, n_steps: int
) -> tuple[Machine, str]:
    """The machine with what it left open chosen, and why it has so many threads.

    The train state then executes steps so.  Threads: 1, 2, 4 and so on, as long as twice as many
    make steps clearly faster; of compiled steps only if they do so for plain ones, since each
    number is compiled anew.  What is chosen is said on stderr.  The state is left as it was, so
    that a run's numbers do not depend on the trial but for the number of threads.

    Parameters
    ----------
    step : one training step of `train_state`
    """
    most = torch.get_num_threads()
    execution = machine.execution_named()
    with train_state.kept():
        try:
            threads = (
                plain_threads(train_state, step, most, n_steps)
                if machine.threads is None
                else Threads(machine.threads, "as given or recorded")
            )
            if machine.execution in ("auto", "compiled"):
                counts = {threads.number} if machine.threads else {1, threads.number}
                try:
                    threads = _compile(train_state, step, counts) or threads
                    execution = "compiled"
                except NotCompiled as error:
                    if machine.execution == "compiled":
                        raise
                    print(f"warning: {error}; going on so", file=sys.stderr)
            if execution != "compiled":
                train_state.execute_as(execution)
        finally:
            torch.set_num_threads(most)
    if machine.threads is None:
        print(f"threads: {threads.number} ({threads.why})", file=sys.stderr)
    return replace(machine, threads=threads.number, execution=execution), threads.why


def plain_threads(train_state: TrainState, step: Step, most: int, n_steps: int) -> Threads:
    """Choose the threads with which plain steps are fastest; one where the gain is small.

    The state changes.
    """
    if train_state.device.type != "cpu":
        return Threads(most, f"{train_state.device.type} computes")
    if most == 1:
        return Threads(1, "all there are")
    train_state.execute_as("eager")
    torch.set_num_threads(1)
    step()
    seconds = n_steps * seconds_of(step, train_state.device)
    if seconds < WORTH_TIMING_S:
        return Threads(1, "a run of seconds")
    threads, times = 1, {}
    while threads < most:
        more = min(2 * threads, most)
        times |= _in_turn(step, (threads, more), torch.set_num_threads, SHARE * seconds)
        if times[more] > GAIN * times[threads]:
            break
        threads = more
    return _faster(threads, times, "a plain step")


def _compile(train_state: TrainState, step: Step, counts: set[int]) -> Threads | None:
    """Compile steps for each of one or two numbers of threads; of two, the one that is taken."""
    compiled = {}
    for threads in sorted(counts):
        torch.set_num_threads(threads)
        train_state.execute_as("compiled")
        step()
        compiled[threads] = train_state.run_step

    def use(threads: int) -> None:
        torch.set_num_threads(threads)
        train_state.run_step = compiled[threads]

    if len(counts) == 1:
        return None
    fewer, more = compiled
    times = _in_turn(step, (fewer, more), use, WORTH_TIMING_S)
    chosen = fewer if times[more] > GAIN * times[fewer] else more
    use(chosen)
    return _faster(chosen, times, "a compiled step")


def _faster(chosen: int, times: dict[int, float], what: str) -> Threads:
    """The chosen threads, and the seconds by number of threads that led to them."""
    shown = {threads: f"{float(f'{each * 1e3:.2g}'):g} ms" for threads, each in times.items()}
    others = ", ".join(f"{threads}: {each}" for threads, each in shown.items() if threads != chosen)
    little = "" if min(times.values()) == times[chosen] else ", too little gain"
    return Threads(chosen, f"{shown[chosen]} {what}; {others}{little}")


def _in_turn(
    step: Step, counts: tuple[int, int], use: Callable[[int], None], at_most: float
) -> dict[int, float]:
    """Median seconds of a step by number of threads, timed in turn.

    It ends after `at_most` seconds: the first round, in which threads are started, then counts too.
    """
    times: dict[int, list[float]] = {threads: [] for threads in counts}
    start = time.perf_counter()
    for _ in range(1 + ROUNDS):
        for threads in counts:
            use(threads)
            begin = time.perf_counter()
            for _ in range(STEPS):
                step()
            times[threads].append((time.perf_counter() - begin) / STEPS)
        if time.perf_counter() - start > at_most:
            break
    return {threads: statistics.median(each[1:] or each) for threads, each in times.items()}
