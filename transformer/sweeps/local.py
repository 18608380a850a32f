"""One node, worked on in this process.

All nodes of a plan, by some processes of this machine.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from coopetition.tools.errors import Interrupted, UserError, abbreviate
from coopetition.tools.files import remove_stale_temporaries
from transformer.runs.loop import catch_stop_signals
from transformer.sweeps.plan import Plan
from transformer.sweeps.report import Estimate, clock
from transformer.sweeps.status import (
    Busy,
    Standing,
    failure,
    forget_failure,
    held,
    is_held,
    log_path,
    set_failure,
    standing,
    standings,
)


def work(plan: Plan, name: str, runs: Path, device: str = "auto", threads: int = 1) -> None:
    """Make a node, or go on with it; nothing if it is done.

    Whoever starts a node in a process of its own calls this; what it needs must be done, else
    `UserError` is raised.  Why it failed is kept on disk, unless it was interrupted or came too
    early.  Raises `Busy` if another process is at it.
    """
    node = plan.nodes[name]
    with held(runs, name):
        remove_stale_temporaries(runs / name)
        with _recorded(runs, name):
            if node.is_done(runs):
                return
        if undone := [need for need in node.needs if not plan.nodes[need].is_done(runs)]:
            raise UserError(f"{name} needs {abbreviate(undone)}, not done yet; do that first")
        with _recorded(runs, name):
            node.work(runs, device if node.uses_gpu else "cpu", threads)


@contextmanager
def _recorded(runs: Path, name: str) -> Iterator[None]:
    """Keep why work on a node failed; forget it once it did not."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        is_ours = isinstance(error, UserError | OSError)
        set_failure(runs, name, str(error) if is_ours else f"{type(error).__name__}: {error}")
        raise
    forget_failure(runs, name)


LOOK_EVERY_S = 1.0  # at signals, and at nodes that another process works on
TELL_EVERY_S = 30.0

Entry = Callable[[str], int]  # does the node of a name; its exit code


class Pool:
    """Works off a plan by `jobs` processes at once, each with one node.

    Parameters
    ----------
    entry : does a node in the process that it is called in.  It is pickled; its module is imported
        once, by a process that all others are forked from
    """

    def __init__(self, plan: Plan, runs: Path, entry: Entry, jobs: int) -> None:
        self.plan, self.runs, self.entry, self.jobs = plan, runs, entry, jobs
        self.failures: dict[str, str] = {}
        self._estimate = Estimate(runs)
        self._processes: dict[str, BaseProcess] = {}
        self._elsewhere: set[str] = set()
        self._context = multiprocessing.get_context("forkserver")
        module = getattr(entry, "func", entry).__module__
        # the second takes longer than a short run, which would import it
        self._context.set_forkserver_preload([module, "torch._dynamo"])

    def run(self) -> dict[str, Standing]:
        """Work until all is done or has failed; how each node then stands.

        SIGINT and SIGTERM stop the processes, which write checkpoints, and raise `Interrupted`.
        """
        log_path(self.runs, "").parent.mkdir(parents=True, exist_ok=True)
        sorter = TopologicalSorter(self.plan.graph())
        sorter.prepare()
        rank = {name: number for number, name in enumerate(self.plan.nodes)}
        queue: list[str] = []  # of which all needs are done
        told = time.monotonic()
        with catch_stop_signals() as stop:
            while not stop:
                queue = sorted([*queue, *sorter.get_ready()], key=rank.__getitem__)
                try:
                    done = self._start(queue) + self._ended(queue)
                except EOFError:  # a signal has ended the process that all are forked from, too
                    if not stop:
                        raise
                    break
                sorter.done(*done)
                if not (done or queue or self._processes):
                    break
                if not done:
                    self._wait()
                if time.monotonic() - told > TELL_EVERY_S:
                    told = time.monotonic()
                    self._tell_progress()
            if stop:
                self._stop(stop)
                name = signal.Signals(stop[0]).name
                raise Interrupted(
                    f"{self.runs}: stopped by {name}; start it again to go on", stop[0]
                )
        return standings(self.plan, self.runs, self.failures)

    def _start(self, queue: list[str]) -> list[str]:
        """Start what is in the queue, as long as processes are free; what turns out to be done."""
        done = []
        for name in [*queue]:
            if len(self._processes) >= self.jobs:
                break
            own = standing(self.plan.nodes[name], self.runs)
            if own.state == "running":
                if name not in self._elsewhere:
                    self._elsewhere.add(name)
                    _tell(f"{name}: another process works on it; waiting for that")
                continue
            queue.remove(name)
            if own.state == "done":
                done.append(name)
            elif own.state == "failed":
                self._fail(name, own.message)
            else:
                _tell(f"{name}: started")
                _ready_server()
                process = self._process(name)
                process.start()
                self._processes[name] = process
        return done

    def _process(self, name: str) -> BaseProcess:
        log = str(log_path(self.runs, name))
        return self._context.Process(target=_child, args=(self.entry, name, log), name=name)

    def _ended(self, queue: list[str]) -> list[str]:
        """Take leave of processes that have ended; the nodes that are done."""
        done = []
        for name, process in [*self._processes.items()]:
            if process.exitcode is None:
                continue
            del self._processes[name]
            if process.exitcode == 0:
                done.append(name)
                _tell(f"{name}: done")
            elif process.exitcode == Busy.exit_code:
                queue.append(name)
            else:
                self._fail(name, failure(self.runs, name) or self._record(name, process.exitcode))
        return done

    def _record(self, name: str, code: int) -> str:
        """Keep why a process ended that did not say so itself."""
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        why = f"its process {how}; see {log_path(self.runs, name)}"
        set_failure(self.runs, name, why)
        return why

    def _fail(self, name: str, why: str) -> None:
        self.failures[name] = why
        _tell(f"{name}: failed: {why}")

    def _wait(self) -> None:
        alive = [each for each in self._processes.values() if each.exitcode is None]
        if alive:
            wait([process.sentinel for process in alive], LOOK_EVERY_S)
        else:
            time.sleep(LOOK_EVERY_S)

    def _stop(self, stop: list[int]) -> None:
        """End the processes in good order; at once if a second signal comes."""
        for process in self._processes.values():
            process.terminate()
        while any(process.exitcode is None for process in self._processes.values()):
            self._wait()
            if len({*stop}) > 1 or len(stop) > 2:
                for process in self._processes.values():
                    process.kill()
        while any(is_held(self.runs, name) for name in self._processes):
            time.sleep(0.1)  # the process that all are forked from may have been ended before them

    def _tell_progress(self) -> None:
        now = standings(self.plan, self.runs, self.failures)
        states = [each.state for each in now.values()]
        running = [
            f"{name} {each.message}" for name, each in now.items() if each.state == "running"
        ]
        left = self._estimate.seconds_left(self.plan, now, self.jobs)
        n_failed = states.count("failed")
        _tell(
            f"{states.count('done')}/{len(states)} nodes"
            + (f", {n_failed} failed" if n_failed else "")
            + f", ETA {clock(left)}  {', '.join(running)}"
        )


def _ready_server() -> None:
    """Start the process that all are forked from, if it does not run.

    SIGINT stays blocked in it: it would die of it while it imports.  Those that are forked are
    ended by SIGTERM.
    """
    resource_tracker.ensure_running()  # which would unblock the signal when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tell(line: str) -> None:
    print(f"sweep: {line}", file=sys.stderr, flush=True)


def _child(entry: Entry, name: str, log: str) -> None:
    """In the new process: what it says goes into its log."""
    with open(log, "ab", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(entry(name))
