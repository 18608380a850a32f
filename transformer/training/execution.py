"""How steps are executed: compiled if that works, by as many threads as are faster."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from transformer.runs.machine import Machine
from transformer.training.compiled import NotCompiled
from transformer.training.step import TrainState
from transformer.training.timing import seconds_of

WORTH_TIMING_S = 20.0  # a shorter run has one thread, untimed
SHARE = 0.02  # of the run's time that timing a number of threads may take
ROUNDS, STEPS = 5, 3  # timed in turn, so many steps each
# more threads must be so much faster: one does not suffer when others want the cores
GAIN = 0.8


def settle(
    train_state: TrainState, step: Callable[[], object], machine: Machine, n_steps: int
) -> Machine:
    """The machine with what it left open chosen; the train state then executes steps so.

    Threads: 1, 2, 4 and so on, as long as twice as many make steps clearly faster; of compiled
    steps only if they do so for plain ones, since each number is compiled anew.  The state is left
    as it was, so that a run's numbers do not depend on the trial but for the number of threads.

    Parameters
    ----------
    step : one training step of `train_state`
    """
    most = torch.get_num_threads()
    with train_state.kept():
        try:
            threads = machine.threads or _threads_of_plain(train_state, step, most, n_steps)
            execution = machine.execution_named()
            if machine.execution in ("auto", "compiled"):
                try:
                    threads = _compile(train_state, step, machine.threads, threads)
                    return replace(machine, threads=threads, execution="compiled")
                except NotCompiled as error:
                    if machine.execution == "compiled":
                        raise
                    print(f"warning: {error}; going on so", file=sys.stderr)
            train_state.execute_as(execution)
            return replace(machine, threads=threads, execution=execution)
        finally:
            torch.set_num_threads(most)


def _threads_of_plain(
    train_state: TrainState, step: Callable[[], object], most: int, n_steps: int
) -> int:
    """The threads with which plain steps are fastest, one where the gain is small."""
    if train_state.device.type != "cpu" or most == 1:
        return most
    train_state.execute_as("eager")
    torch.set_num_threads(1)
    step()
    seconds = n_steps * seconds_of(step, train_state.device)
    threads = 1
    while threads < most and seconds >= WORTH_TIMING_S:
        more = min(2 * threads, most)
        times = _in_turn(step, (threads, more), torch.set_num_threads, SHARE * seconds)
        if times[more] > GAIN * times[threads]:
            break
        threads = more
    return threads


def _compile(
    train_state: TrainState, step: Callable[[], object], given: int | None, promising: int
) -> int:
    """Compile steps for the threads given, or for one and those that promise more; the faster."""
    compiled = {}
    for threads in (given,) if given else sorted({1, promising}):
        torch.set_num_threads(threads)
        train_state.execute_as("compiled")
        step()
        compiled[threads] = train_state.run_step

    def use(threads: int) -> None:
        torch.set_num_threads(threads)
        train_state.run_step = compiled[threads]

    fewest, *more = compiled
    if more:
        times = _in_turn(step, tuple(compiled), use, WORTH_TIMING_S)
        fewest = fewest if times[more[0]] > GAIN * times[fewest] else more[0]
    use(fewest)
    return fewest


def _in_turn(
    step: Callable[[], object],
    counts: tuple[int, ...],
    use: Callable[[int], None],
    at_most: float,
) -> dict[int, float]:
    """Median seconds of a step by number of threads, timed in turn; says what was found.

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
    medians = {threads: statistics.median(each[1:] or each) for threads, each in times.items()}
    shown = ", ".join(f"{threads}: {each * 1e3:.2g} ms" for threads, each in medians.items())
    print(f"a step by threads: {shown}", file=sys.stderr)
    return medians
