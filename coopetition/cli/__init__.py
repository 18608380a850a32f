"""Theory of strategy coopetition in transformers."""

from collections.abc import Sequence

from coopetition.tools.commands import run_commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run_commands(__name__, "coopetition", arguments)
