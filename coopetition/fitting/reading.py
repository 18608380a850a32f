"""Read the curves of a log: which columns they are, in which unit, and which part of them.

Only the columns of the curves are parsed, and only in the requested part.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.events import find_emergence
from coopetition.fitting.curves import FITTED_CURVES, METRICS, Curves
from coopetition.fitting.logs import (
    Column,
    Columns,
    Source,
    Table,
    label,
    list_names,
    parse_number,
    read_log,
    shorten,
)
from coopetition.tools.checks import check_bound, check_number
from coopetition.tools.errors import UsageError, check_type

Array = NDArray[np.float64]
Duplicates = Literal["error", "last", "mean"]

LEAD = 0.9  # of the time of emergence, where fits of losses start: no theory knows that phase
SEQUENCES = "sequences"
STEPS = {"step", "global_step", "trainer_global_step", "train_global_step", "iteration", "iter"}
FLIP = "flip/in_context_accuracy"  # from which emergence is known
METRIC_WORDS = {"loss": {"loss", "nll"}, "accuracy": {"accuracy", "acc"}}
RATE_WORDS = ({"learning", "rate"}, {"lr"})
THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")
DOTTED = re.compile(r"0|[1-9]\d{0,2}(\.\d{3})*")  # whole numbers, if points separate thousands
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
OVER_ALL_LABELS = ("loss", "accuracy")  # metrics that the early phase affects
MAX_RATE_CHANGE = 1e-3  # relative: less is rounding


def read_curves(
    path: Path | str,
    metric: str = "loss",
    *,
    columns: Mapping[str, str] | None = None,
    x: str | None = None,
    batch_size: float | None = None,
    first: float | None = None,
    last: float = math.inf,
    duplicates: Duplicates = "error",
) -> Curves:
    """Return the curves of one metric from a run folder, or from a log of another tool.

    docs/fit_your_own_log.md has an example of each format.  Columns that are named as in our own
    files, `icl` or `icl/loss`, need no `columns`.  Other names are guessed if there is one reading.
    What was guessed or left out is in `notes`; reasons to doubt a fit are in `cautions`.  Messages
    name the flags of the commands: `--from` is `first`, `--until` is `last`, and the others have
    the same names here.

    Parameters
    ----------
    columns : name of each curve -> its column, as {"icl": "eval/icl_loss"}
    x : column of sequences or steps (default: `sequences`, or the only column of steps)
    batch_size : sequences per unit of `x`; needed unless `x` is the column `sequences`
    first, last : part to read, in sequences.  `first=None` leaves out the early phase, which no
        theory describes: losses over all labels start at nine tenths of the time of emergence, if
        the log has the in-context accuracy of Flip; otherwise there is a caution.  `first=0` reads
        everything.
    duplicates : what to do with steps that repeat or fall: raise an `error`, keep the `last` (a
        later row replaces the rows of this and of later steps), or take the `mean` of a step's rows

    Raises
    ------
    UsageError : a file or a value that cannot be used
    """
    selection = select_curves(path, metric, columns=columns, x=x, batch_size=batch_size)
    return selection.curves(first, last, duplicates)


@dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """The columns of a log that are its curves, and the column that they are measured against.

    columns : all columns of the log
    chosen : curve -> column
    required : curves whose cells must be numbers; others are left out if theirs are not
    notes : what was guessed
    """

    path: Path
    metric: str
    columns: Columns
    chosen: dict[str, str]
    required: tuple[str, ...]
    x: str
    batch_size: float
    notes: tuple[str, ...]
    _placed: dict[int, Array] = field(default_factory=dict)  # rows of each table, in sequences

    def curves(
        self,
        first: float | None = None,
        last: float = math.inf,
        duplicates: Duplicates = "error",
    ) -> Curves:
        """Return the curves from `first` to `last` sequences; see `read_curves`."""
        if duplicates not in get_args(Duplicates):
            raise UsageError(f"duplicates={duplicates!r:.80}; choose error, last or mean")
        first, last = first and check_bound("first", first), check_bound("last", last)
        start, notes, cautions = (first, [], []) if first is not None else self._find_start(last)
        series: dict[str, tuple[Array, Array]] = {}
        for name in self.chosen:
            try:
                samples = self._samples(name, start, last, may_fall=duplicates != "error")
            except UsageError:
                if name in self.required:
                    raise
                continue
            series[name] = _merge(*samples, duplicates)
            if n := len(samples[0]) - len(series[name][0]):
                how = "replaced by later ones" if duplicates == "last" else "averaged with others"
                notes.append(
                    f"--duplicates {duplicates}: {n} of {len(samples[0])} samples of "
                    f"{shorten(name)} were {how}"
                )
        if not series:
            raise _nothing_found(self.path, self.columns, self.metric)
        unusable = [name for name in self.chosen if name not in series]
        sequences, values = _join(series)
        if len(sequences) < 2:
            where = f" from {start:g} until {last:g} sequences" if start or last < math.inf else ""
            raise self._refuse(
                f"has {len(sequences)} samples of {list_names(self.chosen)}{where}; expected two "
                "or more: choose others for --from and --until, or another file"
            )
        cautions += [*self._describe_names(), *self._describe_rate(start, last)]
        if unusable:
            notes.append(f"left out, without usable numbers or steps: {list_names(unusable)}")
        return Curves(
            sequences,
            values,
            f"{shorten(self.path.name, 120)}, {self.metric}",
            self.metric,
            notes=(*self.notes, *notes),
            cautions=tuple(cautions),
        )

    def check_fitted(self) -> None:
        """Raise `UsageError` unless some of the curves are those that theories describe."""
        if {*FITTED_CURVES}.isdisjoint(self.chosen):
            raise self._refuse(
                f"has the curves {list_names(self.chosen)}; say which columns are "
                f"{', '.join(FITTED_CURVES)} with --columns icl=NAME, or choose another --metric"
            )

    def end(self) -> float:
        """Return the last sample of the curves, in sequences."""
        columns = [self.columns[name] for name in self.chosen.values()]
        at = np.concatenate([self._at(each) for each in columns])
        values = np.concatenate([*map(_parse_leniently, columns)])
        return float(at[np.isfinite(at) & np.isfinite(values)].max())

    def _at(self, column: Column) -> Array:
        """Return the sequences of a column's rows; NaN where the cell is missing."""
        table = column.table
        if self.x not in table.cells:
            raise self._refuse(f"has no column {shorten(self.x)} beside {shorten(column.name)}")
        if id(table) not in self._placed:
            self._check_thousands(table)
            at = _parse_leniently(Column(table, self.x))  # a curve's own rows are checked
            self._placed[id(table)] = self.batch_size * at
        return self._placed[id(table)]

    def _check_thousands(self, table: Table) -> None:
        """Raise `UsageError` if a comma or a point may separate thousands or decimals."""
        cells = [cell.strip() if isinstance(cell, str) else "" for cell in table.cells[self.x]]
        wrong = {cell for cell in cells if THOUSANDS.fullmatch(cell)}
        if dotted := {cell for cell in cells if "." in cell and DOTTED.fullmatch(cell)}:
            others = (c for name in table.cells if name != self.x for c in table.cells[name])
            if all(DOTTED.fullmatch(cell) for cell in cells if cell[:1].isdigit()) or any(
                isinstance(c, str) and DECIMAL_COMMA.fullmatch(c.strip()) for c in others
            ):
                wrong |= dotted
        for cell, line in zip(cells, table.lines, strict=True):
            if cell in wrong:
                raise self._refuse(
                    f": line {line} of column {shorten(self.x)} has {cell!r:.40}, which has two "
                    "readings; write steps as whole numbers without separators"
                )

    def _parse(self, cells: Iterable[object], lines: Iterable[int], name: str) -> Array:
        values = []
        for cell, line in zip(cells, lines, strict=True):
            try:
                values.append(parse_number(cell))
            except ValueError as error:
                raise self._refuse(
                    f": line {line} of column {shorten(name)} has {cell!r:.40}, which is not a "
                    "number; correct it or choose a part without it (--from, --until)"
                ) from error
        return np.array(values, float)

    def _samples(
        self, name: str, first: float, last: float, *, may_fall: bool
    ) -> tuple[Array, Array]:
        """Return the samples of a curve in a part: sequences and values, in the order of rows."""
        column = self.columns[self.chosen[name]]
        at, cells, lines = self._at(column), column.cells, np.asarray(column.table.lines)
        outside = ((first > 0) & (at < first)) | (at > last)  # not the rows without a number
        rows = np.flatnonzero(~outside)
        values = self._parse([cells[k] for k in rows], lines[rows], self.chosen[name])
        known = ~np.isnan(values)
        rows = rows[known]
        at, values, lines = at[rows], values[known], lines[rows]
        x_cells = column.table.cells[self.x]
        for wrong, problem in (
            (~np.isfinite(at), f"no number in column {shorten(self.x)}, but one of"),
            (at < 0, f"a negative number in column {shorten(self.x)} for"),
            (np.isinf(values), "an infinite value of"),
        ):
            if wrong.any():
                k = int(wrong.argmax())
                raise self._refuse(
                    f": line {lines[k]} has {problem} {shorten(self.chosen[name])} "
                    f"({shorten(self.x)} is {x_cells[rows[k]]!r:.40}); correct it or choose a part "
                    "without it (--from, --until)"
                )
        falls = np.diff(at) <= 0
        if falls.any() and not may_fall:
            k = int(falls.argmax())
            raise self._refuse(
                f": {shorten(self.x)} goes from {at[k] / self.batch_size:g} to "
                f"{at[k + 1] / self.batch_size:g} in line {lines[k + 1]}; if the run was resumed, "
                "give --duplicates last; to average the rows of a step, --duplicates mean"
            )
        return at, values

    def _find_start(self, last: float) -> tuple[float, list[str], list[str]]:
        """Return where the part begins that theories describe, with notes and cautions."""
        if self.metric not in OVER_ALL_LABELS:
            return 0.0, [], []
        if FLIP not in self.columns:
            caution = (
                "no theory describes the phase before in-context learning emerges, and "
                f"{label(self.path)} has no {FLIP} to find it; choose --from (Python: first) at "
                "about nine tenths of the time of emergence"
            )
            return 0.0, [], [caution]
        flip = self.columns[FLIP]
        at, values = self._at(flip), _parse_leniently(flip)
        part = np.isfinite(values) & (at <= last)
        emergence = find_emergence(at[part], values[part]) if part.any() else None
        if emergence is None:
            caution = (
                f"in-context learning does not emerge in this part of {label(self.path)}, and no "
                "theory describes the phase before"
            )
            return 0.0, [], [caution]
        start = LEAD * emergence
        note = (
            f"fitted from {start:.4g} sequences, nine tenths of the time of emergence; --from 0 "
            "(Python: first=0) takes all"
        )
        return start, [note], []

    def _describe_names(self) -> list[str]:
        """Return a caution if a fitted column's name is that of another kind of metric."""
        kind = self.metric.rpartition("_")[2]
        for other in {*METRIC_WORDS} - {kind} if kind in METRIC_WORDS else ():
            for curve in FITTED_CURVES:
                words = _words(name := self.chosen.get(curve, ""))
                if words & METRIC_WORDS[other] and not words & METRIC_WORDS[kind]:
                    return [
                        f"column {shorten(name)} is read as {self.metric}, but its name says "
                        f"{other}; choose another --metric or column"
                    ]
        return []

    def _describe_rate(self, first: float, last: float) -> list[str]:
        """Return a caution if the log has a learning rate that changes in this part."""
        found = [each for each in self.columns if any(w <= _words(each) for w in RATE_WORDS)]
        for name in found[:1]:
            column = self.columns[name]
            if self.x not in column.table.cells:
                continue
            at, rates = self._at(column), _parse_leniently(column)
            rates = rates[np.isfinite(rates) & (at >= first) & (at <= last)]
            if len(rates) and np.ptp(rates) > MAX_RATE_CHANGE * np.abs(rates).max():
                return [
                    f"the learning rate changes between {rates.min():.3g} and "
                    f"{rates.max():.3g}, but theories assume a constant one; choose a part in "
                    "which it is constant (--from, --until)"
                ]
        return []

    def _refuse(self, problem: str) -> UsageError:
        return _error(self.path, problem)


def select_curves(
    path: Path | str,
    metric: str = "loss",
    *,
    columns: Mapping[str, str] | None = None,
    x: str | None = None,
    batch_size: float | None = None,
) -> Selection:
    """Return which columns of a log are its curves; see `read_curves`."""
    check_type(path, (str, Path), "the path of a run folder or a log")
    check_type(metric, str, "the name of a metric, as in_context_accuracy")
    path = Path(path)
    source = Source(path)
    log = read_log(source)
    if batch_size is not None:
        batch_size = check_number("batch_size", batch_size, positive=True)
    x, factor, notes = _choose_x(path, log, x, batch_size)
    notes += source.notes
    if columns is not None:
        check_type(columns, Mapping, "columns by the names of curves, as {'icl': 'eval/loss'}")
        chosen = {name: _find(path, log, column) for name, column in columns.items()}
        if len({*chosen.values()}) < len(chosen):
            raise _error(
                path,
                f"has one column for two curves in --columns ({list_names(columns.values())}); "
                "name a column once",
            )
        required = tuple(chosen)
    else:
        chosen = _find_own(log, metric, x)
        guessed = {} if _is_ours(chosen, x) else _guess(path, log, metric, {*chosen})
        if guessed:
            own = chosen if {*FITTED_CURVES}.intersection(chosen) else {}
            chosen = {n: c for n, c in own.items() if c not in guessed.values()} | guessed
            names = " ".join(f"{c}={shorten(chosen[c])}" for c in FITTED_CURVES if c in chosen)
            notes.append(f"guessed the columns: {names} (--columns overrides this)")
        required = tuple(name for name in chosen if name in FITTED_CURVES)
    if not chosen:
        raise _nothing_found(path, log, metric)
    used = {*chosen.values()}
    unread = [name for name, column in log.items() if name not in used and column.name != x]
    if unread and x != SEQUENCES:
        notes.append(f"not read from {label(path)}: {list_names(unread)}")
    return Selection(path, metric, log, chosen, required, x, factor, tuple(notes))


def _merge(at: Array, values: Array, duplicates: Duplicates) -> tuple[Array, Array]:
    """Return samples at rising places; see `read_curves`."""
    if duplicates == "mean":
        at, place = np.unique(at, return_inverse=True)
        return at, np.bincount(place, values) / np.bincount(place)
    lowest = np.minimum.accumulate(at[::-1])[::-1]  # from each row on
    kept = np.append(at[:-1] < lowest[1:], True)[: len(at)]
    return at[kept], values[kept]


def _join(series: Mapping[str, tuple[Array, Array]]) -> tuple[Array, dict[str, Array]]:
    """Return the sequences at which any curve was measured, and the curves there."""
    sequences = np.unique(np.concatenate([at for at, _ in series.values()]))
    values = {name: np.full(len(sequences), np.nan) for name in series}
    for name, (at, measured) in series.items():
        values[name][np.searchsorted(sequences, at)] = measured
    return sequences, values


def _error(path: Path, problem: str) -> UsageError:
    return UsageError(f"{label(path)}{'' if problem.startswith(':') else ' '}{problem}")


def _words(name: str) -> set[str]:
    """Return the words in a column's name; a run's name before it does not count."""
    words = (word.lower() for word in WORDS.findall(_without_run(name)))
    return {"train" if word == "training" else word for word in words}


def _without_run(name: str) -> str:
    """Return a column's name without wandb's `<run> - `."""
    return name.rpartition(" - ")[2]


def _choose_x(
    path: Path, log: Columns, given: str | None, batch_size: float | None
) -> tuple[str, float, list[str]]:
    """Return the column of sequences or steps, sequences per unit of it, and what was guessed."""
    names = dict.fromkeys(name for column in log.values() for name in column.table.cells)
    if given is not None:
        name = _match(names, given)
        if name is None:
            raise _error(path, f"has no column {given!r:.60}; it has {list_names(names)}")
    elif SEQUENCES in map(str.lower, names) and batch_size is None:
        name = next(each for each in names if each.lower() == SEQUENCES)
    else:
        steps = [each for each in names if re.sub(r"\W+", "_", each.lower()).strip("_") in STEPS]
        if len(steps) != 1:
            raise _error(
                path,
                f"has {'several columns' if steps else 'no column'} of steps (columns "
                f"{list_names(steps or names)}); "
                f"{'choose one' if steps else 'name the column that counts steps'} with --x, and "
                "give the sequences per step with --batch-size",
            )
        (name,) = steps
    if name.lower() == SEQUENCES and batch_size is None:
        return name, 1.0, []
    if batch_size is None:
        raise _error(
            path,
            f"is measured against {shorten(name)}; give the sequences per unit of it with "
            "--batch-size (1 if it counts sequences)",
        )
    return name, batch_size, [f"sequences are {name} times {batch_size:g}"]


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
        raise _error(path, f"has no single column {given!r:.60}; there are {list_names(similar)}")
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
    for curve in FITTED_CURVES:
        if curve in known:
            continue
        found = [
            name
            for name in log
            if (words := _words(name)) & {*FITTED_CURVES} == {curve}
            and ({"in", "context"} <= words) == in_context
            and (words & wanted or (words == {curve} and metric == "loss"))
        ]
        if len(found) > 1:
            of_run = path / found[0].partition("/")[0]
            raise _error(
                path,
                f"has several columns for the {metric} of {curve}: {list_names(found)}; "
                "name every curve that you want: --columns train=... icl=... ciwl=..."
                + (f", or give the folder of one run, {label(of_run)}" if of_run.is_dir() else ""),
            )
        if found:
            guessed[curve] = found[0]
    return guessed


def _nothing_found(path: Path, log: Columns, metric: str) -> UsageError:
    metrics = dict.fromkeys(name.split("/")[-1] for name in log if "/" in name)
    there = f", but {list_names(metrics)}" if metrics else f" (columns {list_names(log)})"
    choice = "" if metrics or metric in METRICS else f" ({', '.join(METRICS)})"
    return _error(
        path,
        f"holds no curves of {shorten(metric, 40)}{there}; say which columns they are with "
        f"--columns icl=NAME, or choose another --metric{choice}",
    )


def _parse_leniently(column: Column) -> Array:
    """Return the numbers of a column that is not fitted; NaN for other texts."""
    values = np.full(len(column.cells), np.nan)
    for k, cell in enumerate(column.cells):
        try:
            values[k] = parse_number(cell)
        except ValueError:
            continue
    return values
