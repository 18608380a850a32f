"""Methods of every result: one line, a few lines, a table in a notebook, a data frame, a file."""

import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError
from coopetition.tools.files import (
    ARCHIVE_ERRORS,
    check_archive,
    check_readable,
    to_frame,
    wrap_text,
    write_json,
    write_npz,
)

if TYPE_CHECKING:
    from pandas import DataFrame

Saved = TypeVar("Saved")


def trust_line(cautions: Sequence[str], trusted: str) -> str:
    """Return the beginning of a report: the cautions, or the sentence `trusted` without any."""
    return wrap_text(f"CAUTION: {'; '.join(cautions)}" if cautions else trusted)


class Result:
    """A mixin for results: each subclass gives `headline` and `columns`, and most a `summary`.

    A dataclass that uses it turns off its own `repr`.
    """

    __slots__ = ()

    def headline(self) -> str:
        """Return one line without the class name: "of 6 trajectories: never 5"."""
        raise NotImplementedError

    def columns(self) -> Mapping[str, Any]:
        """Return the table of `to_frame` as columns by name."""
        raise NotImplementedError

    def summary(self) -> str:
        """Return the result in a few lines of text."""
        return wrap_text(self.headline())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.headline()}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    def to_frame(self) -> "DataFrame":
        """Return the result as a data frame; see `columns`."""
        return to_frame(self.columns())


class JsonResult(Result):
    """A result that is kept in a file of JSON.

    A subclass gives `kind`, as in "a saved fit", and what differs from a dataclass of plain values.
    """

    __slots__ = ()
    kind: ClassVar[str]

    def to_saved(self) -> dict[str, Any]:
        """Return what the file holds: values that `to_json` writes."""
        return asdict(self)  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_saved(cls, saved: dict[str, Any]) -> Self:
        """Return the result of `to_saved`, after a round trip through JSON."""
        return cls(**saved)

    def save(self, path: Path | str) -> None:
        """Write everything to a file of JSON."""
        write_json(Path(path), self.to_saved())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file of `save`; any other file raises `UsageError`."""
        return read_saved(Path(path), cls.kind, cls.from_saved)


def read_saved(path: Path, kind: str, make: Callable[[Any], Saved]) -> Saved:
    """Return what a function makes of the content of a file of JSON.

    kind : of the file, as in "a saved fit"

    Raises
    ------
    UsageError : another file, or what the function refuses; the message begins with the path
    """
    check_readable(path, f"give {kind}")
    try:
        return make(json.loads(path.read_text()))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is not {kind} ({error!r:.200})") from error


class ArchivedResult(Result):
    """A result that is kept in an `.npz` file: named arrays and a header in JSON.

    A subclass gives `kind`, as in "a saved trajectory", and `to_archive` and `from_archive`.
    """

    __slots__ = ()
    kind: ClassVar[str]

    def to_archive(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the header and the arrays of the file."""
        raise NotImplementedError

    @classmethod
    def from_archive(cls, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the result of a file's header and arrays."""
        raise NotImplementedError

    def save(self, path: Path | str) -> None:
        """Write everything to an `.npz` file."""
        header, arrays = self.to_archive()
        write_npz(Path(path), header=np.array(json.dumps(header)), **arrays)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file of `save`; any other file raises `UsageError`."""
        check_archive(Path(path), cls.kind)
        try:
            with np.load(path) as archive:
                return cls.from_archive(json.loads(str(archive["header"])), archive)
        except (OSError, *ARCHIVE_ERRORS) as error:
            raise UsageError(f"{path} is not {cls.kind} ({error})") from error
