"""One node, worked on in this process."""

from pathlib import Path

from coopetition.tools.errors import Interrupted, UserError
from coopetition.tools.files import remove_left_over
from transformer.sweeps.plan import Plan
from transformer.sweeps.standing import forget_failure, held, set_failure


def work(plan: Plan, name: str, runs: Path, device: str = "auto", threads: int = 1) -> None:
    """Make a node, or go on with it; nothing if it is done.

    Whoever starts a node in a process of its own calls this; what it needs must be done.  Why it
    failed is kept on disk, unless it was interrupted.  Raises `Busy` if another process is at it.
    """
    node = plan.nodes[name]
    with held(runs, name):
        remove_left_over(runs / name)
        try:
            if node.is_done(runs):
                forget_failure(runs, name)
                return
            undone = [need for need in node.needs if not plan.nodes[need].is_done(runs)]
            if undone:
                raise UserError(f"{name} needs {', '.join(undone)}, which is not done")
            node.work(runs, device, threads)
            forget_failure(runs, name)
        except Interrupted:
            raise
        except Exception as error:
            is_ours = isinstance(error, UserError | OSError)
            set_failure(runs, name, str(error) if is_ours else f"{type(error).__name__}: {error}")
            raise
