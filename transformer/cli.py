"""The commands of `python -m transformer`."""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from coopetition.commands import parse, print_json, run_command
from coopetition.compare.curves import read_curves
from coopetition.errors import UsageError
from transformer.config import RunConfig
from transformer.presets import PRESETS
from transformer.timeline import timeline

PROG = "python -m transformer"


@dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """Train a run; every flag under `config` changes the preset."""

    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Path
    """Folder for the run; it must not exist or be empty."""
    preset: str = "glyphs"
    """Where the config starts from: smoke, quick, glyphs or omniglot (each has its own flags)."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int | None = None
    """CPU threads (all cores without)."""


def train_command(arguments: list[str]) -> None:
    """Train a run into a new folder."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--preset", nargs="?", default="glyphs")
    preset = first.parse_known_args(arguments)[0].preset
    if preset not in PRESETS:
        raise UsageError(f"preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}")
    flags = parse(
        TrainFlags,
        arguments,
        prog=f"{PROG} train",
        default=TrainFlags(config=PRESETS[preset](), out=tyro.MISSING, preset=preset),
    )
    from transformer.train import train

    _print_end(train(flags.config, flags.out, device=flags.device, threads=flags.threads).path)


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """A run folder."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    json: bool = False
    """Print one JSON object."""


@dataclass(frozen=True, kw_only=True)
class MovedRunFlags(RunFlags):
    """A run folder that may have moved to another machine."""

    device: str | None = None
    """Another device than the recorded one: auto, cpu, cuda or mps."""
    data_path: str | None = None
    """Where the Omniglot data are now."""


@dataclass(frozen=True, kw_only=True)
class ResumeFlags(MovedRunFlags):
    """Go on with a run from its newest sound checkpoint."""

    n_steps: int | None = None
    """Move the run's end, for example to train a finished run further."""


def resume_command(arguments: list[str]) -> None:
    """Go on with a stopped run, bit for bit as if it had not stopped, or train a run further."""
    flags = parse(ResumeFlags, arguments, prog=f"{PROG} resume")
    from transformer.train import resume

    resume(flags.run, n_steps=flags.n_steps, device=flags.device, data_path=flags.data_path)
    _print_end(flags.run, as_json=flags.json)


def show_command(arguments: list[str]) -> None:
    """Show how a run stands."""
    flags = parse(RunFlags, arguments, prog=f"{PROG} show")
    _print_end(flags.run, as_json=flags.json)


def _print_end(path: Path, *, as_json: bool = False) -> None:
    from transformer.runs import open_run

    run = open_run(path)
    status = run.status()
    events = timeline(read_curves(path, "in_context_accuracy")) if len(run.metrics()) > 1 else None
    if as_json:
        print_json(status | {"events": events and asdict(events)})
        return
    for name, value in status.items():
        print(f"{name:18} {value}")
    for name, value in (asdict(events) if events else {}).items():
        print(f"{name:18} {'-' if value is None else f'{value:.4g}'}")


@dataclass(frozen=True, kw_only=True)
class ExportFlags:
    """Write a run's curves as CSV, and what they are curves of as JSON beside it."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """The CSV file; the JSON has the same name."""


def export_command(arguments: list[str]) -> None:
    """Write a run's curves to a small CSV file."""
    flags = parse(ExportFlags, arguments, prog=f"{PROG} export")
    from transformer.export import export
    from transformer.runs import open_run

    export(open_run(flags.run), flags.out)
    print(f"wrote {flags.out} and {flags.out.with_suffix('.json')}")


@dataclass(frozen=True, kw_only=True)
class EvaluateFlags(MovedRunFlags):
    """Evaluate a checkpoint of a run on all evaluators."""

    step: int | None = None
    """Which checkpoint (the newest sound one without)."""


def evaluate_command(arguments: list[str]) -> None:
    """Evaluate a checkpoint on the five evaluators."""
    flags = parse(EvaluateFlags, arguments, prog=f"{PROG} evaluate")
    from transformer.runs import open_run
    from transformer.train import evaluate_checkpoint

    run = open_run(flags.run, device=flags.device, data_path=flags.data_path)
    step, table = evaluate_checkpoint(run, flags.step)
    if flags.json:
        print_json({"step": step, "run_id": run.config.run_id(), "evaluators": table})
        return
    print(f"step {step}")
    names = list(table)
    print(f"{'':26}" + "".join(f"{name:>9}" for name in names))
    for metric in table[names[0]]:
        values = (table[name][metric] for name in names)
        print(f"{metric:26}" + "".join(f"{'-' if v is None else f'{v:.4f}':>9}" for v in values))


@dataclass(frozen=True, kw_only=True)
class BenchFlags:
    """Time the training step against the floor of its own matrix products and optimiser."""

    n_classes: int = 1600
    runs: int = 1
    """Runs trained at once."""
    d_features: int = 512
    batch_size: int = 32
    n_layers: int = 2
    repeats: int = 7
    """Timed repeats; the median counts."""
    device: str = "auto"
    threads: int | None = None
    """CPU threads (all cores without)."""
    json: bool = False
    """Print one JSON object."""


def bench_command(arguments: list[str]) -> None:
    """Time the training step beside its floor."""
    flags = parse(BenchFlags, arguments, prog=f"{PROG} bench")
    from transformer.bench import bench

    result = bench(
        n_classes=flags.n_classes,
        n_runs=flags.runs,
        d_features=flags.d_features,
        batch_size=flags.batch_size,
        n_layers=flags.n_layers,
        repeats=flags.repeats,
        device=flags.device,
        threads=flags.threads,
    )
    if flags.json:
        print_json(result)
    else:
        for name, value in result.items():
            print(f"{name:24} {value}")


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": train_command,
    "resume": resume_command,
    "evaluate": evaluate_command,
    "show": show_command,
    "export": export_command,
    "bench": bench_command,
}


def main() -> None:
    """Run the command line."""
    run_command(COMMANDS, "Train tiny transformers and watch their strategies.", PROG)
