"""Write a result as one HTML file that contains its text, tables and pictures."""

import base64
import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from coopetition.plot.fits import (
    plot_autocorrelation,
    plot_fit,
    plot_forecast,
    plot_profile,
    plot_residuals,
    plot_theories,
    plot_waterfall,
)
from coopetition.plot.style import figure_bytes
from coopetition.tools.files import write_text

Plot = Callable[..., Any]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em}}
pre {{background: #f4f4f4; padding: 1em; overflow-x: auto}} img {{max-width: 100%}}</style></head>
<body><h1>{title}</h1>
<pre>{text}</pre>
{pictures}
</body></html>
"""


def write_report(path: Path, title: str, text: str, plots: Mapping[str, tuple[Plot, Any]]) -> None:
    """Write a page.

    plots : heading -> a function of (result, ax=...) and its result
    """
    pictures = "\n".join(_picture(name, plot, result) for name, (plot, result) in plots.items())
    page = PAGE.format(title=html.escape(title), text=html.escape(text), pictures=pictures)
    write_text(path, page)


def _picture(heading: str, plot: Plot, result: Any) -> str:
    figure = Figure(figsize=(6, 4), layout="constrained")
    plot(result, ax=figure.subplots())
    data = base64.b64encode(figure_bytes(figure, "svg")).decode()
    name = html.escape(heading)
    return f'<h2>{name}</h2>\n<img alt="{name}" src="data:image/svg+xml;base64,{data}">'


def report_fit(path: Path, fit: Any, profiles: Mapping[str, Any]) -> None:
    """Write a page on a fit, with profiles of its parameters."""
    plots: dict[str, tuple[Plot, Any]] = {
        "Fit": (plot_fit, fit),
        "Residuals": (plot_residuals, fit),
        "Autocorrelation": (plot_autocorrelation, fit),
        "Starts": (plot_waterfall, fit),
    } | {f"Profile of {name}": (plot_profile, each) for name, each in profiles.items()}
    write_report(path, f"Fit of {fit.theory}", fit.summary(), plots)


def report_comparison(path: Path, comparison: Any) -> None:
    """Write a page on a comparison of theories, with the fit of each."""
    plots: dict[str, tuple[Plot, Any]] = {"Theories": (plot_theories, comparison)}
    plots |= {fit.theory: (plot_fit, fit) for fit in comparison.fits}
    write_report(path, "Comparison of theories", comparison.summary(), plots)


def report_forecast(path: Path, forecast: Any) -> None:
    """Write a page on a forecast."""
    plots = {"Forecast": (plot_forecast, forecast)}
    write_report(path, f"Forecast of {forecast.theory}", forecast.summary(), plots)
