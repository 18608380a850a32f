"""`python -m paper_figures`."""

import sys

from coopetition.tools.commands import run_as_program


def run() -> int:
    """Run the command line; its imports take seconds, in which it may be interrupted."""
    from paper_figures.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(run_as_program(run, "python -m paper_figures"))
