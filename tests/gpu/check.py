"""Check that training on a GPU is correct, and time it; `README.md` beside it says how.

python -m tests.gpu.check [--device cuda] [--out gpu_check.json] [--minutes 6] [--quick]
"""

import argparse
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import torch

from coopetition.tools.errors import UserError
from transformer.config import DataConfig, EvaluationConfig, ModelConfig, OptimConfig, RunConfig
from transformer.config.interventions import Intervention
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.runs.layout import CHECKPOINTS, step_file
from transformer.runs.loop import in_memory, train
from transformer.training.cost import UPDATE_PASSES
from transformer.training.ensemble import Ensemble
from transformer.training.execution import repeated_step, seconds_of
from transformer.training.machine import Execution, Machine
from transformer.training.step import RunSettings, TrainState

TOLERANCE = 1e-4  # relative, of losses and of parameters in float32
INTERVENTIONS = {
    "Ablate": '{"Ablate": {"heads": ["0:1"]}}',
    "ForbidPreviousToken": '{"ForbidPreviousToken": {"heads": ["0:*"], "rows": "labels"}}',
    "PreviousToken": '{"PreviousToken": {"heads": ["0:0"], "strength": 0.7}}',
    "Temperature": '{"Temperature": {"heads": ["1:0"], "temperature": 2.0}}',
    "SilenceNonLabels": '{"SilenceNonLabels": {"heads": ["1:*"]}}',
    "Match": '{"Match": {"heads": ["1:0"], "temperature": 0.5}}',
    "ClampPattern": '{"ClampPattern": {"heads": ["1:0"], "strength": 0.9}}',
    "PerfectPreviousTokenInput": '{"PerfectPreviousTokenInput": {"layer": 1}}',
    "Preserve": '[{"Preserve": {"what": ["keys"]}}, {"Ablate": {"heads": ["0:*"]}}]',
    "CopyFromPattern": '{"CopyFromPattern": {"head": "1:0"}}',
    "AblateEmbedding": '[{"AblateEmbedding": {}}, {"Preserve": {"what": ["patterns", "values"]}}]',
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the check; the smaller ones try the check itself."""

    n_steps: int = 100
    n_classes: int = 64
    deep: int = 12
    speed_classes: tuple[int, ...] = (1600, 12800)
    n_runs: tuple[int, ...] = (1, 8, 64, 256)
    copied: int = 2**28  # numbers that are copied to measure the bandwidth
    seconds: float = 0.5  # of timing, for each row


QUICK = Sizes(5, 16, 3, (32,), (1, 2), 2**20, 0.02)


@dataclass(frozen=True, slots=True)
class Context:
    """Device, sizes and folder of all checks."""

    device: str
    sizes: Sizes
    folder: Path
    executions: tuple[Execution, ...]
    on_cpu: dict[RunConfig, list[float]] = field(default_factory=dict)
    """Sums of losses of the CPU's eager steps."""


@dataclass
class Row:
    """A row of the table."""

    section: str
    name: str
    status: str = "not run"
    seconds: float = 0.0
    detail: dict[str, Any] = field(default_factory=dict)


Check = Callable[[], dict[str, Any]]
Planned = tuple[Row, Check]


def base(sizes: Sizes, **model: Any) -> RunConfig:
    """Return a small run on glyphs."""
    exemplars = GlyphConfig(n_classes=sizes.n_classes, n_exemplars=4)
    return RunConfig(
        model=ModelConfig(**model),
        data=DataConfig(exemplars=exemplars, batch_size=8),
        optim=OptimConfig(learning_rate=1e-3),
        evaluation=EvaluationConfig(
            every=10**6, n_sequences=16, n_classes=sizes.n_classes, n_exemplars=4
        ),
        n_steps=sizes.n_steps,
    )


def models(context: Context) -> dict[str, RunConfig]:
    """Return the runs whose losses are compared with the CPU's."""
    sizes = context.sizes
    plain = base(sizes)
    deep = base(sizes, n_layers=sizes.deep, positions="sinusoidal")
    cases = {
        "base": plain,
        "MLP": base(sizes, mlp_ratio=4),
        f"{sizes.deep} layers, context 8": replace(deep, data=replace(deep.data, context=8)),
        "ResNet, 28 x 28": base(sizes, encoder="resnet"),
        "SGD": replace(plain, optim=OptimConfig(algorithm="sgd", momentum=0.9, learning_rate=0.01)),
        "AdamW": replace(
            plain, optim=OptimConfig(algorithm="adamw", weight_decay=0.1, learning_rate=1e-3)
        ),
    }
    for name, text in INTERVENTIONS.items():
        cases[name] = replace(plain, interventions=Intervention.from_json_text(text))
    source = context.folder / "source"
    for name, text in {
        "GraftIn": f'{{"GraftIn": {{"checkpoint": "{source}", "till": 0}}}}',
        "GraftOut": f'{{"GraftOut": {{"checkpoint": "{source}", "from_": 0}}}}',
    }.items():
        cases[name] = replace(plain, interventions=Intervention.from_json_text(text))
    return cases


def trained(context: Context, device: str, execution: Execution, *configs: RunConfig) -> Ensemble:
    """Return an ensemble after its steps; parameters that do not move fail."""
    ensemble = in_memory(*configs, machine=Machine(device, 1, execution))
    before = {name: value.clone() for name, value in ensemble.train_state.parameters.items()}
    for _ in range(context.sizes.n_steps):
        ensemble.advance()
    moved = [name for name, value in ensemble.train_state.parameters.items()
             if not torch.equal(before[name], value)]  # fmt: skip
    assert moved, "no parameter moved"
    return ensemble


def two_seeds(config: RunConfig) -> tuple[RunConfig, RunConfig]:
    """Return two runs that differ in their initial seed."""
    return config, replace(config, init_seed=config.init_seed + 1)


def check_losses(context: Context, config: RunConfig, execution: Execution) -> dict[str, Any]:
    """Compare the mean loss of all steps with the CPU's."""
    configs = two_seeds(config)
    if config not in context.on_cpu:
        on_cpu = trained(context, "cpu", "eager", *configs).train_state
        context.on_cpu[config] = on_cpu.loss_sum.tolist()
    expected = context.on_cpu[config]
    found = trained(context, context.device, execution, *configs).train_state.loss_sum.tolist()
    error = max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))
    assert error < TOLERANCE, f"losses differ by {error:.1e}, more than {TOLERANCE:.0e}"
    return {"relative_difference": error}


def check_alone(context: Context, execution: Execution) -> dict[str, Any]:
    """Compare a run of an ensemble with the same run alone."""
    configs = two_seeds(base(context.sizes, mlp_ratio=4))
    together = trained(context, context.device, execution, *configs).train_state.of_run(1)
    alone = trained(context, context.device, execution, configs[1]).train_state.of_run(0)
    errors = {
        name: float((together[name] - value).norm() / value.norm().clamp_min(1e-30))
        for name, value in alone.items()
    }
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] < TOLERANCE, f"{worst} differs by {errors[worst]:.1e}"
    return {"relative_difference": errors[worst]}


def check_resume(context: Context, execution: Execution) -> dict[str, Any]:
    """Kill a run after a checkpoint, resume it, and compare it with an uninterrupted one."""
    n_steps = 20 * context.sizes.n_steps
    flags = ["--preset", "smoke", "--n-steps", n_steps, "--checkpoint-every", n_steps // 10]
    flags += ["--evaluation.every", n_steps // 10, "--device", context.device, "--threads", 1]
    whole, killed = (context.folder / f"{name}_{execution}" for name in ("whole", "killed"))
    command = [sys.executable, "-m", "transformer"]

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        words = [*command, *map(str, arguments)]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    finish(start("train", *flags, "--execution", execution, "--out", whole))
    process = start("train", *flags, "--execution", execution, "--out", killed)
    while not [*killed.glob(f"{CHECKPOINTS}/step_*[1-9]*")] and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()  # reads its pipe to the end, and closes it
    finish(start("resume", killed))
    one, other = (step_file(each, CHECKPOINTS, n_steps).read_bytes() for each in (whole, killed))
    assert one == other, "the weights of the resumed run differ"
    return {}


def finish(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a command; one that fails raises `UserError` with its last line."""
    _, stderr = process.communicate()
    if process.returncode:
        raise UserError(stderr.decode().strip().splitlines()[-1])


def measure_bandwidth(context: Context) -> float:
    """Return bytes moved per second by a copy, reading and writing counted."""
    device = torch.device(context.device)
    source = torch.zeros(context.sizes.copied, device=device)
    target = torch.empty_like(source)
    seconds_of(lambda: target.copy_(source), device, 3)
    return 2 * 4 * source.numel() / seconds_of(lambda: target.copy_(source), device, 10)


def workloads(sizes: Sizes) -> dict[str, tuple[ModelConfig, dict[str, int]]]:
    """Return the models that are timed, and the sizes of their batches."""
    deep = {"n_layers": sizes.deep, "mlp_ratio": 4, "positions": "sinusoidal"}
    two = {"context": 2, "d_features": 512}
    found = {
        f"2 layers, {n:,} classes": (ModelConfig(), two | {"n_labels": n})
        for n in sizes.speed_classes
    }
    n_labels = sizes.speed_classes[0]
    wide = {"context": 8, "n_labels": n_labels}
    found[f"{sizes.deep} layers, MLP"] = (ModelConfig(**deep), wide | {"d_features": 512})
    found[f"{sizes.deep} layers, MLP, ResNet"] = (
        ModelConfig(**deep, encoder="resnet"), wide | {"d_features": 28 * 28},
    )  # fmt: skip
    return found


def check_speed(
    context: Context,
    model: ModelConfig,
    batch: dict[str, int],
    n_runs: int,
    execution: Execution,
    bandwidth: Callable[[], float],
) -> dict[str, Any]:
    """Time a training step of many runs, beside the time that moving the parameters takes."""
    device = torch.device(context.device)
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    settings = [RunSettings(seed, OptimConfig()) for seed in range(n_runs)]
    with Machine(context.device, 1, execution).use():
        state = TrainState(model, settings, **batch, device=device, execution=execution)
        step = repeated_step(state, 32)
        first = seconds_of(step, device)
        seconds_of(step, device, 5)
        count = max(3, round(context.sizes.seconds / seconds_of(step, device)))
        milliseconds = 1e3 * seconds_of(step, device, count)
    n_parameters = sum(value.numel() for value in state.parameters.values())
    floor = 1e3 * 4 * UPDATE_PASSES * n_parameters / bandwidth()
    return {
        "ms_per_step": round(milliseconds, 3),
        "ms_per_step_and_run": round(milliseconds / n_runs, 4),
        "floor_ms": round(floor, 3),
        "ratio_to_floor": round(milliseconds / floor, 1),
        "first_step_s": round(first, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated(device) / 2**30, 2) if is_cuda else None,
    }


def plan(context: Context) -> Iterator[Planned]:
    """Yield all rows, the most important first; those that compile, which takes long, come last."""
    cases = models(context)
    measured: list[float] = []

    def bandwidth() -> float:
        if not measured:
            measured.append(measure_bandwidth(context))
        return measured[0]

    for execution in sorted(context.executions, key=lambda each: "compiled" in each):
        for name, config in cases.items():
            row = Row("agrees", f"{name}, {execution}")
            yield row, lambda c=config, e=execution: check_losses(context, c, e)
        yield Row("resume", execution), lambda e=execution: check_resume(context, e)
        yield Row("alone", execution), lambda e=execution: check_alone(context, e)
        for n_runs in context.sizes.n_runs:
            for name, (model, batch) in workloads(context.sizes).items():
                row = Row("speed", f"{name}, {n_runs} runs, {execution}")
                yield (
                    row,
                    lambda m=model, b=batch, n=n_runs, e=execution: check_speed(
                        context, m, b, n, e, bandwidth
                    ),
                )


def run_checks(planned: list[Planned], minutes: float) -> list[Row]:
    """Run the checks one by one, until the time is over; a failure does not stop the others."""
    end = time.perf_counter() + 60 * minutes
    for row, check in planned:
        start = time.perf_counter()
        if start > end:
            continue
        try:
            row.detail, row.status = check(), "passed"
        except torch.OutOfMemoryError as error:
            row.status, row.detail = "does not fit", {"why": str(error).splitlines()[0]}
        except Exception as error:
            row.status = "failed"
            row.detail = {"why": f"{type(error).__name__}: {error}".splitlines()[0]}
        row.seconds = round(time.perf_counter() - start, 1)
        shown = " ".join(f"{name}={value}" for name, value in row.detail.items())
        print(f"{row.section:7} {row.name:45} {row.status:12} {row.seconds:6.1f} s  {shown}",
              flush=True)  # fmt: skip
    return [row for row, _ in planned]


def describe(device: str) -> dict[str, Any]:
    """Return the names of the device and of the versions."""
    is_cuda = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else platform.processor(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the check; return 1 if a row failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the check itself")
    flags = parser.parse_args(arguments)
    machine = Machine.choose(flags.device, 1, "eager")  # raises in one line if it is not there
    executions = get_args(Execution) if machine.device.startswith("cuda") else ("eager",)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(
            machine.device, QUICK if flags.quick else Sizes(), Path(folder), executions
        )
        train(base(context.sizes), context.folder / "source", Machine("cpu", 1, "eager"))
        rows = run_checks([*plan(context)], flags.minutes)
    counts = dict(Counter(row.status for row in rows))
    report = {"machine": describe(machine.device), "counts": counts, "rows": [*map(asdict, rows)]}
    flags.out.write_text(json.dumps(report, indent=1) + "\n")
    failed = [row for row in rows if row.status == "failed"]
    for row in failed:
        print(f"failed: {row.section}, {row.name}: {row.detail['why']}")
    print(", ".join(f"{n} {status}" for status, n in counts.items()) + f"; wrote {flags.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"tests.gpu.check: {error}")
