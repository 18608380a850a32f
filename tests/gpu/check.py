"""Check that training on a GPU is correct, and time it; `README.md` beside it says how.

tests/gpu/check.sh [--device cuda] [--out gpu_check.json] [--minutes 6] [--quick]
"""

import argparse
import faulthandler
import gc
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import torch
from torch import Tensor

from coopetition.tools.console import SWITCH
from coopetition.tools.errors import UserError, is_lack_of_memory
from coopetition.tools.files import check_writable, write_json
from tests.gpu.plan import DEVICE_HELP, candidates, check_minutes, moved_bytes
from transformer.config import DataConfig, EvaluationConfig, ModelConfig, OptimConfig, RunConfig
from transformer.config.interventions import Intervention
from transformer.config.run import Scale
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.runs.layout import CHECKPOINTS, step_file
from transformer.runs.manifest import describe_software
from transformer.runs.train import in_memory, train
from transformer.training.ensemble import Ensemble, new_train_state
from transformer.training.execution import repeated_step, seconds_of
from transformer.training.machine import Execution, Machine

TOLERANCE = 1e-4  # relative, of losses and of parameters in float32
LONG_STEPS = 300  # steps of a run that needs two blocks of batches
GRACE_S = 20.0  # for what cannot be interrupted when the time is over
TRAINER = (sys.executable, "-m", "transformer")
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
    on_cpu: dict[RunConfig, Tensor] = field(default_factory=dict)
    """Sums of losses of the CPU's eager steps."""


@dataclass
class Row:
    """A row of the table."""

    section: str
    name: str
    execution: str = ""
    status: str = "not run"
    seconds: float = 0.0
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return what identifies the row."""
        return ", ".join(filter(None, (self.section, self.name, self.execution)))


Check = Callable[[], dict[str, Any]]
Planned = tuple[Row, Check]


class OutOfTime(BaseException):
    """The time of the whole check is over; no handler of errors catches it."""


class Mismatch(Exception):
    """Training does not do what it must."""


def require(is_true: bool, message: str) -> None:
    """Raise `Mismatch` unless a criterion holds."""
    if not is_true:
        raise Mismatch(message)


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


def train_in_memory(device: str, execution: Execution, *configs: RunConfig) -> Ensemble:
    """Return an ensemble after its steps; parameters must move, and losses be finite."""
    ensemble = in_memory(*configs, machine=Machine(device, 1, execution))
    before = {name: value.clone() for name, value in ensemble.train_state.parameters.items()}
    for _ in range(configs[0].n_steps):
        ensemble.advance()
    moved = [name for name, value in ensemble.train_state.parameters.items()
             if not torch.equal(before[name], value)]  # fmt: skip
    require(bool(moved), "no parameter moved")
    failed_at = ensemble.train_state.failed_at.tolist()
    require(not any(failed_at), f"losses are not finite (0 is finite): first at steps {failed_at}")
    return ensemble


def two_seeds(config: RunConfig) -> tuple[RunConfig, RunConfig]:
    """Return two runs that differ in both seeds."""
    return config, replace(config, init_seed=config.init_seed + 1, data_seed=config.data_seed + 1)


def require_close(names: Iterable[str], errors: Tensor) -> dict[str, Any]:
    """Return the largest relative difference, which must be small; NaN is larger than all."""
    worst = int(errors.argmax())
    error = float(errors[worst])
    require(error < TOLERANCE, f"{[*names][worst]} differs by {error:.1e}, not below {TOLERANCE:g}")
    return {"relative_difference": error}


def check_losses(context: Context, config: RunConfig, execution: Execution) -> dict[str, Any]:
    """Compare the mean loss of all steps with the CPU's."""
    configs = two_seeds(config)
    if config not in context.on_cpu:
        context.on_cpu[config] = train_in_memory("cpu", "eager", *configs).train_state.loss_sum
    expected = context.on_cpu[config]
    found = train_in_memory(context.device, execution, *configs).train_state.loss_sum.cpu()
    names = [f"the loss of run {number}" for number in (1, 2)]
    return require_close(names, ((found - expected) / expected).abs())


def check_alone(context: Context, execution: Execution) -> dict[str, Any]:
    """Compare a run of an ensemble with the same run alone."""
    configs = two_seeds(base(context.sizes, mlp_ratio=4))
    together = train_in_memory(context.device, execution, *configs).train_state.run_parameters(1)
    alone = train_in_memory(context.device, execution, configs[1]).train_state.run_parameters(0)
    errors = [
        (together[name] - value).norm() / value.norm().clamp_min(1e-30)
        for name, value in alone.items()
    ]
    return require_close(alone, torch.stack(errors))


def check_resume(context: Context, execution: Execution) -> dict[str, Any]:
    """Kill a run after a checkpoint, resume it, and compare it with an uninterrupted one."""
    n_steps = 20 * context.sizes.n_steps
    flags = ["--preset", "smoke", "--n-steps", n_steps, "--checkpoint-every", n_steps // 10]
    flags += ["--evaluation.every", n_steps // 10, "--device", context.device, "--threads", 1]
    flags += ["--execution", execution]
    whole, killed = (context.folder / f"{name}_{execution}" for name in ("whole", "killed"))
    finish("train", *flags, "--out", whole)
    log = killed.with_suffix(".log")  # a pipe that nobody reads could stop the run
    words = [*TRAINER, "train", *map(str, flags), "--out", str(killed)]
    with (
        log.open("w") as stderr,
        subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=stderr) as process,
    ):
        try:
            while not [*killed.glob(f"{CHECKPOINTS}/step_*[1-9]*")] and process.poll() is None:
                time.sleep(0.02)
        finally:
            process.kill()
    was_killed = process.returncode == -signal.SIGKILL
    require(was_killed, f"the run ended before it was killed: {_last_line(log.read_text())}")
    one, other = (step_file(each, CHECKPOINTS, n_steps) for each in (whole, killed))
    require(not other.exists(), "the run was done before it was killed")
    continues = re.search("continuing from step [1-9]", finish("resume", killed))
    require(continues is not None, "the resumed run did not continue from a checkpoint")
    require(one.read_bytes() == other.read_bytes(), "the weights of the resumed run differ")
    return {}


def finish(*arguments: object) -> str:
    """Run a command of the trainer and return its stderr; `UserError` has the last line of it."""
    done = subprocess.run(
        [*TRAINER, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {SWITCH: "1"},
    )
    if done.returncode:
        raise UserError(f"{arguments[0]}: exit code {done.returncode}: {_last_line(done.stderr)}")
    return done.stderr


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


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
        n_timed = max(3, round(context.sizes.seconds / seconds_of(step, device)))
        milliseconds = 1e3 * seconds_of(step, device, n_timed)
    peak = (
        {"peak_gib": round(torch.cuda.max_memory_allocated(device) / 2**30, 2)} if is_cuda else {}
    )
    bandwidth = measure_bandwidth(context.device, context.sizes.copied)
    floor = 1e3 * n_runs * moved_bytes(config, d_features) / bandwidth
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
            row = Row("agrees", name, execution)
            yield row, partial(check_losses, context, cases[name], execution)

    def speed(
        execution: Execution, names: Iterable[str], numbers: tuple[int, ...]
    ) -> Iterator[Planned]:
        for n_runs in numbers:
            for name in names:
                row = Row("speed", f"{name}, runs {n_runs}", execution)
                yield row, partial(check_speed, context, shapes[name], n_runs, execution)

    def resume(execution: Execution) -> Planned:
        return Row("resume", "a killed run", execution), partial(check_resume, context, execution)

    def alone(execution: Execution) -> Planned:
        return Row("alone", "a run of two", execution), partial(check_alone, context, execution)

    rows: list[Planned] = [(Row("speed", "bandwidth of a copy"), partial(check_bandwidth, context))]
    compiled = [each for each in reversed(context.executions) if "compiled" in each]
    for execution in context.executions:
        if execution not in compiled:
            rows += [*agrees(execution, cases), resume(execution), alone(execution)]
            rows += speed(execution, shapes, sizes.n_runs)
    for execution in compiled[:1]:  # the fastest, which long runs use
        rows += [*agrees(execution, ["base"]), resume(execution)]
        rows += speed(execution, [*shapes][:2], sizes.n_runs_first)
    for execution in compiled[1:]:  # so that every execution is verified in time
        rows += agrees(execution, ["base"])
    done = {row.label for row, _ in rows}
    for execution in compiled:
        rest = [*agrees(execution, cases), resume(execution), alone(execution)]
        rest += speed(execution, shapes, sizes.n_runs)
        rows += [each for each in rest if each[0].label not in done]
    return rows


def run_checks(
    planned: list[Planned],
    seconds: float,
    report: Callable[[list[Row]], None],
    device: str = "cpu",
) -> list[Row]:
    """Run the checks one by one, until the time is over; a failure does not stop the others.

    An error after which CUDA refuses all work ends the check.  `report` is called with all rows
    before each, at the end, and when a signal ends the process.
    """
    rows = [row for row, _ in planned]
    start, (left, interval) = time.monotonic(), signal.getitimer(signal.ITIMER_REAL)
    before = signal.signal(signal.SIGALRM, _raise_out_of_time)
    try:
        # again and again, should a library drop the exception
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6), GRACE_S / 4)
        for row, check in planned:
            row.status = "not finished"
            report(rows)
            _run_check(row, check)
            try:
                free_memory(device)
            except RuntimeError as error:
                print(f"the device is lost after this row, and the check ends: {_summary(error)}")
                row.status, row.detail = "failed", {"why": f"device lost: {_summary(error)}"}
                break
    except OutOfTime:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # a timer that was set before
            left -= time.monotonic() - start
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-6), interval)
        report(rows)
    return rows


def _raise_out_of_time(number: int, frame: FrameType | None) -> None:
    raise OutOfTime


def _run_check(row: Row, check: Check) -> None:
    """Run a check, fill in its row, and print it, its name first."""
    print(f"{row.label:60}", end=" ", flush=True)
    start = time.perf_counter()
    try:
        row.detail, row.status = check(), "passed"
    except Exception as error:
        may_not_fit = row.section == "speed" and is_lack_of_memory(error)
        row.status = "does not fit" if may_not_fit else "failed"
        row.detail = {"why": _summary(error)}
    finally:
        row.seconds = round(time.perf_counter() - start, 1)
        shown = " ".join(f"{name}={value}" for name, value in row.detail.items())
        print(f"{row.status:12} {row.seconds:6.1f} s  {shown}", flush=True)


def free_memory(device: str) -> None:
    """Free what a row left on a GPU; CUDA raises if it refuses all work since an error."""
    if torch.device(device).type == "cuda":
        gc.collect()  # train states are parts of reference cycles
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def _summary(error: Exception) -> str:
    first_line, *_ = str(error).split("\n")
    return f"{type(error).__name__}: {first_line}"


def describe(device: str) -> dict[str, Any]:
    """Return the names of the device and of the versions, and the git revision."""
    is_cuda, software = device.startswith("cuda"), describe_software()
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else name_processor(),
        "cuda": torch.version.cuda,
        **software["versions"],
        "git": software["git"],
    }


def name_processor() -> str:
    """Return the name of the CPU; of its architecture if the system does not tell."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


def main(arguments: list[str] | None = None) -> int:
    """Run the check; return 0 if every execution was verified, and no row failed."""
    parser = argparse.ArgumentParser(
        prog="tests/gpu/check.sh", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--device", default="cuda", help=DEVICE_HELP)
    parser.add_argument(
        "--out",
        type=Path,
        help="JSON file (default: gpu_check.json; --quick: gpu_check_quick.json)",
    )
    parser.add_argument(
        "--minutes", type=float, default=6.0, help="Stop after this many minutes (default: 6)."
    )
    parser.add_argument("--quick", action="store_true", help="Use tiny sizes, to try the check.")
    flags = parser.parse_args(arguments)
    out: Path = flags.out or Path(f"gpu_check{'_quick' * flags.quick}.json")
    check_minutes(flags.minutes)
    check_writable(out)
    machine = Machine.choose(flags.device, 1, "eager")  # raises in one line if it is not there
    end = time.monotonic() + 60 * flags.minutes
    about = describe(machine.device)
    print(", ".join(f"{name} {value}" for name, value in about.items() if value))

    def report(rows: list[Row]) -> None:
        write_json(
            out,
            {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": about,
                "minutes": flags.minutes,
                "quick": flags.quick,
                "counts": count_statuses(rows),
                "rows": [*map(asdict, rows)],
            },
        )

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
            rows = run_checks(plan(context), end - time.monotonic(), report, machine.device)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return summarise(rows, out)


def count_statuses(rows: list[Row]) -> dict[str, int]:
    """Return how many rows have each status."""
    return dict(Counter(row.status for row in rows))


def summarise(rows: list[Row], out: Path) -> int:
    """Print what failed and how many rows have each status; return the exit code."""
    failed = [row for row in rows if row.status == "failed"]
    for row in failed:
        print(f"failed: {row.label}: {row.detail['why']}")
    counts = count_statuses(rows)
    print(", ".join(f"{n} {status}" for status, n in counts.items()) + f"; wrote {out}")
    agrees = [row for row in rows if row.section == "agrees"]
    verified = {row.execution for row in agrees if row.status == "passed"}
    if missing := {row.execution: None for row in agrees if row.execution not in verified}:
        print(f"not verified: {', '.join(missing)}; see above, or give more --minutes")
    return 0 if verified and not missing and not failed else 1
