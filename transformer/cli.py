"""The commands of `python -m transformer`."""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import tyro

from coopetition.tools.command_line import parse, print_json, run_command
from coopetition.tools.errors import UsageError
from transformer.config import (
    ExemplarConfig,
    FeatureConfig,
    GaussianConfig,
    GlyphConfig,
    OmniglotConfig,
    OneHotConfig,
    RunConfig,
    TokenConfig,
)
from transformer.experiments.preset import Scale
from transformer.experiments.presets import PRESETS
from transformer.measures.timeline import timeline

if TYPE_CHECKING:
    from transformer.runs.folder import RunFolder

PROG = "python -m transformer"


EXEMPLARS: dict[str, type[ExemplarConfig]] = {
    "glyphs": GlyphConfig,
    "omniglot": OmniglotConfig,
    "gaussian": GaussianConfig,
    "one_hot": OneHotConfig,
    "features": FeatureConfig,
    "tokens": TokenConfig,
}


@dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """Train a run, or many as one.

    Beside the options come the settings of the preset; `--preset NAME --help` shows its values.
    """

    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Path
    """Folder for the run; it must not exist or be empty."""
    preset: str = "glyphs"
    """Where the config starts from; `presets` lists them (each has its own flags)."""
    scale: Scale = "cpu"
    """Of the papers' presets: `paper`, or what two CPU cores can do."""
    exemplars: str | None = None
    """Other exemplars than the preset's: glyphs, omniglot, gaussian, one_hot, features, tokens."""
    vary: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """A field and its values, `--vary init_seed 5 6 7`: one run at each combination of all that
    are varied, trained as one, each in a folder of its own in `out`."""
    dry_run: bool = False
    """Print steps, parameters, memory and predicted time; train nothing."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int | None = None
    """CPU threads (all cores without)."""
    execution: str = "auto"
    """eager, compiled (three to five times as fast after half a minute), graph (CUDA) or auto."""
    json: bool = False
    """Print one JSON object (a line for each run if they are several)."""


def train_command(arguments: list[str]) -> None:
    """Train a run, or many as one, into a new folder."""
    flags = parse(TrainFlags, arguments, prog=f"{PROG} train", default=_train_defaults(arguments))
    axes = {}
    for field, *values in (each or ("",) for each in flags.vary):
        if not values:
            raise UsageError(f"--vary {field}: no values; give some, as in --vary init_seed 5 6")
        if field.replace("-", "_") in axes:
            raise UsageError(f"--vary {field} comes twice; give all its values at once")
        axes[field.replace("-", "_")] = values
    from transformer.runs.ensemble import check_together, vary
    from transformer.runs.machine import Machine

    machine = Machine.choose(
        flags.device, flags.threads, flags.execution, n_steps=flags.config.n_steps
    )
    configs = vary(flags.config, axes) if axes else {"": flags.config}
    if flags.dry_run:
        from transformer.training.forecast import forecast

        check_together(configs)
        _print_table(forecast(configs, machine), as_json=flags.json)
        return
    from transformer.training.loop import train, train_together

    if axes:
        _print_ends(lambda: train_together(configs, flags.out, machine), as_json=flags.json)
    else:
        _print_ends(lambda: [train(flags.config, flags.out, machine)], as_json=flags.json)


def _train_defaults(arguments: list[str]) -> TrainFlags:
    """What the flags start from: the preset and the kind of exemplars, read before the others."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--preset", nargs="?", default="glyphs")
    first.add_argument("--scale", nargs="?", default="cpu")
    first.add_argument("--exemplars", nargs="?")
    known = first.parse_known_args(arguments)[0]
    if known.preset is None or known.preset not in PRESETS:
        raise UsageError(f"preset {known.preset!r} is unknown; `{PROG} presets` lists them all")
    if known.scale not in get_args(Scale):
        raise UsageError(f"scale {known.scale!r} is unknown; choose paper or cpu")
    config = PRESETS[known.preset].make(known.scale)
    if known.exemplars is not None:
        if known.exemplars not in EXEMPLARS:
            raise UsageError(
                f"exemplars {known.exemplars!r} are unknown; choose one of {', '.join(EXEMPLARS)}"
            )
        config = config.with_kind(EXEMPLARS[known.exemplars])
    return TrainFlags(config=config, out=tyro.MISSING, preset=known.preset, scale=known.scale)


@dataclass(frozen=True, kw_only=True)
class PresetsFlags:
    """List the named runs."""

    scale: Scale = "cpu"
    json: bool = False
    """Print one JSON object a preset."""


def presets_command(arguments: list[str]) -> None:
    """List the named runs: steps, what they are, whose checkpoint they start from."""
    flags = parse(PresetsFlags, arguments, prog=f"{PROG} presets")
    rows = []
    for name, preset in PRESETS.items():
        config = preset.make(flags.scale)
        start = f"{preset.after} at step {config.start.step}" if preset.after else None
        rows.append(
            {"preset": name, "steps": config.n_steps, "what": preset.what, "starts_from": start}
        )
    _print_rows(rows, as_json=flags.json)


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """A run folder."""

    run: tyro.conf.Positional[Path]
    """The folder of a run, or of runs that are trained together."""
    json: bool = False
    """Print one JSON object."""


@dataclass(frozen=True, kw_only=True)
class MovedRunFlags(RunFlags):
    """A run folder that may have moved to another machine."""

    device: str | None = None
    """Another device than the recorded one: auto, cpu, cuda or mps."""
    threads: int | None = None
    """Other CPU threads than those recorded."""
    execution: str | None = None
    """Another execution than that recorded: eager, compiled or graph."""
    data_path: str | None = None
    """Where the exemplars' file is now."""

    def place(self) -> dict[str, Any]:
        """Where and how to compute instead of as recorded."""
        names = ("device", "threads", "execution", "data_path")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class ResumeFlags(MovedRunFlags):
    """Go on with a run from its newest sound checkpoint."""

    n_steps: int | None = None
    """Move the run's end, for example to train a finished run further."""


def resume_command(arguments: list[str]) -> None:
    """Go on with a stopped run, bit for bit as if it had not stopped, or train a run further."""
    flags = parse(ResumeFlags, arguments, prog=f"{PROG} resume")
    from transformer.training.loop import resume

    _print_ends(
        lambda: resume(flags.run, n_steps=flags.n_steps, **flags.place()), as_json=flags.json
    )


def show_command(arguments: list[str]) -> None:
    """Show how a run, or each of an ensemble, stands."""
    flags = parse(RunFlags, arguments, prog=f"{PROG} show")
    from transformer.runs.ensemble import load_runs

    _print_standing(load_runs(flags.run), as_json=flags.json)


def _print_ends(train: Callable[[], list["RunFolder"]], *, as_json: bool) -> None:
    """Train, and print how the runs ended, those that diverged too."""
    from transformer.training.loop import Diverged

    try:
        runs = train()
    except Diverged as error:
        _print_standing(error.runs, as_json=as_json)
        raise
    _print_standing(runs, as_json=as_json)


def _print_standing(runs: list["RunFolder"], *, as_json: bool) -> None:
    """How runs stand, with the timeline of each; several as a table."""
    from transformer.runs.table import row_of

    if len(runs) > 1 and not as_json:
        _print_rows([row_of(run.path) for run in runs], as_json=False)
        return
    for run in runs:
        status = run.status()
        events = timeline(run.curves()) if len(run.metrics()) > 1 else None
        if as_json:
            report = status | {"path": str(run.path), "events": events and asdict(events)}
            print(json.dumps(report)) if len(runs) > 1 else print_json(report)
        else:
            if damaged := status.pop("damaged"):
                more = f", and {len(damaged) - 1} more" if len(damaged) > 1 else ""
                status["damaged"] = damaged[0] + more
            _print_table(status | (events.describe() if events else {}), as_json=False)


def _print_table(table: dict[str, Any], *, as_json: bool) -> None:
    """Names and values, one a line."""
    if as_json:
        print_json(table)
        return
    for name, value in table.items():
        shown = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else value
        print(f"{name:24} {shown}")


@dataclass(frozen=True, kw_only=True)
class ListFlags:
    """List the runs in a folder and the folders in it."""

    folder: tyro.conf.Positional[Path] = Path("runs")
    json: bool = False
    """Print one JSON object a run."""


def list_command(arguments: list[str]) -> None:
    """List the runs in a folder: id, status, steps, where ICL and CIWL stand."""
    flags = parse(ListFlags, arguments, prog=f"{PROG} ls")
    from transformer.runs.table import list_runs

    rows = list_runs(flags.folder)
    if rows or flags.json:
        _print_rows(rows, as_json=flags.json)
    else:
        print(f"no runs in {flags.folder}")


def _print_rows(
    rows: Iterable[dict[str, Any]], *, as_json: bool, shown: tuple[str, ...] = ()
) -> None:
    """A table of rows with the same names, or of those `shown`; JSON objects as they come."""
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    rows = list(rows)
    names = shown or tuple(rows[0])
    cells = [names, *(tuple(_cell(row[name]) for name in names) for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(names))]
    for row in cells:
        padded = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, kw_only=True)
class ExportFlags:
    """Write a run's curves as CSV, and what they are curves of as JSON beside it."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """The CSV file, and the JSON beside it with the same name; both are written over."""


def export_command(arguments: list[str]) -> None:
    """Write a run's curves to a small CSV file."""
    flags = parse(ExportFlags, arguments, prog=f"{PROG} export")
    from transformer.runs.export import export
    from transformer.runs.folder import load_run

    export(load_run(flags.run), flags.out)
    print(f"wrote {flags.out} and {flags.out.with_suffix('.json')}")


@dataclass(frozen=True, kw_only=True)
class TensorBoardFlags:
    """Write a run's curves as TensorBoard events."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """A new folder for the events."""


def tensorboard_command(arguments: list[str]) -> None:
    """Write a run's curves as TensorBoard events."""
    flags = parse(TensorBoardFlags, arguments, prog=f"{PROG} tensorboard")
    from transformer.runs.folder import load_run
    from transformer.runs.tensorboard import write_tensorboard

    write_tensorboard(load_run(flags.run), flags.out)
    print(f"wrote {flags.out}")


@dataclass(frozen=True, kw_only=True)
class EvaluateFlags(MovedRunFlags):
    """Evaluate a checkpoint of a run on all evaluators."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    step: int | None = None
    """Which checkpoint (the newest sound one without)."""


def evaluate_command(arguments: list[str]) -> None:
    """Evaluate a checkpoint on the five evaluators."""
    flags = parse(EvaluateFlags, arguments, prog=f"{PROG} evaluate")
    from transformer.runs.folder import load_run
    from transformer.training.loop import evaluate_checkpoint, relocated

    run = relocated(load_run(flags.run), **flags.place())
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
    """Time the training step against the floor of its own matrix products and optimiser.

    Flags with several values make a row for every combination.
    """

    n_classes: tuple[int, ...] = (1600,)
    runs: tuple[int, ...] = (1,)
    """Runs trained at once."""
    n_layers: tuple[int, ...] = (2,)
    execution: tuple[str, ...] = ("auto",)
    """eager, compiled, graph (CUDA); auto: compiled if it can be."""
    mlp_ratio: int = 0
    context: int = 2
    d_features: int = 512
    batch_size: int = 32
    repeats: int = 7
    """Timed repeats; the median counts."""
    device: str = "auto"
    threads: int | None = None
    """CPU threads (all cores without)."""
    json: bool = False
    """Print one JSON object a row."""


def embed_command(arguments: list[str]) -> None:
    """Embed drawings by a frozen ResNet-18: features for `--exemplars features`."""
    from transformer.data.exemplars.embed import embed_command as embed

    embed(arguments)


def bench_command(arguments: list[str]) -> None:
    """Time the training step beside its floor."""
    flags = parse(BenchFlags, arguments, prog=f"{PROG} bench")
    from transformer.training.bench import bench

    settings = {field.name: getattr(flags, field.name) for field in fields(flags)}
    as_json = settings.pop("json")
    _print_rows(bench(**settings), as_json=as_json, shown=BENCH_COLUMNS)


BENCH_COLUMNS = (
    "n_layers",
    "n_classes",
    "runs",
    "execution",
    "milliseconds_per_step",
    "milliseconds_per_step_and_run",
    "floor_milliseconds",
    "ratio_to_floor",
    "first_step_s",
)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": train_command,
    "presets": presets_command,
    "resume": resume_command,
    "evaluate": evaluate_command,
    "ls": list_command,
    "show": show_command,
    "export": export_command,
    "tensorboard": tensorboard_command,
    "embed": embed_command,
    "bench": bench_command,
}


def main() -> None:
    """Run the command line."""
    run_command(COMMANDS, "Train tiny transformers and watch their strategies.", PROG)
