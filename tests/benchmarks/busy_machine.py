"""Measure what the automatic number of threads costs, alone and beside a busy process.

    python tests/benchmarks/busy_machine.py [--n-steps 10000] [--n-classes 1600] [--seconds 12]

The number is chosen as `train` chooses it for a run of `--n-steps` uncompiled steps of the
coopetition paper's model.  Steps with one thread, with all threads and with the chosen number are
then timed in turn.  The command prints medians, and the time of the run (with the trial) over its
time with the best fixed number.  On a busy machine the ratio should be below 4/3.  With the values
above it takes about a minute.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from transformer.training.bench import BATCH_SIZE, Workload
from transformer.training.execution import choose_execution, median_seconds, repeated_step
from transformer.training.machine import Machine, keep_freed_memory

CPU = torch.device("cpu")
REPEATS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-steps", type=int, default=10_000, help="of the run")
    parser.add_argument("--n-classes", type=int, default=1600)
    parser.add_argument("--seconds", type=float, default=12.0, help="of timing, under each load")
    flags = parser.parse_args()
    if torch.get_num_threads() == 1:
        sys.exit(
            "torch has one thread here; unset OMP_NUM_THREADS, or use a machine with two cores"
        )
    keep_freed_memory()
    workload = Workload(flags.n_classes)
    for name, n_spinning in (("alone", 0), ("beside a spinning process", 1)):
        with spinning(n_spinning):
            print(f"{name}: {compare(workload, flags.n_steps, flags.seconds)}", flush=True)


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Run busy processes until the end."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def compare(workload: Workload, n_steps: int, seconds: float) -> str:
    """Return median step times with one thread, all threads and the chosen number, as text."""
    most = torch.get_num_threads()
    train_state = workload.train_state(CPU)
    step = repeated_step(train_state, BATCH_SIZE)
    start = time.perf_counter()
    machine, _ = choose_execution(train_state, step, Machine("cpu", None, "eager"), n_steps)
    trial = time.perf_counter() - start
    threads = {"1": 1, f"all {most}": most, f"chosen {machine.threads}": machine.threads or 1}
    times: dict[str, list[float]] = {name: [] for name in threads}
    for _ in range(REPEATS):
        for name, number in threads.items():
            torch.set_num_threads(number)
            step()
            times[name].append(median_seconds(step, CPU, seconds / len(threads) / REPEATS))
    torch.set_num_threads(most)
    *fixed, chosen = medians = [statistics.median(each) for each in times.values()]
    shown = ", ".join(
        f"{name}: {each * 1e3:.4g} ms" for name, each in zip(times, medians, strict=True)
    )
    ratio = (trial + n_steps * chosen) / (n_steps * min(fixed))
    return f"{shown}; trial {trial:.1f} s; run as chosen / best fixed {ratio:.2f}"


if __name__ == "__main__":
    main()
