"""Check that training on a GPU is correct, and time it; `README.md` beside it says how.

python -m tests.gpu.check [--device cuda] [--out gpu_check.json] [--minutes 6] [--quick]
"""

import argparse
import faulthandler
import gc
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import torch

from coopetition.tools.commands import run_as_program
from coopetition.tools.console import show_progress
from coopetition.tools.errors import UserError
from coopetition.tools.files import check_writable, write_json
from tests.gpu.plan import candidates, check_minutes
from transformer.config import DataConfig, EvaluationConfig, ModelConfig, OptimConfig, RunConfig
from transformer.config.interventions import Intervention
from transformer.config.run import Scale
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.runs.layout import CHECKPOINTS, step_file
from transformer.runs.loop import in_memory, train
from transformer.training.cost import moved_bytes
from transformer.training.ensemble import Ensemble, new_train_state
from transformer.training.execution import repeated_step, seconds_of
from transformer.training.machine import Execution, Machine

TOLERANCE = 1e-4  # relative, of losses and of parameters in float32
LONG_STEPS = 300  # steps of a run that needs two blocks of batches
GRACE_S = 20.0  # for what cannot be interrupted when the time is over
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
    n_runs_first: tuple[int, ...] = (8, 64)  # of the shapes of the plan, when steps are compiled
    scale: Scale = "cpu"  # of the shapes of the plan
    copied: int = 2**28  # numbers that are copied to measure the bandwidth
    seconds: float = 0.5  # of timing, for each row


QUICK = Sizes(5, 16, 3, (32,), (1, 2), (1,), "smoke", 2**20, 0.02)


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


class OutOfTime(BaseException):
    """The time of the whole check is over; no handler of errors catches it."""


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
        f"base, {LONG_STEPS} steps": replace(plain, n_steps=LONG_STEPS),
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
    for _ in range(configs[0].n_steps):
        ensemble.advance()
    moved = [name for name, value in ensemble.train_state.parameters.items()
             if not torch.equal(before[name], value)]  # fmt: skip
    assert moved, "no parameter moved"
    return ensemble


def two_seeds(config: RunConfig) -> tuple[RunConfig, RunConfig]:
    """Return two runs that differ in both seeds."""
    return config, replace(config, init_seed=config.init_seed + 1, data_seed=config.data_seed + 1)


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
    flags += ["--execution", execution]
    whole, killed = (context.folder / f"{name}_{execution}" for name in ("whole", "killed"))
    finish("train", *flags, "--out", whole)
    with started("train", *flags, "--out", killed) as process:
        while not [*killed.glob(f"{CHECKPOINTS}/step_*[1-9]*")] and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
    one, other = (step_file(each, CHECKPOINTS, n_steps) for each in (whole, killed))
    assert not other.exists(), "the run was done before it was killed"
    finish("resume", killed)
    assert one.read_bytes() == other.read_bytes(), "the weights of the resumed run differ"
    return {}


@contextmanager
def started(*arguments: object) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a command of the trainer, which is killed at the end."""
    words = [sys.executable, "-m", "transformer", *map(str, arguments)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(*arguments: object) -> None:
    """Run a command of the trainer; one that fails raises `UserError` with its last line."""
    with started(*arguments) as process:
        _, stderr = process.communicate()
    if process.returncode:
        lines = stderr.decode().strip().splitlines() or [f"exit code {process.returncode}"]
        raise UserError(f"{arguments[0]}: {lines[-1]}")


@cache
def measure_bandwidth(device: str, n_numbers: int) -> float:
    """Return bytes moved per second by a copy, reading and writing counted."""
    place = torch.device(device)
    source = torch.zeros(n_numbers, device=place)
    target = torch.empty_like(source)
    times = [seconds_of(lambda: target.copy_(source), place) for _ in range(20)]
    return 2 * 4 * source.numel() / min(times)


def workloads(sizes: Sizes) -> dict[str, RunConfig]:
    """Return the runs whose steps are timed; the first two have the shapes of the plan."""
    shapes = {
        f"{node.name} of the plan": next(iter(node.configs.values()))
        for node in candidates(sizes.scale)[:2]
    }

    def run(n_classes: int, context: int, d_features: int, **model: Any) -> RunConfig:
        exemplars = GaussianConfig(n_classes=n_classes, d_features=d_features)
        data = DataConfig(exemplars=exemplars, context=context)
        return RunConfig(model=ModelConfig(**model), data=data)

    for n in sizes.speed_classes:
        shapes[f"2 layers, {n:,} classes"] = run(n, 2, 512)
    n = sizes.speed_classes[0]
    deep: dict[str, Any] = {"n_layers": sizes.deep, "mlp_ratio": 4, "positions": "sinusoidal"}
    shapes[f"{sizes.deep} layers, MLP"] = run(n, 8, 512, **deep)
    shapes[f"{sizes.deep} layers, MLP, ResNet"] = run(n, 8, 28 * 28, **deep, encoder="resnet")
    return shapes


def check_bandwidth(context: Context) -> dict[str, Any]:
    """Measure the bandwidth from which all floors follow."""
    bandwidth = measure_bandwidth(context.device, context.sizes.copied)
    return {"gb_per_s": round(bandwidth / 1e9, 1)}


def check_speed(
    context: Context, config: RunConfig, n_runs: int, execution: Execution
) -> dict[str, Any]:
    """Time a training step of many runs, beside the time that moving its bytes takes."""
    device = torch.device(context.device)
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    machine = Machine(context.device, 1, execution)
    d_features = config.data.exemplars.feature_count()
    configs = [replace(config, init_seed=seed) for seed in range(n_runs)]
    with machine.use():
        state = new_train_state(configs, d_features, machine)
        state.execute_as(execution)
        step = repeated_step(state, config.data.batch_size)
        first = seconds_of(step, device)
        seconds_of(step, device, 5)
        count = max(3, round(context.sizes.seconds / seconds_of(step, device)))
        milliseconds = 1e3 * seconds_of(step, device, count)
    bandwidth = measure_bandwidth(context.device, context.sizes.copied)
    floor = 1e3 * n_runs * moved_bytes(config, d_features) / bandwidth
    peak = (
        {"peak_gib": round(torch.cuda.max_memory_allocated(device) / 2**30, 2)} if is_cuda else {}
    )
    return {
        "ms_per_step": round(milliseconds, 3),
        "ms_per_step_and_run": round(milliseconds / n_runs, 4),
        "floor_ms": round(floor, 3),
        "ratio_to_floor": round(milliseconds / floor, 1),
        "first_step_s": round(first, 1),
        **peak,
    }


def plan(context: Context) -> list[Planned]:
    """Return all rows, the most important first.

    Rows that compile take long: of these, what the plan of runs needs comes first.
    """
    sizes, cases, shapes = context.sizes, models(context), workloads(context.sizes)

    def agrees(execution: Execution, names: Iterable[str]) -> Iterator[Planned]:
        for name in names:
            row = Row("agrees", f"{name}, {execution}")
            yield row, partial(check_losses, context, cases[name], execution)

    def speed(
        execution: Execution, names: Iterable[str], numbers: tuple[int, ...]
    ) -> Iterator[Planned]:
        for n_runs in numbers:
            for name in names:
                row = Row("speed", f"{name}, runs {n_runs}, {execution}")
                yield row, partial(check_speed, context, shapes[name], n_runs, execution)

    def resume(execution: Execution) -> Planned:
        return Row("resume", execution), partial(check_resume, context, execution)

    def alone(execution: Execution) -> Planned:
        return Row("alone", execution), partial(check_alone, context, execution)

    rows: list[Planned] = [(Row("speed", "bandwidth of a copy"), partial(check_bandwidth, context))]
    compiled = [each for each in reversed(context.executions) if "compiled" in each]
    for execution in context.executions:
        if execution not in compiled:
            rows += [*agrees(execution, cases), resume(execution), alone(execution)]
            rows += speed(execution, shapes, sizes.n_runs)
    for execution in compiled[:1]:  # the fastest, which long runs use
        rows += [*agrees(execution, ["base"]), resume(execution)]
        rows += speed(execution, [*shapes][:2], sizes.n_runs_first)
    done = {(row.section, row.name) for row, _ in rows}
    for execution in compiled:
        rest = [*agrees(execution, cases), resume(execution), alone(execution)]
        rest += speed(execution, shapes, sizes.n_runs)
        rows += [each for each in rest if (each[0].section, each[0].name) not in done]
    return rows


def run_checks(
    planned: list[Planned], seconds: float, report: Callable[[list[Row]], None]
) -> list[Row]:
    """Run the checks one by one, until the time is over; a failure does not stop the others.

    `report` is called with all rows after each, and when a signal ends the process.
    """
    rows = [row for row, _ in planned]
    before = signal.signal(signal.SIGALRM, _raise_out_of_time)
    try:
        # again and again, should a library drop the exception
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6), GRACE_S / 4)
        for row, check in planned:
            _run_check(row, check)
            report(rows)
    except OutOfTime:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        report(rows)
    return rows


def _raise_out_of_time(number: int, frame: FrameType | None) -> None:
    raise OutOfTime


def _run_check(row: Row, check: Check) -> None:
    """Run a check, fill in its row, and print it."""
    if torch.cuda.is_initialized():
        gc.collect()  # train states are parts of reference cycles
        torch.cuda.empty_cache()
    start = time.perf_counter()
    row.status = "not finished"
    try:
        row.detail, row.status = check(), "passed"
    except torch.OutOfMemoryError as error:
        row.status, row.detail = "does not fit", {"why": _first_line(error)}
    except Exception as error:
        row.status, row.detail = "failed", {"why": f"{type(error).__name__}: {_first_line(error)}"}
    finally:
        row.seconds = round(time.perf_counter() - start, 1)
        shown = " ".join(f"{name}={value}" for name, value in row.detail.items())
        print(f"{row.section:7} {row.name:45} {row.status:12} {row.seconds:6.1f} s  {shown}",
              flush=True)  # fmt: skip


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def describe(device: str) -> dict[str, Any]:
    """Return the names of the device and of the versions."""
    is_cuda = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else name_processor(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
    }


def name_processor() -> str:
    """Return the name of the CPU; of its architecture if the system does not tell."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


def main(arguments: list[str] | None = None) -> int:
    """Run the check; return 1 if a row failed, or none passed."""
    parser = argparse.ArgumentParser(
        prog="tests/gpu/check.sh", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"), help="JSON file")
    parser.add_argument("--minutes", type=float, default=6.0, help="then it stops")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the check itself")
    flags = parser.parse_args(arguments)
    check_minutes(flags.minutes)
    check_writable(flags.out)
    machine = Machine.choose(flags.device, 1, "eager")  # raises in one line if it is not there
    end = time.monotonic() + 60 * flags.minutes
    about = describe(machine.device)
    print(", ".join(f"{name} {value}" for name, value in about.items() if value))

    def report(rows: list[Row]) -> None:
        content = {"machine": about, "counts": count(rows), "rows": [*map(asdict, rows)]}
        write_json(flags.out, content)

    # for a call that hangs in a library, where no signal is handled
    faulthandler.dump_traceback_later(
        60 * flags.minutes + GRACE_S, exit=True, file=sys.__stderr__ or sys.stderr
    )
    executions = get_args(Execution) if machine.device.startswith("cuda") else ("eager",)
    sizes = QUICK if flags.quick else Sizes()
    try:
        with tempfile.TemporaryDirectory() as folder:
            context = Context(machine.device, sizes, Path(folder), executions)
            train(base(sizes), context.folder / "source", Machine("cpu", 1, "eager"))
            rows = run_checks(plan(context), end - time.monotonic(), report)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return summarise(rows, flags.out)


def count(rows: list[Row]) -> dict[str, int]:
    """Return how many rows have each status."""
    return dict(Counter(row.status for row in rows))


def summarise(rows: list[Row], out: Path) -> int:
    """Print what failed and how many rows have each status; return the exit code."""
    failed = [row for row in rows if row.status == "failed"]
    for row in failed:
        print(f"failed: {row.section}, {row.name}: {row.detail['why']}")
    counts = count(rows)
    print(", ".join(f"{n} {status}" for status, n in counts.items()) + f"; wrote {out}")
    if "passed" not in counts:
        print("no row passed: see above, or give more --minutes")
    return 1 if failed or "passed" not in counts else 0


if __name__ == "__main__":
    show_progress(False)  # so that the rows stay together
    sys.exit(run_as_program(main, "tests/gpu/check.sh"))
