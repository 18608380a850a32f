"""Tiny transformers that learn one strategy and then swap it for another.

In a notebook, each of these comes when it is asked for, so that `import transformer` stays light:

train, train_together, resume   train runs into folders, and go on with them
in_memory                       train by a loop of your own, without a folder
load_run                        a run's config, curves, checkpoints, evaluation sets
load_model                      its transformer: logits and activations of any sequences
runs_table                      the metrics of many runs, in long form

The rooms, each of which imports only from those below it:

cli           one file a command
experiments   runs by name: small ones, and those of both papers, which are plans too
sweeps        graphs of runs and measures, worked off by a pool of processes
training      the step, optimisers, execution; the loop from a config to its last step
measures      metrics of sequences; when ICL emerges, peaks and fades
model         parameters, forward pass with taps, positions, ResNet; trained models by themselves
data          exemplars; sequences of every data mode; evaluators
runs          what lies on disk: folders, manifests, checkpoints, metrics, tables of them
config        what defines a run; its id is a hash of it
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformer.runs.folder import load_run as load_run
    from transformer.runs.loop import in_memory as in_memory
    from transformer.runs.loop import resume as resume
    from transformer.runs.loop import train as train
    from transformer.runs.loop import train_together as train_together
    from transformer.runs.models import load_model as load_model
    from transformer.runs.table import runs_table as runs_table

_HOMES = {
    "in_memory": "transformer.runs.loop",
    "load_model": "transformer.runs.models",
    "load_run": "transformer.runs.folder",
    "resume": "transformer.runs.loop",
    "runs_table": "transformer.runs.table",
    "train": "transformer.runs.loop",
    "train_together": "transformer.runs.loop",
}
__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
