"""`python -m coopetition`: the same as the console command."""

from coopetition.cli import main

if __name__ == "__main__":
    main()
