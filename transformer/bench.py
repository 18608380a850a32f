"""How long does a training step take, and how long must it at least?"""

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from coopetition.errors import UsageError
from transformer.config import ModelConfig, OptimConfig
from transformer.devices import choose_device, set_threads
from transformer.learner import Learner

REPEAT_S = 0.5  # length of one timed repeat
CONTEXT = 2  # exemplar-label pairs, as in the paper


def bench(
    *,
    n_classes: int,
    n_runs: int,
    d_features: int,
    batch_size: int,
    n_layers: int,
    repeats: int,
    device: str,
    threads: int | None,
) -> dict[str, Any]:
    """Median milliseconds of a step (all runs), its spread, and the floor in the same process.

    The step is the update alone, on features that are there; sampling and gathering come on top.
    The floor is what no implementation with dense Adam can leave out: the matrix products of
    embedding, layers and unembedding, forwards and backwards, and one fused Adam pass.
    """
    for name, value in (
        ("n_classes", n_classes),
        ("runs", n_runs),
        ("d_features", d_features),
        ("batch_size", batch_size),
        ("repeats", repeats),
    ):
        if value < 1:
            raise UsageError(f"{name}={value}; choose at least 1")
    place = choose_device(device)
    set_threads(threads)
    model = ModelConfig(n_layers=n_layers)
    learner = Learner(
        model,
        OptimConfig(),
        context=CONTEXT,
        d_features=d_features,
        n_labels=n_classes,
        init_seeds=list(range(n_runs)),
        device=place,
    )
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n_runs, CONTEXT + 1, batch_size, d_features, generator=generator)
    labels = torch.randint(n_classes, (n_runs, CONTEXT, batch_size), generator=generator)
    batch = (features.to(place), labels.to(place), labels[:, 0].contiguous().to(place))
    step_ms, floor_ms = alternate(
        [
            lambda: learner.step(*batch),
            floor(model, n_classes, n_runs, d_features, batch_size, place),
        ],
        repeats,
        place,
    )
    median, lowest = statistics.median(step_ms), statistics.median(floor_ms)
    return {
        "milliseconds_per_step": round(median, 4),
        "milliseconds_per_step_and_run": round(median / n_runs, 4),
        "spread": [round(min(step_ms), 4), round(max(step_ms), 4)],
        "floor_milliseconds": round(lowest, 4),
        "ratio_to_floor": round(median / lowest, 2),
        "n_classes": n_classes,
        "runs": n_runs,
        "d_features": d_features,
        "batch_size": batch_size,
        "n_layers": n_layers,
        "repeats": repeats,
        "device": str(place),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def floor(
    model: ModelConfig,
    n_classes: int,
    n_runs: int,
    d_features: int,
    batch_size: int,
    device: torch.device,
) -> Callable[[], object]:
    """One call does the matrix products of a step and one fused Adam pass over the parameters."""
    d, last = model.d_model, model.n_layers - 1
    tokens = (2 * CONTEXT + 1) * batch_size
    # (rows, inputs, outputs) of each product
    products = [((CONTEXT + 1) * batch_size, d_features, d), (batch_size, d, n_classes)]
    for layer in range(model.n_layers):
        rows = batch_size if layer == last else tokens  # only the query leaves the last layer
        products += [
            (rows, d, d),
            (tokens, d, 2 * d),
            (rows, d, d),
        ]  # queries; keys, values; output
    operands = []
    for rows, inputs, outputs in products:
        x = torch.randn(n_runs, rows, inputs, device=device)
        weight = torch.randn(n_runs, inputs, outputs, device=device)
        slope = torch.randn(n_runs, rows, outputs, device=device)
        operands.append((x, weight, slope))
    n_parameters = n_runs * (sum(i * o for _, i, o in products) + n_classes * (d + 1))
    flat = torch.nn.Parameter(torch.zeros(n_parameters, device=device))
    flat.grad = torch.ones_like(flat)
    adam = torch.optim.Adam([flat], fused=True)

    def work() -> None:
        for x, weight, slope in operands:
            torch.bmm(x, weight)
            torch.bmm(x.mT, slope)
            if x is not operands[0][0]:  # nothing is learnt below the embedding
                torch.bmm(slope, weight.mT)
        adam.step()

    return work


def alternate(
    functions: list[Callable[[], object]], repeats: int, device: torch.device
) -> list[list[float]]:
    """Milliseconds a call of each function, `repeats` times in turn, so that drift hits all."""
    counts = []
    for function in functions:
        _time(function, 20, device)  # warm-up
        counts.append(max(5, round(REPEAT_S * 1e3 / _time(function, 20, device))))
    timings: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, count, values in zip(functions, counts, timings, strict=True):
            values.append(_time(function, count, device))
    return timings


def _time(function: Callable[[], object], count: int, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(count):
        function()
    _wait(device)
    return (time.perf_counter() - start) / count * 1e3


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
