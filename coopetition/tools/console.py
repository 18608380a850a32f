"""Print results as text or JSON, and report progress on standard error.

Progress is a bar on a terminal and plain lines elsewhere, with rate and remaining time.
"""

import contextlib
import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, Token
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from coopetition.tools.files import text_table, to_json


def print_json(content: Any) -> None:
    """Print one JSON object."""
    print(to_json(content), end="")


def print_written(*paths: Path, as_json: bool = False) -> None:
    """Name the files that were written; on standard error if the output is JSON."""
    print(f"wrote {' and '.join(map(str, paths))}", file=sys.stderr if as_json else sys.stdout)


def print_table(table: dict[str, Any], *, as_json: bool) -> None:
    """Print names and values, one pair a line."""
    if as_json:
        print_json(table)
        return
    for name, value in table.items():
        print(f"{name:24} {_format_cell(value, '.4g')}")


def print_rows(
    rows: Iterable[dict[str, Any]], *, as_json: bool, shown: tuple[str, ...] = ()
) -> None:
    """Print rows as a table, or as one JSON object a line as they come.

    shown : columns of the table; default: all of the first row
    """
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    rows = list(rows)
    names = shown or tuple(rows[0])
    cells = ([_format_cell(row[n], ".3f") for n in names] for row in rows)
    print(text_table([names, *cells], width=None))


def _format_cell(value: Any, of_floats: str) -> str:
    return "-" if value is None else format(value, of_floats if isinstance(value, float) else "")


LINE_EVERY_S = 10.0  # between two plain lines
REFRESH_S = 0.2  # between two updates of the bar
LONGEST_ETA_S = 1e13  # what a `timedelta` holds, and a third of a million years

SWITCH = "COOPETITION_PROGRESS"  # environment variable; 0: progress is not shown
_OUTER: ContextVar["ProgressReport | None"] = ContextVar("outer progress report", default=None)
_IS_WANTED: ContextVar[bool] = ContextVar("progress is wanted by the caller", default=True)
Function = TypeVar("Function", bound=Callable[..., Any])


def show_progress(shown: bool) -> None:
    """Switch the progress of all functions on or off, including lines about compilation.

    `show_progress(False)` keeps a notebook clean; notes and warnings are still printed.  The switch
    is the environment variable COOPETITION_PROGRESS (0 is off), so that processes which are started
    later obey it, too.
    """
    os.environ[SWITCH] = str(int(shown))


def is_progress_shown() -> bool:
    """Return whether progress is shown."""
    return os.environ.get(SWITCH) != "0" and _IS_WANTED.get()


def add_progress_switch(function: Function) -> Function:
    """Return the function such that its keyword `progress=False` switches off its progress.

    This includes all functions that it calls, also in other processes (`map_in_processes`).
    """

    @functools.wraps(function)
    def switched(*args: Any, **kwargs: Any) -> Any:
        token = _IS_WANTED.set(_IS_WANTED.get() and kwargs.get("progress", True))
        try:
            return function(*args, **kwargs)
        finally:
            _IS_WANTED.reset(token)

    return cast(Function, switched)


def print_progress(line: str) -> None:
    """Print a line on standard error, if progress is shown."""
    if is_progress_shown():
        # a reader of standard error that has gone must not end the work
        with contextlib.suppress(BrokenPipeError):
            print(line, file=sys.stderr, flush=True)


class ProgressReport:
    """Report the progress of work; use as a context manager, and call `advance` as work is done.

    The rate is measured from the first `advance`, because a program may compile or load before it.
    A report within another one prints nothing unless its work takes long.
    """

    def __init__(self, label: str, total: int, unit: str, *, done: int = 0) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self._note = ""
        self._printed: tuple[int, str] | None = None  # count and note of the last line

    def __enter__(self) -> Self:
        self._outer = _OUTER.get()
        self._token: Token[ProgressReport | None] = _OUTER.set(self)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(file=sys.stderr),
            get_time=time.monotonic,
            speed_estimate_period=math.inf,
        )
        task_id = self._progress.add_task(
            self.label, total=self.total, completed=self.done, rate="", note=""
        )
        self._task = self._progress.tasks[task_id]
        self._is_bar = (
            self._progress.console.is_terminal and not self._outer and is_progress_shown()
        )
        if self._is_bar:
            self._progress.start()
        self._started = self._last = time.monotonic()
        self._is_first = True
        return self

    def __exit__(self, *_: object) -> None:
        _OUTER.reset(self._token)
        is_silent_part = self._outer is not None and self._printed is None
        if self._printed != (self.done, self._note) and not is_silent_part:
            self._show()
        if self._is_bar:
            self._progress.stop()

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        """Count `amount` more units as done, and show `note` beside the count from now on."""
        self.done += amount
        self._note = self._note if note is None else note
        if self._is_first:
            self._progress.update(self._task.id, completed=self.done)
            self._is_first = False
        if time.monotonic() - self._last >= (REFRESH_S if self._is_bar else LINE_EVERY_S):
            self._show()

    def _show(self) -> None:
        self._last = time.monotonic()
        self._progress.update(self._task.id, completed=self.done)
        rate = f"{self._task.speed:.3g} {self.unit}/s" if self._task.speed else ""
        self._progress.update(self._task.id, rate=rate, note=self._note)
        self._printed = self.done, self._note
        if self._is_bar:
            return
        remaining = self._task.time_remaining
        if self.done >= self.total:
            duration = f"took {timedelta(seconds=round(self._last - self._started))}"
        elif remaining is None or remaining > LONGEST_ETA_S:
            duration = "ETA unknown"
        else:
            duration = f"ETA {timedelta(seconds=remaining)}"
        counted = f"{self._prefix()}{self.label}: {self.done}/{self.total} {self.unit}"
        line = ", ".join(filter(None, (counted, rate, duration)))
        print_progress(f"{line}  {self._note}".rstrip())

    def _prefix(self) -> str:
        """Name the work of which this is a part."""
        if self._outer is None:
            return ""
        outer = self._outer
        return f"{outer._prefix()}{outer.label} {outer.done + 1}/{outer.total}: "


def map_in_processes(
    function: Callable[[Any], Any], items: Iterable[Any], n_jobs: int
) -> Iterator[Any]:
    """Yield the function of each item, in order, by so many processes."""
    if n_jobs == 1:
        yield from map(function, items)
        return
    from concurrent.futures import ProcessPoolExecutor  # slow to import

    with ProcessPoolExecutor(n_jobs, None, show_progress, (is_progress_shown(),)) as pool:
        yield from pool.map(function, items)
