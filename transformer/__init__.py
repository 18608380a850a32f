"""Tiny transformers that learn one strategy and then replace it by another.

For notebooks (each name is imported when it is first used, so that `import transformer` is fast):

train, train_together, resume   train runs in folders, and continue them
in_memory                       train in a loop of your own, without a folder
load_run                        config, curves, checkpoints and evaluation sets of a run
load_model                      the transformer of a run: logits and activations of any sequences
runs_table                      the metrics of many runs, in long form

CONTRIBUTING.md lists the packages.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformer.runs.folder import load_run as load_run
    from transformer.runs.models import load_model as load_model
    from transformer.runs.table import runs_table as runs_table
    from transformer.runs.train import in_memory as in_memory
    from transformer.runs.train import resume as resume
    from transformer.runs.train import train as train
    from transformer.runs.train import train_together as train_together

_HOMES = {
    "in_memory": "transformer.runs.train",
    "load_model": "transformer.runs.models",
    "load_run": "transformer.runs.folder",
    "resume": "transformer.runs.train",
    "runs_table": "transformer.runs.table",
    "train": "transformer.runs.train",
    "train_together": "transformer.runs.train",
}
__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
