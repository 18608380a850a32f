"""Check, read and write files, so that a reader never sees half of one; and tables as text."""

import csv
import errno
import html
import io
import json
import math
import os
import re
import tempfile
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError, UserError

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_PARALLEL_WRITES = 32
NO_SPACE = {  # why a file cannot be written and what to do, by the system's error number
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "files may not be that large: raise the limit (`ulimit -f`)",
}
REPORT_WIDTH = 100  # columns of a report
MIN_WRAPPED = 30  # columns into which a column of text can be wrapped
GAP = "  "
NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+][0-9]+)?|-|nan|-?inf")
# what numpy raises if a file is not an `.npz` with the expected arrays
ARCHIVE_ERRORS = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


def check_writable(path: Path | None) -> None:
    """Raise `UsageError` if a file cannot be written, so that a command fails before its work.

    Folders on the way that do not exist are made when the file is written.
    """
    if path is None:
        return
    folder = _nearest_folder(path)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {folder} takes no new file ({error.strerror}); choose "
            "another place"
        ) from error


def check_ending(path: Path | None, ending: str) -> None:
    """Raise `UsageError` unless the name of a file to be written ends as its format requires."""
    if path is not None and path.suffix.lower() != ending:
        raise UsageError(f"{path} does not end in {ending}, the format of this file; rename it")


def _nearest_folder(path: Path) -> Path:
    """Return the nearest existing folder on the way to a file; `UsageError` if there is none."""
    if not path.name or (os.path.lexists(path) and not path.is_file()):
        raise UsageError(f"{str(path)!r} is not the name of a file that can be written")
    folder = next(each for each in path.absolute().parents if os.path.lexists(each))
    if not folder.is_dir():
        raise UsageError(f"{path} cannot be written: {folder} is not a folder")
    return folder


def check_readable(path: Path, advice: str) -> None:
    """Raise `UsageError`, with what is wrong and the advice, unless a path is that of a file."""
    if path.is_file():
        return
    if path.is_dir():
        problem = "is a folder"
    elif path.exists():
        problem = "is not a regular file but a pipe or a device"
    elif path.is_symlink():
        problem = "is a link that leads to no file"
    else:
        problem = "does not exist"
    raise UsageError(f"{path} {problem}; {advice}")


def check_archive(path: Path, expected: str) -> None:
    """Raise `UsageError` unless a path is that of an `.npz` archive; `expected` names its kind."""
    check_readable(path, f"give {expected}")
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is not {expected}: it is not an .npz archive")


def write_bytes(path: Path, content: bytes) -> None:
    """Write by temporary file and rename: `path` holds the old content or all of the new.

    On failure (a full disk, say) the temporary file is removed and the error is raised.
    """
    write_all({path: content})


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write files as `write_bytes` does, and rename them in this order.

    All are flushed to disk at once, which takes hardly longer than flushing one.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}

    def write(path: Path) -> None:
        _nearest_folder(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _name_in_errors(path), open(temporary[path], "wb") as file:
            file.write(contents[path])
            file.flush()
            os.fsync(file.fileno())

    try:
        for_all(write, contents)
        for path in contents:
            with _name_in_errors(path):
                os.replace(temporary[path], path)
    finally:
        for each in temporary.values():
            each.unlink(missing_ok=True)


def for_all(write: Callable[[Path], None], paths: Iterable[Path]) -> None:
    """Call a function that waits for the disk for all paths at once."""
    paths = list(paths)
    if len(paths) < 2:
        for path in paths:
            write(path)
        return
    with ThreadPoolExecutor(min(MAX_PARALLEL_WRITES, len(paths))) as pool:
        list(pool.map(write, paths))


@contextmanager
def _name_in_errors(path: Path) -> Iterator[None]:
    """Make errors name a path, not its temporary file."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def remove_stale_temporaries(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote."""
    for path in folder.rglob(".*.tmp"):
        pid = path.suffixes[-2][1:] if len(path.suffixes) > 1 else ""
        if pid.isdecimal() and not _is_alive(int(pid)):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # another user's process, or a number that no process has: not ours to remove
    return True


def write_text(path: Path, content: str) -> None:
    """Write text as `write_bytes` does."""
    write_bytes(path, content.encode())


def to_json(content: Any) -> str:
    """Return JSON text, in which an array is a list, and a number that is not finite is null."""
    return json.dumps(_nulls_for_nonfinite(content), indent=2, allow_nan=False) + "\n"


def _nulls_for_nonfinite(content: Any) -> Any:
    if isinstance(content, np.ndarray):
        content = content.tolist()
    if isinstance(content, dict):
        return {name: _nulls_for_nonfinite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_nulls_for_nonfinite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def write_json(path: Path, content: Any) -> None:
    """Write `to_json` of the content as `write_bytes` does."""
    write_text(path, to_json(content))


def write_npz(path: Path, **arrays: NDArray[Any]) -> None:
    """Write named arrays to a compressed `.npz` as `write_bytes` does."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def to_frame(columns: Mapping[str, Any]) -> "DataFrame":
    """Return columns as a data frame; `UserError` without pandas, an optional dependency."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UserError("data frames need pandas; run `pip install pandas`") from error
    return DataFrame(dict(columns))


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV, with a column for every name in any of them."""
    rows = list(rows)
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def wrap_text(text: str, *, indent: str = "  ") -> str:
    """Return one paragraph in lines of a report's width; all lines but the first are indented."""
    return textwrap.fill(
        text,
        REPORT_WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def text_table(rows: Iterable[Iterable[str]], *, width: int | None = REPORT_WIDTH) -> str:
    """Return rows of text, the first of which is the header, in columns; numbers to the right.

    A table that is wider than `width` continues in further blocks of columns, each of which starts
    with the first column.  The first column takes at most half of the width, and a column of text
    the rest of its block; longer cells are wrapped.
    """
    columns = [*map(list, zip(*rows, strict=True))]
    sizes = [max(map(len, [*column, " "])) for column in columns]
    signs = [">" if all(map(NUMBER.fullmatch, column[1:])) else "<" for column in columns]
    if width is None:
        return _format_block([*zip(columns, signs, sizes, strict=True)])
    sizes[0] = min(sizes[0], width // 2)
    blocks, room = [[0]], width - sizes[0]
    for k, size in enumerate(sizes[1:], 1):
        numbers = columns[k][1:] if signs[k] == ">" else ()
        needed = max([min(size, MIN_WRAPPED), *map(len, numbers)])
        if room < len(GAP) + needed and len(blocks[-1]) > 1:
            blocks.append([0])
            room = width - sizes[0]
        blocks[-1].append(k)
        sizes[k] = min(size, max(room - len(GAP), needed))
        room -= len(GAP) + sizes[k]
    shown = [*zip(columns, signs, sizes, strict=True)]
    return "\n\n".join(_format_block([shown[k] for k in block]) for block in blocks)


def _format_block(columns: Sequence[tuple[list[str], str, int]]) -> str:
    """Return columns side by side, each with its cells, alignment and width; cells are wrapped."""
    lines = []
    for row in zip(*(cells for cells, _, _ in columns), strict=True):
        parts = [textwrap.wrap(cell, n) for cell, (_, _, n) in zip(row, columns, strict=True)]
        for k in range(max(1, max(map(len, parts)))):
            padded = (
                f"{part[k] if k < len(part) else '':{sign}{n}}"
                for part, (_, sign, n) in zip(parts, columns, strict=True)
            )
            lines.append(GAP.join(padded).rstrip())
    return "\n".join(lines)


def markdown_table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Return rows of text as a Markdown table."""
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def html_table(rows: Iterable[Iterable[str]]) -> str:
    """Return rows of text as an HTML table; the first cell of each row is its title."""
    lines = []
    for title, *cells in rows:
        data = "".join(f"<td style='text-align: left'>{html.escape(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th>{html.escape(title)}</th>{data}</tr>")
    return f"<table>{''.join(lines)}</table>"
