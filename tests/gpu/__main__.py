"""Run `check` or `plan`, as the scripts beside it do; Ctrl-C during the imports is one line."""

import sys
from importlib import import_module

from coopetition.tools.commands import run_as_program

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    work = lambda: import_module(f"tests.gpu.{name}").main(arguments)  # noqa: E731
    sys.exit(run_as_program(work, f"tests/gpu/{name}.sh"))
