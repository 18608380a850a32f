"""Train tiny transformers and watch their strategies."""

from collections.abc import Sequence

from coopetition.tools.command_line import run_commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return run_commands(__name__, "python -m transformer", arguments)
