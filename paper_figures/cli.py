"""Draw the figures of the papers from our own runs."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from coopetition.tools.checks import check_int
from coopetition.tools.commands import run_as_program
from coopetition.tools.console import print_json, print_rows, print_written
from coopetition.tools.errors import UsageError, abbreviate
from coopetition.tools.files import check_writable
from coopetition.tools.flags import default_shown_as, parse_flags
from paper_figures.core.figure import (
    Figure,
    FigureResult,
    draw_all,
    figures_of,
    find_figure,
    papers,
    print_style,
    stem_of,
)
from paper_figures.core.kept_data import SCALE, KeptScale
from paper_figures.core.runs import NotKeptError, check_scale_of, find_needs, kept_runs
from transformer.config.run import Scale
from transformer.sweeps.plan import ALL_NODES

FigureName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FIGURE")]
PROG = "python -m paper_figures"
USAGE = f"""usage: {PROG} PAPER FIGURE [flags]
       {PROG} --list [--json]
       {PROG} --all [flags]
       {PROG} make PAPER FIGURE --runs DIR [flags]
       {PROG} preset NAME [flags]
       {PROG} keep RUNS --paper NAME [flags]
       {PROG} results [flags]
       {PROG} pages
       {PROG} pictures"""


@dataclass(frozen=True, kw_only=True)
class DrawingFlags:
    """Flags of what is drawn from kept runs."""

    out: Path = Path("figures")
    """Folder for the PNG, PDF, CSV (numbers) and JSON (provenance, verdicts on claims)."""
    scale: KeptScale = SCALE
    """Scale of the kept runs: `cpu` for two CPU cores, `gpu` for one GPU, `paper` as published."""
    init_seed: Annotated[int | None, default_shown_as("the lowest kept")] = None
    """Initial seed of the run to draw first."""


@dataclass(frozen=True, kw_only=True)
class FigureFlags(DrawingFlags):
    """Draw a figure from the runs kept in this package; figures of the theory are computed."""

    figure: FigureName
    """Name of the figure, as `--list` prints it."""


def _draw(paper: str, flags: FigureFlags) -> None:
    _check_folder(flags.out)
    figure = find_figure(paper, flags.figure)
    if figure.of_several_scales and flags.scale != SCALE:
        raise UsageError(f"{paper} {figure.slot} shows runs of two scales; leave out --scale")
    if not figure.needs and flags != FigureFlags(figure=flags.figure, out=flags.out):
        raise UsageError(f"figure {paper} {figure.slot} needs no trained run; it takes only --out")
    try:
        found = find_needs(figure.needs, flags.init_seed, flags.scale)
    except NotKeptError:
        found = []
    if figure.needs and not any(found):
        check_scale_of(figure.needs[0].preset, flags.scale)
        of_seed = "" if flags.init_seed is None else f" of seed {flags.init_seed}"
        raise UsageError(
            f"the runs{of_seed} for figure {paper} {figure.slot} are not kept at scale "
            f"{flags.scale}; make them by `{PROG} make {paper} {figure.slot} --scale {flags.scale} "
            "--runs DIR`"
        )
    _write(figure.render(found), flags.out, figure.stem(flags.scale, flags.init_seed))
    if missing := figure.missing(found):
        print(f"not kept at scale {flags.scale}: {abbreviate(missing, 20)}")


def _write(result: FigureResult, out: Path, stem: str) -> None:
    """Write a figure's files, and print where they are and what it shows."""
    for path in result.write(out, stem):
        print_written(path)
    for line in result.findings:
        print(line)
    for claim in result.provenance.get("claims", ()):
        numbers = f" (ours {claim['ours'] or '-'}, published {claim['published']})"
        print(f"{claim['verdict']}: {claim['claim']}{numbers if claim['published'] else ''}")


def _check_folder(out: Path) -> None:
    """Raise `UsageError` if files cannot be written there."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    check_writable(out / "figure")


@dataclass(frozen=True, kw_only=True)
class PresetFlags(DrawingFlags):
    """Draw the curves of a preset's kept runs, and print the files that hold all of them.

    `coopetition fit`, `compare` and `predict` read these files.
    """

    preset: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """Name of the preset, such as `glyphs`; see `python -m transformer presets`."""


def _preset(flags: PresetFlags) -> None:
    from paper_figures.core.plotting import draw_settings

    _check_folder(flags.out)
    runs = kept_runs(flags.preset, flags.init_seed, flags.scale)
    with print_style():
        result = draw_settings({flags.preset: runs})
    _write(result, flags.out, stem_of(flags.preset, flags.scale, flags.init_seed))
    for run in runs:
        print(f"{run.name}: all its curves are in {run.path}")


@dataclass(frozen=True, kw_only=True)
class AllFlags:
    """Draw every figure at every scale at which its runs are kept."""

    out: Path = Path("figures")
    """Folder for the files."""
    jobs: int = 2
    """Number of processes at once."""


def _all(flags: AllFlags) -> None:
    _check_folder(flags.out)
    check_int("--jobs", flags.jobs, 1)
    print_rows(draw_all(flags.out, flags.jobs), as_json=False)


@dataclass(frozen=True, kw_only=True)
class MakeFlags:
    """Train and measure the runs that a figure still lacks, and draw it."""

    paper: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PAPER")]
    """Paper or study of the figure."""
    figure: FigureName
    """Name of the figure, as `--list` prints it."""
    runs: Path
    """Folder of the sweep; finished runs in it are not trained again. Their curves are written to
    its subfolder `kept`."""
    scale: Scale = SCALE
    """Scale of the runs: `smoke` for a few steps of each run, `cpu` for two CPU cores, `gpu` for
    one GPU, `paper` as published."""
    only: tuple[str, ...] = ALL_NODES
    """Nodes of the sweep to run: names, or patterns such as 'main_*'."""
    seeds: Annotated[tuple[int, ...], default_shown_as("all that the figure shows")] = ()
    """Initial seeds of the runs to train."""
    out: Path = Path("figures")
    """Folder for the figure's files."""
    jobs: int = 1
    """Number of processes; each trains one run at a time."""
    threads: int = 1
    """CPU threads of each process."""
    device: str = "auto"
    """Device: auto, cpu, cuda or mps."""
    data: tyro.conf.UseAppendAction[tuple[tuple[str, Path], ...]] = ()
    """Kind of exemplars and file, for runs that need one (`tokens FILE`); may be repeated."""
    retry: bool = False
    """Try failed nodes of the sweep again."""
    dry_run: bool = False
    """Print the nodes of the sweep with their steps and disk space, and do nothing."""


def _make(flags: MakeFlags) -> None:
    from paper_figures.core.build import make, sweep, sweep_flags

    figure = find_figure(flags.paper, flags.figure)
    _check_folder(flags.out)
    own = ("paper", "figure", "out")
    given = {name: value for name, value in asdict(flags).items() if name not in own}
    sweep_of_figure = sweep_flags(figure, **given)
    if flags.dry_run:
        sweep.run(sweep_of_figure)
        return
    data, left_out = make(sweep_of_figure)
    _print_left_out(left_out)
    try:
        found = find_needs(figure.needs, None, flags.scale, data)
    except NotKeptError:
        if flags.only == ALL_NODES and not flags.seeds:
            raise
        name = f"{figure.paper} {figure.slot}"
        print(
            f"{name} is not drawn: --only and --seeds leave out runs that it needs; run make "
            "without them to draw it"
        )
        return
    result = figure.render(found)
    result = result.as_trial() if flags.scale == "smoke" else result
    _write(result, flags.out, figure.stem(flags.scale))


@dataclass(frozen=True, kw_only=True)
class KeepFlags:
    """Add the curves and tables of a sweep's finished runs to this package, for figures."""

    runs: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUNS")]
    """Folder of the sweep."""
    paper: str
    """Paper or study of the runs: the first part of the names of their presets."""
    plan: Annotated[str | None, default_shown_as("the plan named as the paper")] = None
    """Plan of the sweep."""
    scale: KeptScale = SCALE
    """Scale of the runs: `cpu` for two CPU cores, `gpu` for one GPU, `paper` as published."""


def _keep(flags: KeepFlags) -> None:
    from paper_figures.core.collect import keep_finished
    from transformer.experiments.plans import load_plan
    from transformer.experiments.presets import PRESETS

    known = sorted({name.partition("/")[0] for name in PRESETS if "/" in name})
    if flags.paper not in known:
        raise UsageError(f"--paper {flags.paper} has no presets; choose one of {', '.join(known)}")
    plan = load_plan(flags.plan or flags.paper, flags.scale)
    kept, left_out = keep_finished(plan, flags.runs, flags.paper, flags.scale)
    _print_left_out(left_out)
    print(f"kept {', '.join(kept)}" if kept else "all finished runs are kept already")


def _print_left_out(sentences: list[str]) -> None:
    for sentence in sentences:
        print(f"left out {sentence}", file=sys.stderr)


@dataclass(frozen=True, kw_only=True)
class ListFlags:
    """Print all figures, with the scales and initial seeds of their kept runs."""

    json: bool = False
    """Print one JSON object per figure."""


def _list(flags: ListFlags) -> None:
    rows = [row for paper in papers() for row in map(Figure.status, figures_of(paper).values())]
    print_rows(rows, as_json=flags.json)


@dataclass(frozen=True, kw_only=True)
class ResultsFlags:
    """Compare the claims of papers with the kept runs, and print the verdicts.

    docs/results.md and docs/transience.md have the same tables, and explain the rules.
    """

    paper: Annotated[str | None, default_shown_as("every paper with claims")] = None
    """Paper whose claims are judged."""
    json: bool = False
    """Print a JSON list, one object per claim and scale, with the result of each run."""


def _results(flags: ResultsFlags) -> None:
    from paper_figures.core.verdicts import claim_rows, judge_claims, papers_with_claims

    known = papers_with_claims()
    if flags.paper not in (None, *known):
        raise UsageError(f"--paper {flags.paper} has no claims; choose one of {', '.join(known)}")
    judged = {paper: judge_claims(paper) for paper in known if flags.paper in (None, paper)}
    if flags.json:
        print_json([each.to_dict() for own in judged.values() for each in own])
    else:
        print_rows([row for own in judged.values() for row in claim_rows(own)], as_json=False)


@dataclass(frozen=True, kw_only=True)
class PagesFlags:
    """Rewrite the generated parts of paper.md and docs/ from the kept runs."""


@dataclass(frozen=True, kw_only=True)
class PicturesFlags:
    """Redraw the pictures of docs/, in some minutes."""


def _update_documents(flags: PagesFlags | PicturesFlags) -> None:
    from paper_figures.pages import write_pages, write_pictures

    for path in write_pages() if isinstance(flags, PagesFlags) else write_pictures():
        print_written(path)


COMMANDS: dict[str, tuple[type[Any], Callable[[Any], None]]] = {
    "--list": (ListFlags, _list),
    "--all": (AllFlags, _all),
    "make": (MakeFlags, _make),
    "keep": (KeepFlags, _keep),
    "preset": (PresetFlags, _preset),
    "results": (ResultsFlags, _results),
    "pages": (PagesFlags, _update_documents),
    "pictures": (PicturesFlags, _update_documents),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_as_program(lambda: _dispatch(given), PROG)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{USAGE}\n\n{__doc__}\n")
        for paper, title in papers().items():
            print(f"  {paper:13}{title}")
        return 0 if arguments else 2
    name, *rest = arguments
    if name in COMMANDS:
        kind, run = COMMANDS[name]
        run(parse_flags(kind, rest, prog=f"{PROG} {name}"))
    else:
        figures_of(name)  # refuses an unknown paper
        _draw(name, parse_flags(FigureFlags, rest, prog=f"{PROG} {name}"))
    return 0
