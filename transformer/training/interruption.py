"""Signals that end training in good order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

KINDS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that fills when SIGINT, SIGTERM or SIGHUP comes, so that a loop can end by itself.

    Outside the main thread, where Python takes no handlers, it stays empty; SIGHUP stays ignored
    where it is (`nohup`).
    """
    received: list[int] = []
    kinds = KINDS if threading.current_thread() is threading.main_thread() else ()
    before = {
        kind: signal.signal(kind, lambda number, _: received.append(number))
        for kind in kinds
        if kind == signal.SIGINT or signal.getsignal(kind) != signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
