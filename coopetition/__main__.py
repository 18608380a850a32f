"""Run the command line: `python -m coopetition`."""

import sys

from coopetition.cli import main

if __name__ == "__main__":
    sys.exit(main())
