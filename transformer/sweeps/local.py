"""Run the nodes of a plan in processes of this machine."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from coopetition.tools.console import print_progress
from coopetition.tools.errors import Interrupted
from transformer.runs.session import catch_stop_signals
from transformer.sweeps.plan import Plan
from transformer.sweeps.report import progress_line
from transformer.sweeps.status import (
    Busy,
    is_running,
    log_path,
    node_status,
    plan_status,
    write_failure,
)
from transformer.sweeps.work import Work, open_nodes

POLL_S = 1.0  # signals, and nodes that other processes work on, are noticed within this time
REPORT_S = 30.0  # between two lines of progress


class LocalSweep:
    """Processes of this machine, `jobs` at a time, each of which does one node.

    Every process is forked from a server that has imported the module of `work`.
    """

    def __init__(self, plan: Plan, runs: Path, work: Work, jobs: int) -> None:
        self.plan, self.runs, self.work, self.jobs = plan, runs, work, jobs
        statuses = plan_status(plan, runs)
        self._queue = open_nodes(plan, statuses)
        self._processes: dict[str, BaseProcess] = {}
        self._done = {name for name, status in statuses.items() if status.state == "done"}
        self._elsewhere: set[str] = set()
        self._context = multiprocessing.get_context("forkserver")
        # importing the second takes longer than a short run
        self._context.set_forkserver_preload([work.__module__, "torch._dynamo"])

    def run(self) -> None:
        """Run all nodes that can be done, until only nodes are left that need a failed one.

        SIGINT and SIGTERM stop the processes, which write checkpoints, and raise `Interrupted`.
        """
        log_path(self.runs, "").parent.mkdir(parents=True, exist_ok=True)
        reported = time.monotonic()
        with catch_stop_signals() as stop:
            while not stop:
                self._collect()
                ready = [name for name, after in self._queue.items() if self._done >= {*after}]
                if not (ready or self._processes):
                    return
                try:
                    has_started = self._start(ready)
                except EOFError:  # a signal ended the fork server
                    if not stop:
                        raise
                    break
                if not has_started:
                    self._wait()
                if time.monotonic() - reported > REPORT_S:
                    reported = time.monotonic()
                    _print(progress_line(self.plan, self.runs, self.jobs, self._done))
            self._cancel(stop)
        name = signal.Signals(stop[0]).name
        raise Interrupted(
            f"{self.runs}: stopped by {name}; run the same command again to continue", stop[0]
        )

    def _start(self, ready: list[str]) -> bool:
        """Start nodes while processes are free; return whether the queue has changed."""
        n_queued = len(self._queue)
        for name in ready:
            if len(self._processes) >= self.jobs:
                break
            status = node_status(self.plan.nodes[name], self.runs)
            if status.state == "running":
                if name not in self._elsewhere:
                    self._elsewhere.add(name)
                    _print(f"{name}: waiting for another process that works on it")
                continue
            del self._queue[name]
            if status.state == "done":
                self._done.add(name)
            elif status.state == "failed":
                print(f"sweep: {name}: failed: {status.message}", file=sys.stderr, flush=True)
            else:
                _print(f"{name}: started")
                self._processes[name] = self._start_process(name)
        return len(self._queue) < n_queued

    def _start_process(self, name: str) -> BaseProcess:
        _start_fork_server()
        log = str(log_path(self.runs, name))
        process = self._context.Process(target=_child, args=(self.work, name, log), name=name)
        process.start()
        return process

    def _collect(self) -> None:
        """Remove the processes that have ended; queue a node again that was busy elsewhere."""
        for name, process in [*self._processes.items()]:
            code = process.exitcode
            if code is None:
                continue
            del self._processes[name]
            if code == 0:
                self._done.add(name)
                _print(f"{name}: done")
            elif code == Busy.exit_code:
                self._queue[name] = []
            else:
                status = node_status(self.plan.nodes[name], self.runs)
                has_reason = status.state == "failed"
                reason = status.message if has_reason else self._record_exit(name, code)
                print(f"sweep: {name}: failed: {reason}", file=sys.stderr, flush=True)

    def _record_exit(self, name: str, code: int) -> str:
        """Record and return the exit of a process that gave no reason itself."""
        end = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        reason = f"its process {end}; see {log_path(self.runs, name)}"
        write_failure(self.runs, name, reason)
        return reason

    def _wait(self) -> None:
        alive = [each.sentinel for each in self._processes.values() if each.exitcode is None]
        wait(alive, POLL_S)

    def _cancel(self, stop: list[int]) -> None:
        """Stop the processes after their checkpoints; at once if a second signal comes."""
        processes = self._processes.values()
        for process in processes:
            process.terminate()
        while any(process.exitcode is None for process in processes):
            self._wait()
            if len({*stop}) > 1 or len(stop) > 2:
                for process in processes:
                    process.kill()
        while any(is_running(self.runs, name) for name in self._processes):
            time.sleep(0.1)  # a process may outlive the fork server


def _start_fork_server() -> None:
    """Start the fork server, unless it runs, with SIGINT blocked.

    SIGINT would end it while it imports. The processes that it forks are ended by SIGTERM.
    """
    resource_tracker.ensure_running()  # its start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _print(line: str) -> None:
    print_progress(f"sweep: {line}")


def _child(work: Work, name: str, log: str) -> None:
    """Do a node in the new process, with its output in a log file."""
    with open(log, "ab", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    sys.exit(work(name))


def _stop_with_parent() -> None:
    """Ask this process to stop when the sweep that started it has died, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()  # returns when the system closes the parent's end of a pipe
    os.kill(os.getpid(), signal.SIGTERM)
