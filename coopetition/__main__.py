"""`python -m coopetition`: the same as the console command."""

import sys

from coopetition.cli import main

if __name__ == "__main__":
    sys.exit(main())
