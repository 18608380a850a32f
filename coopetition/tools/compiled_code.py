"""Machine code of numba, compiled once a machine: kept on disk, and read by later processes.

Numba keeps the code of a function beside its source (or where NUMBA_CACHE_DIR says), and knows by
itself when it is out of date: another source, processor, or version of python or numba.  Generated
source is written to a folder for that: COOPETITION_CACHE, or coopetition in the user's cache folder
(XDG_CACHE_HOME, or ~/.cache).  Where nothing can be written, each process compiles anew, after a
warning.
"""

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from threading import current_thread, main_thread
from types import ModuleType
from typing import Any

import numba
from numba.core import config, event

from coopetition.tools.console import is_progress_shown
from coopetition.tools.errors import UserError
from coopetition.tools.files import write_text

# what reading a pickle that is cut short or overwritten can raise
DAMAGED = (
    UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
)
NUMPY = {"error_model": "numpy"}


def cache_folder() -> Path:
    """Where generated source and its machine code are kept."""
    if own := os.environ.get("COOPETITION_CACHE"):
        return Path(own).absolute()
    users = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(users) if os.path.isabs(users) else Path.home() / ".cache") / "coopetition"


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """Return a function by `numba.njit` that keeps its machine code on disk.

    Division is numpy's: by zero it gives infinity or NaN.
    """
    try:
        return numba.njit(function, cache=True, **NUMPY, **options)
    except RuntimeError:  # numba knows of no folder in which it may write
        _warn_once(Path(function.__code__.co_filename).parent)
        return numba.njit(function, **NUMPY, **options)


def jit_source(source: str, name: str, **options: Any) -> Any:
    """`jit` of the function `name` of a generated module."""
    versions = f"{sys.version} {numba.__version__}"
    digest = hashlib.sha256((versions + source).encode()).hexdigest()[:16]
    path = cache_folder() / f"{name}_{digest}.py"
    # kept code looks for its module by name
    module = sys.modules[path.stem] = ModuleType(path.stem)
    exec(compile(source, str(path), "exec"), module.__dict__)
    function = getattr(module, name)
    try:
        if not path.is_file():
            write_text(path, source)
    except (OSError, UserError):
        _warn_once(path.parent)
        return numba.njit(function, **NUMPY, **options)
    return jit(function, **options)


@cache
def _warn_once(folder: Path) -> None:
    line = f"warning: compiled code cannot be kept in {folder}; every process compiles it anew"
    print(line, file=sys.stderr, flush=True)


def ensure_compiled(function: Any, what: str, *arguments: Any) -> Any:
    """A function of `jit`, ready to be called with such arguments; says so if it compiles `what`.

    Kept code that is cut short or overwritten is made again; single bytes that have changed inside
    it go unnoticed.  With NUMBA_DISABLE_JIT=1 it is the Python function itself.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    types = tuple(numba.typeof(each) for each in arguments)
    if types in function.overloads:
        return function
    kept = function.stats.cache_path
    with _interrupts_held_back(), event.install_listener("numba:compile", _Teller(what, kept)):
        try:
            function.compile(types)
        except DAMAGED:
            if kept is None:
                raise
            _forget(function)
            function.compile(types)
        except OSError:  # it is compiled, but could not be written
            if types not in function.overloads:
                raise
            _warn_once(Path(kept))
    return function


class _Teller(event.Listener):
    """Says once that something is being compiled."""

    def __init__(self, what: str, kept: str | None) -> None:
        self._line: str | None = f"compiling {what}" + (" (once on this machine)" if kept else "")

    def on_start(self, event: event.Event) -> None:
        if self._line is not None and is_progress_shown():
            print(self._line, file=sys.stderr, flush=True)
        self._line = None

    def on_end(self, event: event.Event) -> None:
        pass


def _forget(function: Any) -> None:
    """Remove the kept code of a function."""
    code = function.py_func.__code__
    stem = f"{Path(code.co_filename).stem}.{function.py_func.__qualname__}-{code.co_firstlineno}"
    for path in Path(function.stats.cache_path).glob(f"{stem}.*.nb?"):
        path.unlink(missing_ok=True)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C and termination wait until the end.

    A compiler calls back into Python, from where an exception does not find its way: the program
    would go on as if nobody had stopped it.  The wait is that of one function: some ten seconds.
    """
    if current_thread() is not main_thread():
        yield  # only the main thread hears signals
        return
    came: list[int] = []
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    ours = {each: handler for each, handler in before.items() if callable(handler)}
    for each in ours:
        signal.signal(each, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for each, handler in ours.items():
            signal.signal(each, handler)
        if came:
            signal.raise_signal(came[0])
