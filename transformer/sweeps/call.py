"""A sweep as it was called, so that each of its nodes can be done in a process of its own."""

import sys
from dataclasses import dataclass
from pathlib import Path

from transformer.config.run import Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What decides the plan, and where it is worked off."""

    plan: str
    """A name or a file."""
    runs: Path
    scale: Scale = "cpu"
    data: tuple[tuple[str, Path], ...] = ()
    """Kinds of exemplars and their files."""
    device: str = "auto"
    threads: int = 1
    plugins: tuple[str, ...] = ()

    def command(self, name: str) -> list[str]:
        """The command line that does one node whose needs are done, and nothing if that is done.

        It exits with 0 if the node is then done, 75 if another process works on it, 128 plus the
        signal's number after a checkpoint, and else with 1 or 2.
        """
        command = [sys.executable, "-m", "transformer"]
        for plugin in self.plugins:
            command += ["--plugin", plugin]
        command += ["sweep", self.plan, "--runs", str(self.runs), "--scale", self.scale]
        for kind, path in self.data:
            command += ["--data", kind, str(path)]
        return [*command, "--device", self.device, "--threads", str(self.threads), "--node", name]
