"""A setting that a figure varies, with the default run as control."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from paper_figures.core.figure import FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import ICL, IWL, Groups, Panel, draw_panels
from paper_figures.transience.rules import Levels

Found = Sequence[list[FigureRun]]


def needs_of(*presets: str) -> tuple[Runs, ...]:
    """Return the needs of a figure: the default run, then optional presets, by their names."""
    optional = (Runs(f"transience/{preset}", optional=True) for preset in presets)
    return Runs("transience/default"), *optional


@dataclass(frozen=True, slots=True)
class Sweep:
    """A setting that a figure varies.

    preset : of a value, such as `depth_{:g}`
    labels : of each value, for the legend; values rise
    """

    preset: str
    labels: Mapping[int, str] | Mapping[float, str]

    @property
    def needs(self) -> tuple[Runs, ...]:
        """Return the needs of the figure: the control, then the runs of each value."""
        return needs_of(*(self.preset.format(value) for value in self.labels))

    def levels(self, found: Found) -> Levels:
        """Return the runs by value of the setting."""
        return dict(zip(self.labels, found, strict=True))

    def groups(self, found: Found) -> Groups:
        """Return the runs by label of the setting."""
        return dict(zip(self.labels.values(), found, strict=True))

    def drawing(
        self, panels: Sequence[Panel] = (ICL, IWL), *, control: str = ""
    ) -> Callable[..., FigureResult]:
        """Return the `draw` of the figure; with a label, the control is drawn too."""

        def draw(of_control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
            first: Groups = {control: of_control} if control else {}
            return draw_panels({**first, **self.groups(found)}, panels)

        return draw
