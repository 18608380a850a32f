"""`python -m paper_figures`."""

from paper_figures.cli import main

if __name__ == "__main__":
    main()
