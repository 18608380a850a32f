"""Read the curves of a log: which columns they are, in which unit, and which part of them.

Only the columns of the curves are parsed, and only in the requested part.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.events import find_emergence
from coopetition.fitting.columns import (
    METRIC_WORDS,
    SEQUENCES,
    choose_x,
    column_error,
    find_columns,
    guess_columns,
    nothing_found,
    words_of,
)
from coopetition.fitting.curves import FITTED_CURVES, FLIP, Curves
from coopetition.fitting.logs import (
    MISSING,
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
FLIP_COLUMN = f"{FLIP}/in_context_accuracy"  # from which emergence is known
RATE_WORDS = ({"learning", "rate"}, {"lr"})
THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")
DOTTED = re.compile(r"0|[1-9]\d{0,2}(\.\d{3})*")  # whole numbers, if points separate thousands
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
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
            raise nothing_found(self.path, self.columns, self.metric)
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

    def _check_commas(self, column: Column) -> None:
        """Raise `UsageError` if the commas of a curve may separate thousands.

        That is, if its other cells are whole numbers: decimals would have commas too.
        """
        cells = [str(cell).strip() for cell in column.cells]
        known = [cell for cell in cells if cell.lower() not in MISSING]
        wrong = [k for k, cell in enumerate(cells) if THOUSANDS.fullmatch(cell)]
        n_whole = sum(cell.isdecimal() for cell in known)
        if wrong and n_whole and len(wrong) + n_whole == len(known):
            raise self._refuse(
                f": line {column.table.lines[wrong[0]]} of column {shorten(column.name)} has "
                f"{cells[wrong[0]]!r:.40}, which has two readings; write decimals with a point, "
                "and thousands without separators"
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
        self._check_commas(column)
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
        if FLIP_COLUMN not in self.columns:
            caution = (
                "no theory describes the phase before in-context learning emerges, and "
                f"{label(self.path)} has no {FLIP_COLUMN} to find it; choose --from (Python: "
                "first) at about nine tenths of the time of emergence"
            )
            return 0.0, [], [caution]
        flip = self.columns[FLIP_COLUMN]
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
                words = words_of(name := self.chosen.get(curve, ""))
                if words & METRIC_WORDS[other] and not words & METRIC_WORDS[kind]:
                    return [
                        f"column {shorten(name)} is read as {self.metric}, but its name says "
                        f"{other}; choose another --metric or column"
                    ]
        return []

    def _describe_rate(self, first: float, last: float) -> list[str]:
        """Return a caution if the log has a learning rate that changes in this part."""
        found = [each for each in self.columns if any(w <= words_of(each) for w in RATE_WORDS)]
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
        return column_error(self.path, problem)


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
    source = Source(Path(path))
    log = read_log(source)
    if batch_size is not None:
        batch_size = check_number("batch_size", batch_size, positive=True)
    x, factor, notes = choose_x(source.path, log, x, batch_size)
    notes += source.notes
    if columns is not None:
        chosen = find_columns(source.path, log, columns)
        required = tuple(chosen)
    else:
        chosen, guess = guess_columns(source.path, log, metric, x)
        notes += guess
        required = tuple(name for name in chosen if name in FITTED_CURVES)
    if not chosen:
        raise nothing_found(source.path, log, metric)
    used = {*chosen.values()}
    unread = [name for name, column in log.items() if name not in used and column.name != x]
    if unread and x != SEQUENCES:
        notes.append(f"not read from {label(source.path)}: {list_names(unread)}")
    return Selection(source.path, metric, log, chosen, required, x, factor, tuple(notes))


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


def _parse_leniently(column: Column) -> Array:
    """Return the numbers of a column that is not fitted; NaN for other texts."""
    values = np.full(len(column.cells), np.nan)
    for k, cell in enumerate(column.cells):
        try:
            values[k] = parse_number(cell)
        except ValueError:
            continue
    return values
