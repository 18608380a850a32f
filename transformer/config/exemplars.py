"""What a kind of exemplars is; each has its file in `transformer.data.exemplars`."""

from dataclasses import fields, replace
from typing import Any, ClassVar, Self

from coopetition.tools.errors import UsageError
from transformer.config.registry import Kind, Registry

KINDS: Registry[type["ExemplarConfig"]] = Registry(
    "kind of exemplars", "transformer.data.exemplars"
)


class ExemplarConfig(Kind):
    """Base of the kinds: frozen dataclasses of which each value is a set of exemplars.

    One that reads a file has a field `path`, marked `LOCATION`; one whose exemplars do not follow
    from its other fields has a field `fingerprint`, which is filled in when they are read.
    """

    __slots__ = ()
    kinds = KINDS  # pyright: ignore[reportAssignmentType]
    n_classes: int
    """Number of classes; 0 while it is not known, before a file is given."""
    n_exemplars: int
    """Exemplars of each class; 0 likewise."""
    bytes_per_feature: ClassVar[int] = 1
    """What a feature takes in memory: 1 for pixels, 2 for half precision."""
    may_be_images: ClassVar[bool] = True
    """Whether features can be the pixels of a square, row by row."""
    needs_path: ClassVar[bool] = False
    """Whether nothing can be read before its field `path` is given."""

    def changed(self, **changes: Any) -> Self:
        """The same with other fields; those that this kind lacks raise `UsageError`."""
        names = [item.name for item in fields(self)]  # pyright: ignore[reportArgumentType]
        if unknown := set(changes) - set(names):
            raise UsageError(
                f"{type(self).__name__} has no field {min(unknown)!r}; choose of {', '.join(names)}"
            )
        return replace(self, **changes)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def feature_count(self) -> int:
        """Length of a feature vector, without drawing or reading any."""
        raise NotImplementedError

    def load(self) -> Any:
        """Draw or read them: `transformer.data.exemplar_sets.Exemplars`."""
        raise NotImplementedError

    def filled_in(self) -> dict[str, Any]:
        """Fields beside path and fingerprint that are filled in when exemplars are read."""
        return {}
