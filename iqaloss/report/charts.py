"""Charts as SVG that takes the page's colours: bars, a radar of dimensions, curves."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from iqaloss._errors import missing_package
from iqaloss.report.blocks import Chart
from iqaloss.report.colors import INK, LINE, stand_in, themed

Interval = tuple[float, float]
STYLES = ("-", "--", ":", "-.")
"""Lines of series, for those who cannot tell their colours apart."""


def _figure(width: float, height: float, **options: Any) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_package("matplotlib", "plot", "drawing charts") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot(**options)
    axes.tick_params(colors=INK, labelsize=9)
    for spine in axes.spines.values():
        spine.set_color(LINE)
    axes.grid(True, color=LINE, linewidth=0.5)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Any) -> str:
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "iqaloss"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    # Rules for everything would reach the page around the chart.
    text = re.sub(r"<style[^>]*>.*?</style>|<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'font: ([\d.]+)px [^";]*', r"font: \1px system-ui, sans-serif", text)
    text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text)
    return themed(text)


def _legend(axes: Any, count: int, **options: Any) -> None:
    if count > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, **options)


def bars(
    title: str,
    series: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Mapping[str, Interval]] | None = None,
    label: str = "",
) -> Chart:
    """Draws groups of bars, lying, with intervals where there are any.

    Args:
        title: What is shown.
        series: Name of a series to name of a group to value; all have the same groups.
        intervals: The same, with the ends of each value's interval.
        label: What the values are.
    """
    names, groups = list(series), list(next(iter(series.values())))
    figure, axes = _figure(5.4, 1.0 + 0.16 * len(groups) * (len(names) + 1))
    height = 0.8 / len(names)
    for number, name in enumerate(names):
        places = [row + (number - (len(names) - 1) / 2) * height for row in range(len(groups))]
        values = [series[name][group] for group in groups]
        spread = None
        if intervals is not None:
            ends = [intervals[name][group] for group in groups]
            spread = [[max(0.0, v - low) for v, (low, _) in zip(values, ends)],
                      [max(0.0, high - v) for v, (_, high) in zip(values, ends)]]  # fmt: skip
        axes.barh(places, values, height * 0.9, label=name, color=stand_in(number), xerr=spread, ecolor=INK,
                  error_kw={"elinewidth": 1, "capsize": 2})  # fmt: skip
    axes.set_yticks(range(len(groups)), groups)
    axes.invert_yaxis()
    axes.set_xlabel(label, color=INK, fontsize=9)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    _legend(axes, len(names), loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return Chart(title, _svg(figure), _said(series))


def radar(title: str, series: Mapping[str, Mapping[str, float]], floor: float = 0.0, top: float = 1.0) -> Chart:
    """Draws a line around the middle for each series, further out where it is better.

    Args:
        title: What is shown.
        series: Name to dimension to value; at least three dimensions.
        floor: The value in the middle.
        top: The value at the rim.
    """
    names = list(next(iter(series.values())))
    if len(names) < 3:
        raise ValueError(f"a radar needs at least three dimensions, got {len(names)}: {', '.join(names)}")
    figure, axes = _figure(5.4, 4.4, projection="polar")
    angles = [2 * math.pi * index / len(names) for index in range(len(names))]
    for number, (name, values) in enumerate(series.items()):
        line = [values[dimension] for dimension in names]
        color, style = stand_in(number), STYLES[number % len(STYLES)]
        axes.plot([*angles, angles[0]], [*line, line[0]], style, color=color, linewidth=2, label=name)
    axes.set_xticks(angles, names)
    axes.set_ylim(floor, top)
    axes.tick_params(axis="x", pad=16)
    _legend(axes, len(series), loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    return Chart(title, _svg(figure), _said(series))


def curves(title: str, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], label: str = "step") -> Chart:
    """Draws lines, each under its own name.

    Args:
        title: What is shown.
        series: Name to the places and the values of its points.
        label: What the places are.
    """
    figure, axes = _figure(5.4, 3.0 + 0.12 * len(series))
    for number, (name, (places, values)) in enumerate(series.items()):
        style = STYLES[number % len(STYLES)]
        mark = "o" if len(places) == 1 else None
        axes.plot(places, values, style, color=stand_in(number), linewidth=1.6, marker=mark, label=name)
    axes.set_xlabel(label, color=INK, fontsize=9)
    _legend(axes, len(series), loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    ends = {name: {"first": values[0], "last": values[-1]} for name, (_, values) in series.items() if len(values)}
    return Chart(title, _svg(figure), _said(ends))


def _said(series: Mapping[str, Mapping[str, float]]) -> str:
    """What the chart shows, in words, for those who do not see it."""
    return "; ".join(
        f"{name}: " + ", ".join(f"{group} {value:.4g}" for group, value in values.items())
        for name, values in series.items()
    )
