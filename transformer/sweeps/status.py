"""Where every node stands, from what lies on disk: whoever works on it, and on which machine.

RUNS/.sweep/NODE.lock     held while a process works on the node (`flock`)
RUNS/.sweep/NODE.log      what its processes said
RUNS/.sweep/NODE.failed   why the last one failed
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from coopetition.tools import locks
from coopetition.tools.errors import UserError, abbreviate
from coopetition.tools.files import write_text
from transformer.sweeps.plan import Node, Plan

State = Literal["done", "running", "failed", "blocked", "stopped", "ready", "waiting"]
FOLDER = ".sweep"


class Busy(UserError):
    """Another process works on the node."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try later


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands.

    `ready` can be begun, `waiting` needs one that is not done, and `blocked` one that failed (or is
    blocked itself); `stopped` is begun and worked on by nobody.
    """

    state: State
    message: str = ""


def log_path(runs: Path, name: str) -> Path:
    """File of what was said while a node was worked on."""
    return runs / FOLDER / f"{name}.log"


def failed_path(runs: Path, name: str) -> Path:
    """File of why a node failed when it was last worked on; none if it did not."""
    return runs / FOLDER / f"{name}.failed"


def failure(runs: Path, name: str) -> str | None:
    """Why a node failed when it was last worked on; None if it did not."""
    try:
        return failed_path(runs, name).read_text().strip()
    except FileNotFoundError:
        return None


def set_failure(runs: Path, name: str, why: str) -> None:
    """Record why a node failed; on a full disk that may not be possible."""
    with contextlib.suppress(OSError):
        write_text(failed_path(runs, name), why + "\n")


def forget_failure(runs: Path, name: str) -> None:
    """Let a node be tried again."""
    failed_path(runs, name).unlink(missing_ok=True)


@contextmanager
def held(runs: Path, name: str) -> Iterator[None]:
    """Hold a node, so that no second process works on it; the system frees it on a kill."""
    path = _lock_path(runs, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.hold(path, Busy(f"{name} in {runs} is worked on by another process")):
        yield


def is_held(runs: Path, name: str) -> bool:
    """Whether a process works on a node."""
    return locks.is_held(_lock_path(runs, name))


def _lock_path(runs: Path, name: str) -> Path:
    return runs / FOLDER / f"{name}.lock"


def standing(node: Node, runs: Path) -> Standing:
    """How a node stands by itself: what it needs is not looked at."""
    if is_held(runs, node.name):
        share = node.share_done(runs)
        return Standing("running", f"{share:.0%}" if share else "")
    try:
        if node.is_done(runs):
            return Standing("done")
    except (UserError, OSError) as error:
        return Standing("failed", str(error))
    if why := failure(runs, node.name):
        return Standing("failed", why)
    if share := node.share_done(runs):
        return Standing("stopped", f"at {share:.0%}")
    return Standing("ready")


def standings(
    plan: Plan, runs: Path, failures: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Standing]:
    """How each node stands; `failures` are those that the caller knows of."""
    found: dict[str, Standing] = {}
    for name, node in plan.nodes.items():
        own = standing(node, runs)
        if name in failures and own.state not in ("done", "running"):
            own = Standing("failed", failures[name])
        if own.state == "ready":
            states = {need: found[need].state for need in node.needs}
            bad = [need for need, state in states.items() if state in ("failed", "blocked")]
            undone = [need for need, state in states.items() if state != "done"]
            if bad:
                own = Standing("blocked", f"needs {abbreviate(bad)}")
            elif undone:
                n_done = len(states) - len(undone)
                share = f"; {n_done} of {len(states)} done" if len(states) > 1 else ""
                own = Standing("waiting", f"for {abbreviate(undone)}{share}")
        found[name] = own
    return found
