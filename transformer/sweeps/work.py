"""One node, worked on in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coopetition.tools.errors import Interrupted, UserError, abbreviate
from coopetition.tools.files import remove_stale_temporaries
from transformer.sweeps.plan import Plan
from transformer.sweeps.standing import forget_failure, held, set_failure


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
            node.work(runs, device, threads)


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
