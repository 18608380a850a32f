"""Compile functions with numba once a machine: later processes read the code from disk.

Numba keeps the code of a function beside its source (or in NUMBA_CACHE_DIR), and knows when it is
out of date: another source, processor, or version of Python or numba.  Generated source is written
to COOPETITION_CACHE, or to the folder coopetition in the user's cache folder (XDG_CACHE_HOME, or
~/.cache).  If nothing can be written, every process compiles again, after a warning.
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

from coopetition.tools.console import print_progress
from coopetition.tools.errors import UserError
from coopetition.tools.files import write_text
from coopetition.tools.signals import END_SIGNALS, handle_signals

# what reading a pickle that is cut short or overwritten can raise
UNREADABLE = (
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
    """Return the folder of generated source and its machine code."""
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
    except RuntimeError:  # numba has no folder in which it may write
        _warn_once(Path(function.__code__.co_filename).parent)
        return numba.njit(function, **NUMPY, **options)


def jit_source(source: str, name: str, **options: Any) -> Any:
    """Return the function `name` of a generated module, as `jit` does."""
    versions = f"{sys.version} {numba.__version__}"
    digest = hashlib.sha256((versions + source).encode()).hexdigest()[:16]
    path = cache_folder() / f"{name}_{digest}.py"
    # numba looks for the module of kept code by name
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
    line = f"warning: compiled code cannot be kept in {folder}; every process compiles it again"
    print(line, file=sys.stderr, flush=True)


def ensure_compiled(function: Any, description: str, *arguments: Any) -> Any:
    """Compile a function of `jit` for such arguments, unless its code is kept, and return it.

    Code that is cut short or overwritten is compiled again; single bytes that have changed inside
    it go unnoticed.  With NUMBA_DISABLE_JIT=1 it is the Python function itself.

    description : of the function, for the line that says that it is compiled
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    types = tuple(numba.typeof(each) for each in arguments)
    if types in function.overloads:
        return function
    kept = function.stats.cache_path
    with (
        _delay_interrupts(),
        event.install_listener("numba:compile", _CompileListener(description, kept)),
    ):
        try:
            function.compile(types)
        except UNREADABLE:
            if kept is None:
                raise
            _forget(function)
            function.compile(types)
        except OSError:  # the code is compiled, but cannot be written
            if types not in function.overloads:
                raise
            _warn_once(Path(kept))
    return function


class _CompileListener(event.Listener):
    """Print one line when numba starts to compile."""

    def __init__(self, description: str, kept: str | None) -> None:
        once = " (once on this machine)" if kept else ""
        self._line: str | None = f"compiling {description}{once}"

    def on_start(self, event: event.Event) -> None:
        if self._line is not None:
            print_progress(self._line)
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
def _delay_interrupts() -> Iterator[None]:
    """Delay Ctrl-C and the signals that end a program until the end of the context.

    The compiler calls back into Python and loses the exceptions that are raised there: the program
    would continue as if it had not been stopped.  One function takes ten seconds at most.
    """
    if current_thread() is not main_thread():
        yield  # only the main thread receives signals
        return
    received: list[int] = []
    # a host program may have handlers that Python cannot set again
    numbers = [n for n in (signal.SIGINT, *END_SIGNALS) if signal.getsignal(n) is not None]
    try:
        with handle_signals(numbers, lambda number, _: received.append(number)):
            yield
    finally:
        if received:
            signal.raise_signal(received[0])
