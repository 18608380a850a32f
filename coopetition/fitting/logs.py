"""Read the log of any tool as columns of cells, which are not interpreted yet.

A format is a function that returns a file's columns, or None if the file is not of its kind:

    @log_format
    def read_my_tool(source: Source) -> Columns | None:
        '''Read the files of my tool.'''

Formats are asked in turn, the last registered first.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import nan
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError, abbreviate
from coopetition.tools.files import check_readable
from coopetition.tools.run_files import MANIFEST, not_a_run, read_manifest, read_metrics

METRICS = "metrics.jsonl"
MISSING = {"", "-", "--", "n/a", "na", "nan", "none", "null"}  # cells that hold no number
SEPARATORS = "\t;,| "
SUBFOLDER = re.compile(r"(?:checkpoint-|version_)(\d+)")  # of Hugging Face's Trainer, of Lightning
EXCEL_SEPARATOR = re.compile('"?sep=.?"?', re.IGNORECASE)  # as a first line
N_SAMPLED = 50  # lines from which the separator is found
BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
RUN_NAMES = ("run", "run_id", "run_name")  # columns that tell the runs of a table apart
KEY_NAMES = ("evaluator", "metric", "key", "tag", "name", "variable")  # of a long table
TENSORBOARD_CSV = {"Wall time", "Step", "Value"}
EXPECTED = (
    "a run folder, CSV or TSV, JSON lines, a trainer_state.json, or the events or CSV files of "
    "TensorBoard"
)


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Cells by column; `lines` are the lines of the rows in the file."""

    cells: dict[str, list[Any]]
    lines: Sequence[int]


@dataclass(frozen=True, eq=False, repr=False)
class Column:
    """A column of a table: curves of one log can be in tables with steps of their own."""

    table: Table
    name: str

    @property
    def cells(self) -> list[Any]:
        """The cells of the column."""
        return self.table.cells[self.name]


Columns = dict[str, Column]
"""The columns of a file by name."""


class Source:
    """A file or folder that may be a log; what it holds is read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_folder = path.is_dir()
        self.notes: list[str] = []  # what was left out

    @cached_property
    def text(self) -> str:
        """The text of a file; `UsageError` if it is not text."""
        check_readable(self.path, f"give {EXPECTED}")
        content = self.path.read_bytes()
        encoding = next((BOMS[bom] for bom in BOMS if content.startswith(bom)), "utf-8")
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            raise self.refuse(
                "is not a text in UTF-8 or UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)"
            ) from error
        if "\0" in text:
            raise self.refuse("is not a text file")
        return text

    @cached_property
    def rows(self) -> list[tuple[int, Any]] | None:
        """The JSON values of a file, one a line or a single one, with their lines."""
        if self.text.lstrip()[:1] not in ("{", "["):
            return None
        rows: list[tuple[int, Any]] = []
        lines = [(k, x) for k, x in enumerate(self.text.split("\n"), 1) if x.strip()]
        for k, line in lines:
            try:
                rows.append((k, json.loads(line)))
            except (ValueError, RecursionError) as error:
                if not rows:
                    return [(1, self._whole)]
                if k < lines[-1][0]:
                    problem = shorten(getattr(error, "msg", error))
                    raise self.refuse(f"is not JSON in line {k} ({problem})") from error
                self.notes.append(f"left out the last line of {label(self.path)}, which is cut off")
        return rows

    @property
    def _whole(self) -> Any:
        """The single JSON value of a file."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise self.refuse(f"is not JSON ({shorten(error)})") from error

    def refuse(self, problem: str) -> UsageError:
        """Return the error for a file that is not a log."""
        return UsageError(f"{label(self.path)} {problem}; give {EXPECTED}")


Format = Callable[[Source], Columns | None]
FORMATS: list[Format] = []


def log_format(read: Format) -> Format:
    """Register a format: a function that returns the columns of a `Source`, or None.

    The formats that were registered last are tried first; None means that the file is of another
    kind.
    """
    FORMATS.append(read)
    return read


def read_log(source: Source) -> Columns:
    """Return the columns of a log of any format; `UsageError` if no format knows the file."""
    for read in reversed(FORMATS):
        columns = read(source)
        if columns is not None:
            return columns
    named = ((SUBFOLDER.fullmatch(each.name), each) for each in source.path.glob("*"))
    if found := [(int(match[1]), each) for match, each in named if match]:
        raise UsageError(
            f"{label(source.path)} is a folder of logs; give one, for example the newest: "
            f"{label(max(found)[1])}"
        )
    raise not_a_run(source.path, METRICS, f"give {EXPECTED}")


def label(path: Path) -> str:
    """Return a path as messages show it: at most 60 characters."""
    return str(path) if len(str(path)) <= 60 else f"{path.name:.60}"


def shorten(text: object, length: int = 60) -> str:
    """Return a text of a file as messages show it: on one line, and cut."""
    return f"{' '.join(str(text).split()):.{length}}" or "''"


def list_names(names: Iterable[str]) -> str:
    """Return names as messages show them: the first four, each cut to 30 characters."""
    return abbreviate([shorten(name, 30) for name in names], 4) or "none"


def parse_number(cell: Any) -> float:
    """Return the number in a cell, NaN if it is missing, a share if it ends in %.

    Another text raises `ValueError`.
    """
    if cell is None or cell == "":
        return nan
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError) as error:
        if not isinstance(cell, str):
            raise ValueError(cell) from error
    text = cell.strip()
    if text.lower() in MISSING:
        return nan
    number = float(text.removesuffix("%").replace(",", ".", 1))
    return number / 100 if text.endswith("%") else number


@log_format
def read_delimited(source: Source) -> Columns | None:
    """Read text with a line of names and a separator, such as CSV and TSV."""
    if source.is_folder:
        return None
    return _columns_of_table(read_delimited_table(source), source)


def read_delimited_table(source: Source) -> Table:
    """Return the table of a text file; lines that begin with # are comments.

    A first line such as `sep=;`, with which Excel chooses the separator, is one as well.
    """
    lines = ["\n" if line.startswith("#") else line for line in io.StringIO(source.text, None)]
    if lines and EXCEL_SEPARATOR.fullmatch(lines[0].rstrip("\n")):
        lines[0] = "\n"
    separator = _find_separator(lines)
    try:
        rows = [(k, row) for k, row in _split(lines, separator) if "".join(row).strip()]
    except csv.Error as error:
        raise source.refuse(f"is not a CSV file ({shorten(error)})") from error
    if not rows:
        raise source.refuse("is empty")
    (_, header), *rows = rows
    for k, row in rows:
        if len(row) != len(header):
            raise UsageError(
                f"{label(source.path)}: line {k} has {len(row)} cells for {len(header)} columns; "
                "leave unknown cells blank, keep their separators, and quote cells that contain one"
            )
    names = [name.strip() for name in header]
    if repeated := {name for name in names if name and names.count(name) > 1}:
        raise UsageError(
            f"{label(source.path)} has two columns of one name: {list_names(repeated)}; rename one"
        )
    cells = zip(*(row for _, row in rows), strict=True) if rows else [() for _ in names]
    table = {name: [*column] for name, column in zip(names, cells, strict=True) if name}
    return Table(table, [k for k, _ in rows])


def _split(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row and the line in which it ends; runs of spaces are one."""
    if separator == " ":
        yield from enumerate(map(str.split, lines), 1)
    else:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        yield from ((reader.line_num, row) for row in reader)


def _find_separator(lines: list[str]) -> str:
    """Return the separator with which the first rows look most like numbers below names.

    `csv.Sniffer` is not used: it takes letters and decimal commas for separators.
    """
    best, found = (0.0, 1), ","
    sample = [*islice((line for line in lines if line.strip()), N_SAMPLED)]
    for separator in SEPARATORS:
        try:
            rows = [row for _, row in _split(sample, separator) if row]
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 0
        shares = [sum(map(_is_number, row)) / width for row in rows[1:] if len(row) == width]
        score = (sum(shares) / max(len(rows) - 1, 1), width)
        if width > 1 and score > best:
            best, found = score, separator
    return found


def _is_number(cell: str) -> bool:
    try:
        parse_number(cell)
    except ValueError:
        return False
    return True


@log_format
def read_json_rows(source: Source) -> Columns | None:
    """Read JSON lines, or a JSON list: an object for each row, of which some may be nested."""
    if source.is_folder or source.rows is None:
        return None
    rows = source.rows
    if len(rows) == 1 and isinstance(rows[0][1], list):
        rows = [*enumerate(rows[0][1], 1)]
    return _columns_of_table(_table_of_objects(rows, source), source)


@log_format
def read_trainer_state(source: Source) -> Columns | None:
    """Read the `trainer_state.json` of Hugging Face's Trainer: `loss` is that of training."""
    if source.is_folder:
        state = Source(source.path / "trainer_state.json")
        return read_trainer_state(state) if state.path.is_file() else None
    if source.rows is None or len(source.rows) != 1:
        return None
    (_, state), *_ = source.rows
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list):
        return None
    rows = [
        {"train/loss" if name == "loss" else name: value for name, value in row.items()}
        for row in history
        if isinstance(row, dict) and "train_runtime" not in row  # the last has means of the run
    ]
    return _columns_of_table(_table_of_objects([*enumerate(rows, 1)], source), source)


def _table_of_objects(rows: list[tuple[int, Any]], source: Source) -> Table:
    """Return the table of JSON objects; what an object lacks is missing."""
    if not all(isinstance(row, dict) for _, row in rows):
        raise source.refuse("is JSON, but some rows are not objects")
    flat = [dict(_flatten(row)) for _, row in rows]
    names = dict.fromkeys(name for row in flat for name in row)
    return Table({n: [row.get(n) for row in flat] for n in names}, [k for k, _ in rows])


def _flatten(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def _columns_of_table(table: Table, source: Source) -> Columns:
    """Return the columns of a table, which may be long, or hold several runs."""
    cells = table.cells
    if {*cells} == TENSORBOARD_CSV:
        return {_tag_of_file(source.path): Column(table, "Value")}
    if any(name.endswith("__MIN") for name in cells):  # wandb: the range of a smoothed curve
        kept = {n: x for n, x in cells.items() if not n.endswith(("__MIN", "__MAX"))}
        table = Table(kept, table.lines)
    runs = [name for name in RUN_NAMES if len({*map(str, cells.get(name, ()))}) > 1][:1]
    keys = [name for name in KEY_NAMES if name in cells] if "value" in cells else []
    if not keys:
        return {
            f"{run}{name}": Column(part, name)
            for run, part in _parts(table, runs, " - ")
            for name in part.cells
        }
    return {
        f"{run}{key}": Column(part, "value")
        for run, of_run in _parts(table, runs, " - ")
        for key, part in _parts(of_run, keys, "")
    }


def _parts(table: Table, names: list[str], end: str) -> Iterator[tuple[str, Table]]:
    """Yield the rows that agree in some columns, and what these hold; the table if none is named.

    The values are joined by slashes, with `end` behind.
    """
    if not names:
        yield "", table
        return
    rows: dict[tuple[str, ...], list[int]] = {}
    for k, key in enumerate(zip(*(map(str, table.cells[n]) for n in names), strict=True)):
        rows.setdefault(key, []).append(k)
    for key, own in rows.items():
        cells = {name: [column[k] for k in own] for name, column in table.cells.items()}
        yield "/".join(key) + end, Table(cells, [table.lines[k] for k in own])


def _tag_of_file(path: Path) -> str:
    """Return the tag in the name of a file that TensorBoard's page wrote: `run-RUN-tag-TAG`."""
    return re.sub(r"^.*?tag-", "", path.stem)


@log_format
def read_tensorboard_csvs(source: Source) -> Columns | None:
    """Read a folder of CSV files from TensorBoard's page, one for each curve."""
    if not source.is_folder:
        return None
    columns: Columns = {}
    for each in map(Source, sorted(source.path.glob("*.csv"))):
        if {*each.text.partition("\n")[0].strip().split(",")} == TENSORBOARD_CSV:
            tag = _tag_of_file(each.path)
            name = each.path.stem if tag in columns else tag
            columns[name] = Column(read_delimited_table(each), "Value")
    return columns or None


@log_format
def read_lightning(source: Source) -> Columns | None:
    """Read a folder with the `metrics.csv` of Lightning's CSVLogger."""
    file = source.path / "metrics.csv"
    return read_delimited(Source(file)) if source.is_folder and file.is_file() else None


@log_format
def read_tensorboard_events(source: Source) -> Columns | None:
    """Read an event file of TensorBoard's, or a folder with some in it or below it."""
    if source.is_folder:
        found = (source.path.glob(f"{depth}*tfevents*") for depth in ("", "*/", "*/*/"))
        files = [each for paths in found for each in sorted(paths) if each.is_file()]
    else:
        files = [source.path] if "tfevents" in source.path.name else []
    columns: Columns = {}
    root = source.path if source.is_folder else source.path.parent
    for folder in dict.fromkeys(each.parent for each in files):
        parts = folder.relative_to(root).parts
        own = [each for each in files if each.parent == folder]
        for tag, table in _scalars(own).items():
            columns["/".join((*parts, tag))] = Column(table, tag)
    if files and not columns:
        raise source.refuse("holds no TensorBoard scalars")
    return columns or None


def _scalars(files: Sequence[Path]) -> dict[str, Table]:
    """Return the scalars of event files by tag; `sequences`, if it is one, counts for all."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ModuleNotFoundError as error:
        raise UserError("TensorBoard is not installed; run `pip install tensorboard`") from error
    found: dict[str, list[tuple[int, float]]] = {}
    for path in files:
        check_readable(path, f"give {EXPECTED}")
        try:
            for event in EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    if value.HasField("tensor") and not value.tensor.tensor_shape.dim:
                        scalar = make_ndarray(value.tensor)
                        if scalar.dtype.kind in "biuf":  # not a text
                            found.setdefault(value.tag, []).append((event.step, float(scalar)))
        except Exception as error:  # protobuf and TensorBoard have no common class of errors
            raise UsageError(
                f"{label(path)} is not a TensorBoard event file ({shorten(error)}); restore it"
            ) from error
    sequences = dict(found.get("sequences", ()))
    tables = {}
    for tag, pairs in found.items():
        steps, values = map(list, zip(*pairs, strict=True))
        cells = {"step": steps, tag: values}
        if sequences:
            cells["sequences"] = [sequences.get(step) for step in steps]
        tables[tag] = Table(cells, range(1, len(steps) + 1))
    return tables


@log_format
def read_run(source: Source) -> Columns | None:
    """Read a run folder of the trainer."""
    path = source.path / METRICS
    if not source.is_folder or not (path.exists() or (source.path / MANIFEST).exists()):
        return None
    if not path.exists():
        raise not_a_run(source.path, METRICS)
    read_manifest(source.path)  # refuses formats of other versions
    rows = read_metrics(path)
    if not rows:
        raise UsageError(f"{path} holds no measurements; train the run first, or restore it")
    return _columns_of_table(_table_of_objects([*enumerate(rows, 1)], source), source)
