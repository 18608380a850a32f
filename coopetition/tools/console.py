"""What commands print: tables for reading, or the same as JSON, and what was written where.

Progress with rate and ETA: a bar on a terminal, plain lines elsewhere, always on stderr.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterable
from contextvars import ContextVar, Token
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from coopetition.tools.files import to_json


def print_json(content: Any) -> None:
    """Print one JSON object."""
    print(to_json(content), end="")


def print_written(*paths: Path, as_json: bool = False) -> None:
    """Say what was written; beside a JSON object, on standard error."""
    print(f"wrote {' and '.join(map(str, paths))}", file=sys.stderr if as_json else sys.stdout)


def print_table(table: dict[str, Any], *, as_json: bool) -> None:
    """Names and values, one a line."""
    if as_json:
        print_json(table)
        return
    for name, value in table.items():
        shown = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else value
        print(f"{name:24} {shown}")


def print_rows(
    rows: Iterable[dict[str, Any]], *, as_json: bool, shown: tuple[str, ...] = ()
) -> None:
    """A table of rows with the same names, or of those `shown`; JSON objects as they come."""
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    rows = list(rows)
    names = shown or tuple(rows[0])
    cells = [names, *(tuple(_cell(row[name]) for name in names) for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(names))]
    for row in cells:
        padded = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


LINE_EVERY_S = 10.0  # between two plain lines
REFRESH_S = 0.2  # between two updates of the bar, so that it costs nothing


_is_shown = True
_OUTER: ContextVar["ProgressReport | None"] = ContextVar("outer progress report", default=None)


def show_progress(shown: bool) -> None:
    """Turn all progress reports on or off, those of compilation among them, from now on.

    A notebook that is to stay clean calls `show_progress(False)`.
    """
    global _is_shown
    _is_shown = bool(shown)


def is_progress_shown() -> bool:
    """Return whether progress is shown."""
    return _is_shown


class ProgressReport:
    """Counts work done.  Use as a context manager and call `advance` as work is done.

    The rate is that since the first `advance`, before which a program may compile or load.  A part
    of work that is itself reported says nothing unless it takes long.
    """

    def __init__(self, label: str, total: int, unit: str, *, done: int = 0) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self._first: tuple[int, float] | None = None  # what was done at the first advance, and when
        self._note = ""
        self._shown: tuple[int, str] | None = None  # count and note of the last line
        self._bar: Progress | None = None
        self._outer: ProgressReport | None = None

    def __enter__(self) -> Self:
        self._start = self._last = time.monotonic()
        self._outer = _OUTER.get()
        self._token: Token[ProgressReport | None] = _OUTER.set(self)
        console = Console(file=sys.stderr)
        if console.is_terminal and self._outer is None and _is_shown:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
            )
            self._task = self._bar.add_task(
                self.label, total=self.total, completed=self.done, rate="", note=""
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _OUTER.reset(self._token)
        unsaid = self._outer is not None and self._shown is None
        if self._shown != (self.done, self._note) and not unsaid:
            self._show()
        if self._bar is not None:
            self._bar.stop()

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        """Count `amount` more units as done; `note` is shown beside the count from now on."""
        self.done += amount
        if self._first is None:
            self._first = self.done, time.monotonic()
        if note is not None:
            self._note = note
        interval = LINE_EVERY_S if self._bar is None else REFRESH_S
        if time.monotonic() - self._last >= interval:
            self._show()

    def _show(self) -> None:
        if not _is_shown:
            return
        # a reader of standard error that has gone must not end the work
        with contextlib.suppress(BrokenPipeError):
            self._write()

    def _write(self) -> None:
        self._last = time.monotonic()
        self._shown = self.done, self._note
        first_done, first_at = self._first or (self.done, self._last)
        rate = (self.done - first_done) / max(self._last - first_at, 1e-9)
        rate_text = f"{rate:.3g} {self.unit}/s" if rate else ""
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, rate=rate_text, note=self._note)
            return
        if self.done >= self.total:
            time_text = f"took {_clock(self._last - self._start)}"
        elif rate > 0:
            time_text = f"ETA {_clock((self.total - self.done) / rate)}"
        else:
            time_text = "ETA unknown"
        counted = f"{self._place()}{self.label}: {self.done}/{self.total} {self.unit}"
        line = ", ".join(filter(None, (counted, rate_text, time_text)))
        print(f"{line}  {self._note}".rstrip(), file=sys.stderr, flush=True)

    def _place(self) -> str:
        """Of which work it is a part."""
        if self._outer is None:
            return ""
        outer = self._outer
        return f"{outer._place()}{outer.label} {outer.done + 1}/{outer.total}: "


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
