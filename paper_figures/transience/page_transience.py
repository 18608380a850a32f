"""The generated table of docs/transience.md: ICL's events in every kept run."""

import contextlib
from collections.abc import Iterable, Sequence

from coopetition.tools.files import markdown_table
from paper_figures.core.runs import FigureRun, NotKeptError, kept_runs, natural_key
from paper_figures.transience.rules import icl_events
from transformer.experiments.presets import PRESETS

PREFIXES = ("transience/", "transience_tokens/")


def events_table() -> str:
    """Return a row per kept preset: how many of its runs rose and faded, and ICL's events."""
    heads = [
        "preset", "runs", "ICL rose", "faded", "onset (k)", "peak", "half-decay (k)", "end",
        "horizon (k)",
    ]  # fmt: skip
    return markdown_table(heads, (_row(name, runs) for name, runs in _kept()))


def _kept() -> list[tuple[str, list[FigureRun]]]:
    """Return the kept runs of each preset at scale cpu; list runs of several presets once."""
    found = []
    for name in sorted(PRESETS, key=natural_key):
        if name.startswith(PREFIXES):
            with contextlib.suppress(NotKeptError):
                runs = kept_runs(name)
                if all(run.provenance["preset"] == name for run in runs):
                    found.append((name, runs))
    return found


def _row(name: str, runs: Sequence[FigureRun]) -> list[str]:
    events = [icl_events(run) for run in runs]
    return [
        f"`{name}`",
        str(len(runs)),
        str(sum(each.fate != "never rose" for each in events)),
        str(sum(each.fate == "faded" for each in events)),
        _times(each.onset for each in events),
        _shares(each.peak for each in events),
        _times(each.half_decay for each in events),
        _shares(each.final for each in events),
        f"{min(each.horizon for each in events) / 1e3:,.0f}",
    ]


def _times(times: Iterable[float | None]) -> str:
    """Return times in thousands of sequences, a dash where an event did not happen."""
    return ", ".join("-" if time is None else f"{time / 1e3:,.0f}" for time in times)


def _shares(shares: Iterable[float]) -> str:
    return ", ".join(f"{share:.2f}" for share in shares)
