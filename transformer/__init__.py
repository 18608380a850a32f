"""Train tiny transformers that learn one strategy and then swap it for another.

These names are imported when they are first used, so that `import transformer` stays light:

train, train_together, resume   train runs into folders, and continue them
in_memory                       train by your own loop, without a folder
load_run                        open a run: config, curves, checkpoints, evaluation sets
load_model                      load a run's transformer: logits and activations of any sequences
runs_table                      tabulate the metrics of many runs in long form

Subpackages, each of which imports only from those below it:

cli            commands
experiments    runs by name: small ones, and the plans of both papers
sweeps         plans of runs and measures, run by local processes or by Slurm
runs           runs on disk: folders, checkpoints, metrics, the training loop, tables
training       runs in memory: the step, optimisers, execution, ensembles, their cost
measures       metrics of sequences and models; events such as the emergence and fade of ICL
interventions  changes of activations during training or evaluation
model          parameters, forward pass with taps, positions, ResNet; trained models
data           exemplars; sequences of every data mode; evaluation sets
config         what defines a run; its id is a hash of it
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
