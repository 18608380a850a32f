"""What interventions cost a training step, and that none cost nothing.

    python tests/benchmarks/interventions.py [--n-classes 1600] [--execution compiled] [--rounds 7]

Steps of the coopetition paper's model are timed in turn in one process, by one thread: as the
trainer takes them without interventions, with its loss written out (so that interventions have no
place in it), and under some of them.  Printed are medians over the rounds, and their ratio to the
step that is written out.
"""

import argparse
import statistics

import torch

from transformer.config import ModelConfig, OptimConfig
from transformer.config.interventions import Intervention
from transformer.interventions.attention import Ablate, ForbidPreviousToken, Preserve
from transformer.model.transformer import cross_entropy, encode, logits_of_items
from transformer.training.execution import median_seconds, repeated_step
from transformer.training.machine import keep_freed_memory
from transformer.training.step import RunSettings, TrainState

CPU = torch.device("cpu")
CASES: dict[str, tuple[Intervention, ...]] = {
    "written out": (),
    "none": (),
    "three heads ablated": (Ablate(heads=("0:1", "0:4", "0:7")),),
    "no previous token": (ForbidPreviousToken(heads=("0:*",), rows="labels"),),
    "keys preserved": (Preserve(what=("keys",)),),
}


class WrittenOut(TrainState):
    """Steps on a loss that knows of no interventions."""

    def _loss(self, parameters, features, labels, target):
        items, statistics = encode(parameters, self.model, features, training=True)
        losses = cross_entropy(logits_of_items(parameters, self.model, items, labels), target)
        return losses.sum(), (losses, statistics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-classes", type=int, default=1600)
    parser.add_argument("--execution", choices=("eager", "compiled"), default="compiled")
    parser.add_argument("--rounds", type=int, default=7)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    steps = {name: step_of(name, flags.n_classes, flags.execution) for name in CASES}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():  # compiles
        step()
    for _ in range(flags.rounds):
        for name, step in steps.items():
            times[name].append(median_seconds(step, CPU, 0.5))
    first = times["written out"]
    for name, each in times.items():
        ratios = [one / other for one, other in zip(each, first, strict=True)]
        print(
            f"{name:20} {statistics.median(each) * 1e3:7.3f} ms, "
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        )


def step_of(name: str, n_classes: int, execution):
    """One call is one step."""
    kind = WrittenOut if name == "written out" else TrainState
    train_state = kind(
        ModelConfig(),
        [RunSettings(0, OptimConfig(), interventions=CASES[name])],
        context=2,
        d_features=512,
        n_labels=n_classes,
        device=CPU,
        execution=execution,
    )
    return repeated_step(train_state, batch_size=32)


if __name__ == "__main__":
    main()
