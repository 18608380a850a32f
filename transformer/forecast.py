"""What a run will take, before it is started."""

import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch

from transformer.bench import Workload
from transformer.config import (
    ExemplarConfig,
    FeatureConfig,
    GaussianConfig,
    OmniglotConfig,
    OneHotConfig,
    RunConfig,
    TokenConfig,
)
from transformer.devices import Machine
from transformer.evaluators import EVALUATORS
from transformer.learner import Learner, Member
from transformer.measure import CHUNK, sequence_metrics
from transformer.model import logits

ASSUMED_FEATURES = 512  # of a file that is not there yet: ResNet-18's
TIMED_S = 2.0


def forecast(configs: dict[str, RunConfig], machine: Machine) -> dict[str, Any]:
    """Steps, parameters, memory and time of runs that are trained together, by name.

    The time is that of a few steps and evaluations on random data, here and now, executed as the
    machine says; sampling and checkpoints, some per cent, are not in it.  Memory is what the
    learner and the exemplars hold, without activations.
    """
    config = next(iter(configs.values()))
    d_features, assumed = feature_count(config.data.exemplars)
    workload = Workload(
        n_classes=config.data.exemplars.n_classes,
        model=config.model,
        context=config.data.context,
        d_features=d_features,
        batch_size=config.data.batch_size,
        members=tuple(Member(each.init_seed, each.optim, each.frozen) for each in configs.values()),
        precision=config.precision,
    )
    learner = workload.learner(machine.use(), machine.execution)
    n_parameters = sum(learner.parameters[name][0].numel() for name in learner.moments)
    step = workload.step(learner)
    if machine.execution == "compiled":
        print("compiling the step; --execution eager is timed at once", file=sys.stderr, flush=True)
    step()
    print("timing some steps and evaluations", file=sys.stderr, flush=True)
    step_s = _median_time(step)
    evaluation_s = _median_time(lambda: _evaluate_chunk(learner, workload))
    n_chunks = len(EVALUATORS) * config.evaluation.n_sequences / CHUNK * len(configs)
    n_evaluations = config.n_steps // config.evaluation.every + 1
    seconds = config.n_steps * step_s + n_evaluations * n_chunks * evaluation_s
    held = sum(value.nbytes for value in learner.parameters.values())
    held += sum(each.nbytes for moments in learner.moments.values() for each in moments.values())
    held += n_parameters * len(configs) * learner.loss_sum.element_size()  # gradients
    held += exemplar_bytes(config.data.exemplars, d_features)
    return {
        "runs": len(configs),
        "steps": config.n_steps,
        "sequences": config.n_steps * config.sequences_per_step,
        "parameters": n_parameters,
        "features": f"{d_features} (assumed: the file is not there)" if assumed else d_features,
        "memory_mib": round(held / 2**20),
        "ms_per_step": round(step_s * 1e3, 2),
        "predicted_time": str(timedelta(seconds=round(seconds))),
        "execution": machine.execution,
        "device": machine.device,
        "threads": machine.threads,
        "run_id": ", ".join(each.run_id() for each in configs.values()),
    }


def feature_count(exemplars: ExemplarConfig) -> tuple[int, bool]:
    """Length of a feature vector, and whether it had to be assumed."""
    match exemplars:
        case GaussianConfig():
            return exemplars.d_features, False
        case OneHotConfig():
            return exemplars.n_classes, False
        case OmniglotConfig():
            return exemplars.side**2, False
        case FeatureConfig() | TokenConfig():
            if not exemplars.path:
                return ASSUMED_FEATURES, True
            from transformer.exemplars.arrays import open_array

            axes = ("classes", "exemplars", "features")
            if isinstance(exemplars, TokenConfig):
                axes = ("tokens", "features")
            return open_array(exemplars.path, exemplars.key, axes).shape[-1], False
    from transformer.exemplars.images import SIDE

    return SIDE**2, False


def exemplar_bytes(exemplars: ExemplarConfig, d_features: int) -> int:
    """What exemplars take: a byte a pixel, half precision for all else."""
    width = 2 if isinstance(exemplars, GaussianConfig | FeatureConfig | TokenConfig) else 1
    return exemplars.n_classes * exemplars.n_exemplars * d_features * width


@torch.no_grad()
def _evaluate_chunk(learner: Learner, workload: Workload) -> None:
    shape = (1, workload.context + 1, CHUNK, workload.d_features)
    features = torch.zeros(shape, device=learner.device, dtype=learner.dtype)
    labels = torch.zeros(shape[:3], device=learner.device, dtype=torch.int64)
    z = logits(learner.of_run(0), workload.model, features, labels[:, :-1])[0]
    sequence_metrics(z, labels[0, :-1], labels[0, -1])


def _median_time(function: Callable[[], object]) -> float:
    """Median seconds of a call, over some time."""
    times: list[float] = []
    while sum(times) < TIMED_S:
        start = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
