"""Train a run, or many as one, into a new folder.

Beside the options come the settings of the preset; `--preset NAME --help` shows its values.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from coopetition.tools.commands import parse_known_flags
from coopetition.tools.console import print_table
from coopetition.tools.errors import UsageError
from transformer.cli._runs import print_ends
from transformer.config import RunConfig
from transformer.config.data import EXEMPLAR_KINDS
from transformer.experiments.presets import PRESETS, Scale


@dataclass(frozen=True, kw_only=True)
class Start:
    """What decides which other flags there are, and where they start from."""

    preset: str = "glyphs"
    """Where the config starts from; `presets` lists them (each has its own flags)."""
    scale: Scale = "cpu"
    """Size of a paper's runs: `paper`; `gpu`, what one GPU trains in hours (transience only);
    `cpu`, what two cores can do; `smoke`, some steps."""
    exemplars: str | None = None
    """Other exemplars than the preset's; `data` lists the kinds (each has its own flags)."""


@dataclass(frozen=True, kw_only=True)
class Flags(Start):
    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Path
    """Folder for the run; it must not exist or be empty."""
    vary: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """A field and its values, `--vary init_seed 5 6 7`: one run at each combination of all that
    are varied, trained as one, each in a folder of its own in `out`."""
    dry_run: bool = False
    """Print steps, parameters, memory and predicted time; train nothing."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int | None = None
    """CPU threads (without: as many as are found to be faster)."""
    execution: str = "auto"
    """eager, compiled (three to five times as fast after half a minute), graph (CUDA) or auto."""
    json: bool = False
    """Print one JSON object (a line for each run if they are several)."""


def defaults(arguments: list[str]) -> Flags:
    start, _ = parse_known_flags(Start, arguments, prog="python -m transformer train")
    if start.preset not in PRESETS:
        raise UsageError(
            f"preset {start.preset!r} is unknown; `python -m transformer presets` lists them all"
        )
    config = PRESETS[start.preset].config(start.scale)
    if start.exemplars is not None:
        config = config.with_kind(EXEMPLAR_KINDS[start.exemplars])
    return Flags(config=config, out=tyro.MISSING, preset=start.preset, scale=start.scale)


def run(flags: Flags) -> None:
    axes = {}
    for field, *values in (each or ("",) for each in flags.vary):
        if not values:
            raise UsageError(f"--vary {field}: no values; give some, as in --vary init_seed 5 6")
        if field.replace("-", "_") in axes:
            raise UsageError(f"--vary {field} comes twice; give all its values at once")
        axes[field.replace("-", "_")] = values
    from transformer.runs.folder import check_together, vary
    from transformer.training.machine import Machine

    machine = Machine.choose(
        flags.device, flags.threads, flags.execution, n_steps=flags.config.n_steps
    )
    configs = vary(flags.config, axes) if axes else {"": flags.config}
    if flags.dry_run:
        from transformer.training.cost import forecast

        check_together(configs)
        print_table(forecast(configs, machine), as_json=flags.json)
        return
    from transformer.runs.loop import train, train_together

    if axes:
        print_ends(lambda: train_together(configs, flags.out, machine), as_json=flags.json)
    else:
        print_ends(lambda: [train(flags.config, flags.out, machine)], as_json=flags.json)
