"""Train a run, or several runs together, into a new folder.

The flags include all settings of the preset; `--preset NAME --help` shows their values.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_type_hints

import tyro

from coopetition.tools.console import print_table
from coopetition.tools.errors import UsageError
from coopetition.tools.flags import default_shown_as, parse_known_flags
from transformer.cli._runs import train_and_print
from transformer.config import RunConfig
from transformer.config.data import EXEMPLAR_KINDS
from transformer.experiments.presets import PRESETS, Scale


@dataclass(frozen=True, kw_only=True)
class BaseFlags:
    """Flags that decide which others there are, and their defaults."""

    preset: str = "glyphs"
    """Preset: settings to start from; the command `presets` lists them."""
    scale: Scale = "cpu"
    """Scale of a paper's preset: `paper`, as published; `gpu`, hours on one GPU (transience only);
    `cpu`, hours on two cores; `smoke`, a few steps."""
    exemplars: Annotated[str | None, default_shown_as("the preset's")] = None
    """Kind of exemplars, each with its own flags; the command `data` lists them."""


@dataclass(frozen=True, kw_only=True)
class Flags(BaseFlags):
    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Path
    """Output folder of the run. It must not exist, or it must be empty."""
    vary: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """A field and its values: `--vary init_seed 5 6 7`. Each combination of values is a run in its
    own folder in --out; all are trained together."""
    dry_run: bool = False
    """Print steps, parameters, memory and predicted time; train nothing."""
    device: str = "auto"
    """Device: `auto`, `cpu`, `cuda` or `mps`."""
    threads: Annotated[int | None, default_shown_as("chosen by timing steps")] = None
    """Number of CPU threads."""
    execution: str = "auto"
    """How steps are executed: `eager`, `compiled` (three to five times as fast, after half a minute
    of compiling), `graph` or `compiled-graph` (CUDA), or `auto`: the fastest that passes a
    check."""
    json: bool = False
    """Print one JSON object for each run."""


def defaults(arguments: list[str]) -> Flags:
    base, _ = parse_known_flags(BaseFlags, arguments, prog="python -m transformer train")
    if base.preset not in PRESETS:
        raise UsageError(
            f"preset {base.preset!r} is unknown; `python -m transformer presets` lists them all"
        )
    config = PRESETS[base.preset].config(base.scale)
    if base.exemplars is not None:
        config = config.with_kind(EXEMPLAR_KINDS[base.exemplars])
    return Flags(config=config, out=tyro.MISSING, preset=base.preset, scale=base.scale)


def explain_unknown(flag: str) -> str:
    """Return which kinds of exemplars have a flag that the chosen kind lacks, or ""."""
    name = flag.removeprefix("--data.exemplars.")
    kinds = EXEMPLAR_KINDS.items() if name != flag else ()
    having = [kind for kind, each in kinds if name.replace("-", "_") in get_type_hints(each)]
    if not having:
        return ""
    return (
        f"the chosen kind of exemplars has no {name}; choose another kind with --exemplars "
        f"({' or '.join(having)})"
    )


def run(flags: Flags) -> None:
    from transformer.config.variants import check_together, vary
    from transformer.runs.folder import check_new_folder
    from transformer.runs.prepare import prepare_forecast
    from transformer.runs.train import train, train_together
    from transformer.training.cost import forecast_cost
    from transformer.training.machine import Machine

    axes = _varied_fields(flags.vary)
    configs = vary(flags.config, axes) if axes else {"": flags.config}
    machine = Machine.choose(
        flags.device, flags.threads, flags.execution, n_steps=flags.config.n_steps
    )
    if flags.dry_run:
        check_together(configs)
        check_new_folder(flags.out)
        ready = prepare_forecast([*configs.values()], machine)
        print_table(forecast_cost(ready, machine), as_json=flags.json)
    elif axes:
        train_and_print(lambda: train_together(configs, flags.out, machine), as_json=flags.json)
    else:
        train_and_print(lambda: [train(flags.config, flags.out, machine)], as_json=flags.json)


def _varied_fields(given: tuple[tuple[str, ...], ...]) -> dict[str, list[str]]:
    """Return the values of each varied field."""
    axes: dict[str, list[str]] = {}
    for field, *values in (each or ("",) for each in given):
        if not values:
            raise UsageError(f"--vary {field}: no values; give some, as in --vary init_seed 5 6")
        name = field.replace("-", "_")
        if name in axes:
            raise UsageError(f"--vary {field} comes twice; give all its values at once")
        axes[name] = values
    return axes
