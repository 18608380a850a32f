"""Named things of one kind, each in a file of its own: whoever adds one touches no list.

A registry finds the files of its folder by itself, when it is first asked.  A file from anywhere
else adds to it by being imported: `load_plugin`.
"""

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, ItemsView, Iterator, ValuesView
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from coopetition.tools.errors import UsageError, UserError, abbreviate

MANY, SHOWN = 20, 6  # of more names, a message shows so many: those that are alike first
PLUGIN = "plugin_"  # how the modules of the user's files are called

T = TypeVar("T")
S = TypeVar("S")


class NotRegistered(UsageError):
    """A name of nothing that there is: misspelt, or of a plugin that is not loaded."""


class Registry(Generic[T]):
    """Entries by name.

    Parameters
    ----------
    what : what an entry is, for messages
    folder : the package of which every module adds its own
    """

    def __init__(self, what: str, folder: str) -> None:
        self.what, self.folder = what, folder
        self._entries: dict[str, T] = {}
        self._scanned = self._scanning = False
        REGISTRIES.append(self)

    def register(self, name: str) -> Callable[[S], S]:
        """A decorator that adds what it is put on, and leaves it as it is."""

        def add(entry: S) -> S:
            if name in self._entries:
                raise UsageError(f"the {self.what} {name!r} is there already; choose another name")
            added: Any = entry
            if isinstance(added, type) and issubclass(added, Kind):
                self._check_class_name(added.__name__)
            self._entries[name] = added  # pyright: ignore[reportArgumentType]
            return entry

        return add

    def _check_class_name(self, name: str) -> None:
        """Configs that are written down tell kinds by the names of their classes."""
        if any(getattr(entry, "__name__", None) == name for entry in self._entries.values()):
            raise UsageError(
                f"a {self.what} has the class name {name!r} already; choose another for the class"
            )

    def scan(self) -> None:
        """Import the files of its folder, unless that is done."""
        if self._scanned or self._scanning:  # the files may ask for one another
            return
        self._scanning = True
        try:
            package = importlib.import_module(self.folder)
            for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
                importlib.import_module(f"{self.folder}.{module.name}")
            self._scanned = True
        finally:
            self._scanning = False

    def _found(self) -> dict[str, T]:
        """All there are, sorted: their order does not depend on what was imported first."""
        self.scan()
        return dict(sorted(self._entries.items()))

    def reset(self, entries: dict[str, T]) -> None:
        """Have these entries and no others."""
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        entries = self._found()
        if name not in entries:
            raise self.lacks(name)
        return entries[name]

    def lacks(self, name: str) -> NotRegistered:
        """The mistake of asking for a name that is not there."""
        names, shown = list(self), MANY
        if len(names) > MANY:
            names = [*dict.fromkeys(get_close_matches(name, names, SHOWN, 0.5) + names)]
            shown = SHOWN
        told = abbreviate(names, shown)
        return NotRegistered(
            f"{self.what} {name!r} is not of this package: choose one of {told}, or give "
            "--plugin FILE"
        )

    def __contains__(self, name: object) -> bool:
        return name in self._found()

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def items(self) -> ItemsView[str, T]:
        """Names and entries."""
        return self._found().items()

    def values(self) -> ValuesView[T]:
        """Entries."""
        return self._found().values()

    def described(self) -> dict[str, str]:
        """The first line of each entry's docstring, by name."""
        return {
            name: (getattr(entry, "doc", entry.__doc__) or "").strip().split("\n")[0]
            for name, entry in self.items()
        }


REGISTRIES: list[Registry[Any]] = []


class Kind:
    """Base of dataclasses of which a config's field takes any that is registered.

    Written as plain values, such a field carries the name of its class as `kind`.
    """

    __slots__ = ()
    kinds: ClassVar[Registry[type["Kind"]]]


def load_plugin(path: Path | str) -> ModuleType:
    """Import a file of the user, so that what it registers is there; once, however often called.

    What comes with the package is there before, so that no name of it is taken.  A file that fails
    leaves nothing, and can be loaded again when it is mended.
    """
    file = Path(path).resolve()
    if not file.is_file() or file.suffix != ".py":
        raise UsageError(f"plugin {str(path)!r} is no Python file; give the path of one")
    name = f"{PLUGIN}{file.stem}"
    if name in sys.modules:
        if sys.modules[name].__file__ != str(file):
            raise UsageError(f"two plugins are called {file.stem}; rename {path}")
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    before = {registry: dict(registry.items()) for registry in REGISTRIES}
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        for registry, entries in before.items():
            registry.reset(entries)
        if isinstance(error, SyntaxError):
            line = f"line {error.lineno}: {error.msg}"
            raise UsageError(f"{path} is no sound Python file ({line}); mend it") from error
        if isinstance(error, UnicodeDecodeError):
            raise UsageError(f"{path} is no Python file but bytes ({error}); mend it") from error
        if isinstance(error, ImportError):
            raise UsageError(f"{path} imports what is not there ({error}); mend it") from error
        if isinstance(error, UserError) or not isinstance(error, Exception):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        line = next(each.lineno for each in reversed(frames) if each.filename == str(file))
        told = " ".join(str(error).split())
        raise UsageError(
            f"{path} fails in line {line} ({type(error).__name__}: {told}); mend it"
        ) from error
    return module


def loaded_plugins() -> tuple[str, ...]:
    """The files that `load_plugin` has imported."""
    return tuple(
        str(module.__file__) for name, module in sys.modules.items() if name.startswith(PLUGIN)
    )
