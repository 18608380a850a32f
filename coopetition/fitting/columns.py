"""Choose the columns of a log: its curves, and what they are measured against.

Columns are given by name, or have the names of our own files, or are guessed from the words in
their names, if there is one reading.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from coopetition.fitting.curves import FITTED_CURVES, FLIP, METRICS
from coopetition.fitting.logs import Columns, label, list_names, shorten
from coopetition.tools.errors import UsageError, check_type

GUESSED = (*FITTED_CURVES, FLIP)  # curves whose columns are found by their names
SEQUENCES = "sequences"
STEPS = {"step", "global_step", "trainer_global_step", "train_global_step", "iteration", "iter"}
METRIC_WORDS = {"loss": {"loss", "nll"}, "accuracy": {"accuracy", "acc"}}
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def column_error(path: Path, problem: str) -> UsageError:
    """Return the error for a log whose columns or cells have a problem."""
    return UsageError(f"{label(path)}{'' if problem.startswith(':') else ' '}{problem}")


def words_of(name: str) -> set[str]:
    """Return the words in a column's name; a run's name before it does not count."""
    words = (word.lower() for word in WORDS.findall(_without_run(name)))
    return {"train" if word == "training" else word for word in words}


def _without_run(name: str) -> str:
    """Return a column's name without wandb's `<run> - `."""
    return name.rpartition(" - ")[2]


def choose_x(
    path: Path, log: Columns, given: str | None, batch_size: float | None
) -> tuple[str, float, list[str]]:
    """Return the column of sequences or steps, sequences per unit of it, and what was guessed."""
    names = dict.fromkeys(name for column in log.values() for name in column.table.cells)
    steps = [each for each in names if re.sub(r"\W+", "_", each.lower()).strip("_") in STEPS]
    counted = [each for each in names if each.lower() == SEQUENCES]
    if given is not None:
        name = _match(names, given)
        if name is None:
            raise column_error(path, f"has no column {given!r:.60}; it has {list_names(names)}")
    elif counted and (batch_size is None or not steps):
        name = counted[0]
    elif len(steps) == 1:
        name = steps[0]
    else:
        raise column_error(
            path,
            f"has {'several columns' if steps else 'no column'} of steps (columns "
            f"{list_names(steps or names)}); "
            f"{'choose one' if steps else 'name one'} with --x, and the sequences per step with "
            "--batch-size",
        )
    if name.lower() == SEQUENCES:
        if batch_size not in (None, 1):
            raise column_error(path, "counts sequences already; leave out --batch-size")
        return name, 1.0, []
    if batch_size is None:
        raise column_error(
            path,
            f"is measured against {shorten(name)}; give the sequences per unit of it with "
            "--batch-size (1 if it counts sequences)",
        )
    return name, batch_size, [f"sequences are {name} times {batch_size:g}"]


def find_columns(path: Path, log: Columns, columns: Mapping[str, str]) -> dict[str, str]:
    """Return curve -> column of the log, for given names; see `_match`."""
    check_type(columns, Mapping, "columns by the names of curves, as {'icl': 'eval/loss'}")
    for name in {*columns} - {*GUESSED}:
        if similar := get_close_matches(str(name).lower(), GUESSED, 1, cutoff=0.7):
            raise column_error(
                path, f"has no curve {name!r:.60} that is fitted; did you mean {similar[0]}?"
            )
    chosen = {name: _find(path, log, column) for name, column in columns.items()}
    if len({*chosen.values()}) < len(chosen):
        raise column_error(
            path,
            f"has one column for two curves in --columns ({list_names(columns.values())}); "
            "name a column once",
        )
    return chosen


def guess_columns(
    path: Path, log: Columns, metric: str, x: str
) -> tuple[dict[str, str], list[str]]:
    """Return curve -> column of a metric by their names, and a note if this is a guess."""
    chosen = _find_own(log, metric, x)
    guessed = {} if _is_ours(chosen, x) else _guess(path, log, metric, {*chosen})
    if not guessed:
        return chosen, []
    own = chosen if {*GUESSED}.intersection(chosen) else {}
    chosen = {n: c for n, c in own.items() if c not in guessed.values()} | guessed
    names = " ".join(f"{c}={shorten(chosen[c])}" for c in GUESSED if c in chosen)
    return chosen, [f"guessed the columns: {names} (--columns overrides this)"]


def _match(names: Iterable[str], given: str) -> str | None:
    """Return the column that a name means: itself, or the only one that ends in it; else None."""
    names = [*names]
    if given in names:
        return given
    ends = [each for each in names if each.endswith((f" - {given}", f"/{given}"))]
    return ends[0] if len(ends) == 1 else None


def _find(path: Path, log: Columns, given: str) -> str:
    """Return the column of the log that a name means; `UsageError` if there is not one."""
    check_type(given, str, "the name of a column")
    name = _match(log, given)
    if name is None:
        similar = get_close_matches(given, log, 3, cutoff=0.5) or [*log]
        raise column_error(
            path, f"has no single column {given!r:.60}; there are {list_names(similar)}"
        )
    return name


def _find_own(log: Columns, metric: str, x: str) -> dict[str, str]:
    """Return curve -> column of the names in our own files: `icl/loss`, or `icl` for a loss.

    If any name is of the first kind, only columns of the metric are curves.  A column of no
    evaluator (`batch_loss`) is a curve of its own name.
    """
    names = {_without_run(name): name for name in log if name != x}
    if len(names) < len([name for name in log if name != x]):  # of several runs
        return {}
    if metric == "loss" and not any("/" in name for name in names):
        return names
    return {
        name.removesuffix(f"/{metric}"): column
        for name, column in names.items()
        if name.split("/")[-1] == metric
    }


def _is_ours(chosen: Mapping[str, str], x: str) -> bool:
    """Return whether the names are those of our files, so that nothing is to be guessed."""
    of_metric = any("/" in column for column in chosen.values())
    return x == SEQUENCES and (of_metric or not {*FITTED_CURVES}.isdisjoint(chosen))


def _guess(path: Path, log: Columns, metric: str, known: set[str]) -> dict[str, str]:
    """Return curve -> column for the fitted curves that are not known, from words in names."""
    in_context, kind = metric.startswith("in_context"), metric.rpartition("_")[2]
    if metric not in METRICS:
        return {}
    wanted = METRIC_WORDS[kind]
    guessed = {}
    for curve in GUESSED:
        if curve in known:
            continue
        found = [
            name
            for name in log
            if (words := words_of(name)) & {*GUESSED} == {curve}
            and ({"in", "context"} <= words) == in_context
            and (words & wanted or (words == {curve} and metric == "loss"))
        ]
        if len(found) > 1:
            of_run = path / found[0].partition("/")[0]
            raise column_error(
                path,
                f"has several columns for the {metric} of {curve}: {list_names(found)}; "
                "name every curve that you want: --columns train=... icl=... ciwl=..."
                + (f", or give the folder of one run, {label(of_run)}" if of_run.is_dir() else ""),
            )
        if found:
            guessed[curve] = found[0]
    return guessed


def nothing_found(path: Path, log: Columns, metric: str) -> UsageError:
    """Return the error for a log without curves of a metric."""
    metrics = dict.fromkeys(name.split("/")[-1] for name in log if "/" in name)
    there = f", but {list_names(metrics)}" if metrics else f" (columns {list_names(log)})"
    choice = "" if metrics or metric in METRICS else f" ({', '.join(METRICS)})"
    return column_error(
        path,
        f"holds no curves of {shorten(metric, 40)}{there}; say which columns they are with "
        f"--columns icl=NAME, or choose another --metric{choice}",
    )
