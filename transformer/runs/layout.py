"""The files of a run folder.

DIR/manifest.json      what was run, with which versions, on which machine
DIR/metrics.jsonl      one line an evaluation
DIR/checkpoints/       step_NNNNNNNNN.safetensors: weights
DIR/state/             step_NNNNNNNNN.safetensors: all that a resume needs, by default of the last
DIR/evaluators/        the evaluation sets
DIR/sequences/         step_NNNNNNNNN.npz: metrics of every sequence, if asked for
DIR/status.json        how the last session ended
DIR/.lock              held while a process trains the run (`flock`: POSIX systems only)

An ensemble is a folder of run folders with an `ensemble.json`.  Its `checkpoints/`, `state/` and
`evaluators/` serve all runs: a file holds a step of all, each tensor with a run axis.  Steps that a
run trains alone lie in its own folder.
"""

from pathlib import Path

from coopetition.tools import run_files

MANIFEST = run_files.MANIFEST
ENSEMBLE = "ensemble.json"  # the names of runs that are trained together
METRICS, STATUS, LOCK = "metrics.jsonl", "status.json", ".lock"
CHECKPOINTS, STATES, EVALUATORS, SEQUENCES = "checkpoints", "state", "evaluators", "sequences"


def step_file(folder: Path, kind: str, step: int) -> Path:
    """Return the file of a step in a folder: its weights (`CHECKPOINTS`) or state (`STATES`)."""
    return folder / kind / f"step_{step:09d}.safetensors"


def checkpoint_name(step: int) -> str:
    """Return the file of a step's weights, relative to the run folder."""
    return str(step_file(Path(), CHECKPOINTS, step))


def list_steps(folder: Path, kind: str) -> list[int]:
    """Return the steps of which a folder has a file, rising, without dangling links."""
    names = (file.stem.removeprefix("step_") for file in (folder / kind).glob("step_*.safetensors"))
    steps = sorted({int(name) for name in names if name.isdecimal()})
    return [step for step in steps if step_file(folder, kind, step).exists()]
