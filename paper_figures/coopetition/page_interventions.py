"""The tables of docs/interventions.md: interventions on the transformer and on the toy."""

import math
from collections.abc import Iterator

from coopetition.tools.files import markdown_table
from paper_figures.coopetition.events import icl_reaches
from paper_figures.core.runs import Array, FigureRun, by_number, kept_runs, kept_tables

HEADS = (
    "experiment in the transformer",
    "the same in the toy",
    "the toy predicts",
    "our runs show",
)


def counterparts_table() -> str:
    """Return interventions on the transformer beside those on the toy, in Markdown."""
    return markdown_table(HEADS, _rows())


def _rows() -> Iterator[tuple[str, str, str, str]]:
    main, alone, clamped, without, ciwl_only = (
        kept_runs(f"coopetition/{name}")[0]
        for name in ("main", "icl_only", "icl_only_clamped", "no_previous_token", "ciwl_only")
    )
    yield (
        "`icl_only`: ICL-only data, compared with `main`",
        "d = 0, clamped",
        "with the published draws CIWL delays ICL; it speeds ICL up if d starts small or aligned",
        f"CIWL {_effect(alone, main)}: ICL accuracy exceeds 0.75 at {_icl_time(main)} with CIWL, "
        f"at {_icl_time(alone)} alone",
    )
    yield (
        "`icl_only_clamped`: ICL-only data, with the second half of `main` at 20M",
        "d = 0; b and c clamped at a late state",
        "the late circuit speeds ICL up, by a factor of 18 in the median of random draws",
        f"the late circuit {_effect(alone, clamped)}: ICL accuracy exceeds 0.75 at "
        f"{_icl_time(clamped)} with it, at {_icl_time(alone)} alone",
    )
    yield (
        "`grafted_*`: ICL-only data, with the second half of a `ciwl_only` checkpoint",
        "b and c clamped at a state of a CIWL-only run",
        "a circuit from before CIWL's emergence delays ICL; any later one speeds it up",
        "see the next table",
    )
    yield (
        "`resumed_*`: ordinary data, from a `ciwl_only` checkpoint",
        "b, c and d start from a state of a CIWL-only run",
        "after 20,000 steps of CIWL alone, ICL emerges in 20 of 200 draws",
        "see the next table",
    )
    yield (
        "`no_previous_token`: labels cannot attend to the token before them",
        "a = 0, clamped",
        "ICL does not emerge; CIWL does, later than with ICL in 8 of 10 draws",
        f"ICL does not emerge (Flip accuracy at most {without.timeline().flip_peak:.2f}); CIWL "
        f"accuracy reaches 0.9 at {_ciwl_time(without)}, in `main` at {_ciwl_time(main)}",
    )
    yield (
        "`ciwl_only`: CIWL-only data",
        "a = 0, clamped",
        "CIWL emerges, later than with ICL in 8 of 10 draws",
        f"CIWL accuracy reaches 0.9 at {_ciwl_time(ciwl_only)}",
    )
    end = 20e6 / main.rate_ratio
    fixed = _flip_after_peak("layer_2_fixed", end)
    own = main.curves().between(last=end).values["flip"]
    yield (
        "`GraftOut`: the second layer of `main` is fixed to a late one",
        "b and c at a late state, a and d as they are",
        "after emergence, a and d alone decide which strategy is preferred: it changes as before",
        f"Flip accuracy changes as before: its peak is {fixed.max():.2f} ({own.max():.2f} in "
        f"`main`), its value at 20M {fixed[-1]:.2f} ({own[-1]:.2f} in `main`)",
    )
    peak, last = (_flip_after_peak(f"layer_1_of_{name}", end).mean() for name in ("peak", "end"))
    yield (
        "`GraftIn`: the first layer of `main` is fixed at Flip's peak, or at the end",
        "a and d clamped, b and c as they are",
        "the preference for ICL does not change, whatever b and c do",
        f"mean Flip accuracy from Flip's peak on: {peak:.2f} if fixed at the peak, {last:.2f} if "
        "fixed at the end",
    )


def checkpoints_table() -> str:
    """Return ICL's fate by the checkpoint of the CIWL-only run that a run uses, in Markdown."""
    grafted, resumed = (by_number(kept_runs(f"coopetition/{n}_*")) for n in ("grafted", "resumed"))
    heads = (
        "`ciwl_only` checkpoint",
        "`grafted_*`: ICL accuracy exceeds 0.75 at",
        "`resumed_*`: peak of Flip accuracy, by seed",
    )
    rows = (
        (
            f"{at:g}M",
            _icl_time(grafted[at][0]) if at in grafted else "",
            ", ".join(f"{run.timeline().flip_peak:.2f}" for run in resumed.get(at, ())),
        )
        for at in sorted({*grafted, *resumed})
    )
    return markdown_table(heads, rows)


def _effect(alone: FigureRun, helped: FigureRun) -> str:
    is_sooner = icl_reaches(helped) < icl_reaches(alone)
    return "speeds ICL up" if is_sooner else "does not speed ICL up"


def _icl_time(run: FigureRun) -> str:
    """Return when ICL accuracy exceeds 0.75."""
    return _time_text(icl_reaches(run), run)


def _ciwl_time(run: FigureRun) -> str:
    return _time_text(run.timeline().ciwl_90, run)


def _time_text(sequences: float | None, run: FigureRun) -> str:
    """Return a time in the paper's sequences."""
    if sequences is None or math.isinf(sequences):
        return "never"
    return f"{sequences * run.rate_ratio / 1e6:.1f}M"


def _flip_after_peak(kind: str, last: float) -> Array:
    """Return Flip accuracy with a layer fixed, from Flip's peak in the run itself on."""
    table = kept_tables("coopetition/main", kind)[0]
    own = table.select(evaluator="flip", measure="accuracy", what="in_context_accuracy")
    x, y = own.column("sequences"), own.column()
    return y[(x >= (table.run.timeline().flip_peak_at or 0.0)) & (x <= last)]
