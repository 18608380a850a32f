"""What measuring a training run's models takes, beside as many plain passes of them.

    python tests/benchmarks/history.py [--checkpoints 400] [--n-sequences 5000] [--n-classes 1600]

All measures of attention, at every checkpoint of a run of the coopetition paper's model (which is
trained for as many steps, on Gaussian classes, in a temporary folder), on the five evaluators.
Plain passes are the model's logits of the same sequences; both are timed in turn, in tenths of the
checkpoints.  Wanted: at most 1.5 times as long, and 6 minutes for 400 checkpoints of 5,000
sequences on two cores.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from transformer import load_model, train
from transformer.config import DataConfig, EvaluationConfig, RunConfig
from transformer.data.exemplar_sets import load_exemplars
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.model.transformer import encode, logits_of_items
from transformer.runs.folder import RunFolder
from transformer.runs.measures import write_model_table
from transformer.training.machine import Machine

MEASURES = ("induction_strength", "query_attention", "previous_token", "self_attention")
CHUNK = 1000
PARTS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoints", type=int, default=400)
    parser.add_argument("--n-sequences", type=int, default=5000)
    parser.add_argument("--n-classes", type=int, default=1600)
    flags = parser.parse_args()
    config = RunConfig(
        data=DataConfig(exemplars=GaussianConfig(n_classes=flags.n_classes)),
        evaluation=EvaluationConfig(
            every=flags.checkpoints, n_sequences=flags.n_sequences, n_classes=flags.n_classes
        ),
        n_steps=flags.checkpoints,
        checkpoint_every=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run", Machine("cpu", None, "eager"))
        steps = [step for step in run.steps() if step]
        measured, plain = [], []
        for part in range(PARTS):
            own = steps[part::PARTS]
            start = time.perf_counter()
            write_model_table(run, MEASURES, Path(folder) / f"{part}.csv", steps=own)
            between = time.perf_counter()
            plain_passes(run, own)
            measured.append(between - start)
            plain.append(time.perf_counter() - between)
    ratios = [one / other for one, other in zip(measured, plain, strict=True)]
    print(
        f"{len(steps)} checkpoints x 5 evaluators x {flags.n_sequences} sequences, "
        f"{torch.get_num_threads()} threads: measured in {sum(measured):.0f} s, "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of plain passes"
    )


@torch.no_grad()
def plain_passes(run: RunFolder, steps: list[int]) -> None:
    """The logits of all evaluators' sequences, at each step."""
    exemplars = load_exemplars(run.config.data.exemplars)
    for step in steps:
        model = load_model(run, step)
        own = model.with_run_axis()
        for sequences in run.evaluation_sets().values():
            for start in range(0, len(sequences.target), CHUNK):
                part = slice(start, start + CHUNK)
                features = exemplars.features(sequences.exemplars[:, part])[None]
                items, _ = encode(own, model.config, features, training=False)
                logits_of_items(own, model.config, items, sequences.labels[None, :, part])


if __name__ == "__main__":
    main()
