"""Writing files so that a reader never sees half of one.

Results as tables: CSV, a data frame, or a few rows of HTML for a notebook.
"""

import csv
import html
import io
import json
import math
import os
import tempfile
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


AT_ONCE = 32  # files that wait for the disk
# what numpy raises on a file that is no sound `.npz` of the arrays that are looked for
ARCHIVE_ERRORS = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


def check_writable(path: Path | None) -> None:
    """Raise `UsageError` if a file of this name cannot be written; before the work, not after.

    Tries it, by a temporary file that leaves nothing behind.  Folders on the way that do not exist
    are made when the file is written.
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
    """Raise `UsageError` if a file that is to be written does not end as its format does."""
    if path is not None and path.suffix.lower() != ending:
        raise UsageError(f"{path} would hold another format than its name says; end it in {ending}")


def _nearest_folder(path: Path) -> Path:
    """The nearest folder on the way to a file that is there; `UsageError` if there can be none."""
    if not path.name or (os.path.lexists(path) and not path.is_file()):
        raise UsageError(f"{str(path)!r} is not the name of a file that can be written")
    folder = next(each for each in path.absolute().parents if os.path.lexists(each))
    if not folder.is_dir():
        raise UsageError(f"{path} cannot be written: {folder} is no folder")
    return folder


def check_readable(path: Path, expected: str) -> None:
    """Raise `UsageError`, which says what is wrong and what was `expected`, unless it is a file."""
    if path.is_file():
        return
    if path.is_dir():
        found = "is a folder"
    elif path.exists():
        found = "is no regular file but a pipe or a device"
    elif path.is_symlink():
        found = "is a link that leads to no file"
    else:
        found = "does not exist"
    raise UsageError(f"{path} {found}; {expected}")


def check_archive(path: Path, expected: str) -> None:
    """Raise `UsageError` unless a path is that of an archive, as `expected` is."""
    check_readable(path, f"give {expected}")
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is not {expected}: it is no .npz archive")


def write_bytes(path: Path, content: bytes) -> None:
    """Write by temporary file and rename: `path` holds the old content or all of the new.

    On failure (a full disk, say) the temporary file is removed and the error is raised.
    """
    write_all({path: content})


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write files as `write_bytes` does, put in place in this order.

    They are flushed to disk at once, which takes hardly longer than one of them.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}

    def write(path: Path) -> None:
        _nearest_folder(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _naming(path), open(temporary[path], "wb") as file:
            file.write(contents[path])
            file.flush()
            os.fsync(file.fileno())

    try:
        for_all(write, contents)
        for path in contents:
            with _naming(path):
                os.replace(temporary[path], path)
    finally:
        for each in temporary.values():
            each.unlink(missing_ok=True)


def for_all(write: Callable[[Path], None], paths: Iterable[Path]) -> None:
    """Call a function that waits for the disk, for all paths at once."""
    paths = list(paths)
    if len(paths) < 2:
        for path in paths:
            write(path)
        return
    with ThreadPoolExecutor(min(AT_ONCE, len(paths))) as pool:
        list(pool.map(write, paths))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have errors name a path, instead of its temporary file or nothing."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def remove_stale_temporaries(folder: Path) -> None:
    """Remove the temporary files in a folder whose processes were killed while they wrote."""
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
        pass  # another user's; or a number that no process has, which is nobody's to remove
    return True


def write_text(path: Path, content: str) -> None:
    """`write_bytes` for text."""
    write_bytes(path, content.encode())


def to_json(content: Any) -> str:
    """JSON text, in which a number that is not finite is null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def write_json(path: Path, content: Any) -> None:
    """`write_text` of `to_json`."""
    write_text(path, to_json(content))


def write_npz(path: Path, **arrays: NDArray[Any]) -> None:
    """`write_bytes` for a compressed `.npz` of named arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def to_frame(columns: Mapping[str, Any]) -> "DataFrame":
    """Columns as a data frame; `UserError` without pandas, which is an optional dependency."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UserError("tables need pandas; install it beside this package") from error
    return DataFrame(dict(columns))


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV, with a column for every name in any of them; blank where a row has none."""
    rows = list(rows)
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown_table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Rows of text as a table in Markdown."""
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def html_table(rows: Iterable[Iterable[str]]) -> str:
    """Rows of text as an HTML table, the first cell of each its title."""
    lines = []
    for title, *cells in rows:
        told = "".join(f"<td style='text-align: left'>{html.escape(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th>{html.escape(title)}</th>{told}</tr>")
    return f"<table>{''.join(lines)}</table>"
