"""Draw bars and curves as SVG on logarithmic axes, readable on light and on dark backgrounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

Points = Mapping[float, float]
"""The points of a curve: y by x, both above 0."""

_COLORS: Final = ("#3b82c4", "#e07b39", "#3f9c62", "#b5539c", "#8a7a2f", "#5f6fd0", "#c2453f", "#2f9a9a")
_STYLE: Final = """<style>
text { font: 12px sans-serif; fill: #24292f; }
.title { font-weight: bold; }
.grid { stroke: #8886; stroke-width: 1; }
.axis { stroke: #888; stroke-width: 1; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } }
</style>"""

_LABEL_WIDTH: Final = 190
_BAR_HEIGHT: Final = 11
_BARS_WIDTH: Final = 520
_TOP: Final = 46
_BOTTOM: Final = 40
_PANEL_WIDTH, _PANEL_HEIGHT = 430, 300
_PLOT_LEFT, _PLOT_WIDTH, _PLOT_HEIGHT = 48, 220, 205


def bars(title: str, axis: str, values: Mapping[str, Mapping[str, float]]) -> str:
    """Draw horizontal bars from 1 to the value of each series (by label, then by series; values above 0)."""
    series = list(dict.fromkeys(name for each in values.values() for name in each))
    largest = max(value for each in values.values() for value in each.values())
    scale = _Scale(0.5, _ceiling(largest), _LABEL_WIDTH, _BARS_WIDTH)
    row = len(series) * _BAR_HEIGHT + 8
    bottom = _TOP + row * len(values)
    shapes = [_text(10, 18, title, "title"), *_legend(series, _LABEL_WIDTH, 36)]
    for tick in scale.ticks():
        x = scale.at(tick)
        shapes += [
            _line(x, _TOP, x, bottom, "axis" if tick == 1 else "grid"),
            _text(x, bottom + 14, f"{tick:g}", anchor="middle"),
        ]
    shapes.append(_text(_LABEL_WIDTH + _BARS_WIDTH / 2, bottom + 32, axis, anchor="middle"))
    for position, (label, each) in enumerate(values.items()):
        top = _TOP + position * row + 4
        shapes.append(_text(_LABEL_WIDTH - 8, top + (row - 8) / 2 + 4, label, anchor="end"))
        for name, value in each.items():
            index = series.index(name)
            left, right = sorted((scale.at(1), scale.at(value)))
            y = top + index * _BAR_HEIGHT
            shapes += [
                f'<rect x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="{_BAR_HEIGHT - 2}"'
                f' fill="{_COLORS[index]}"/>',
                _text(right + 4, y + _BAR_HEIGHT - 2, f"{value:.1f}"),
            ]
    return _svg(_LABEL_WIDTH + _BARS_WIDTH + 50, bottom + _BOTTOM, shapes)


def curves(title: str, y_axis: str, panels: Mapping[str, Mapping[str, Points]]) -> str:
    """Draw panels, two in a row: *panels* has curves by the text of the x axis, then by their name."""
    shapes = [_text(10, 18, title, "title")]
    for position, (x_axis, panel) in enumerate(panels.items()):
        left = position % 2 * _PANEL_WIDTH
        top = 30 + position // 2 * _PANEL_HEIGHT
        shapes.append(f'<g transform="translate({left} {top})">{"".join(_panel(x_axis, y_axis, panel))}</g>')
    rows = math.ceil(len(panels) / 2)
    return _svg(2 * _PANEL_WIDTH, 30 + rows * _PANEL_HEIGHT, shapes)


def _panel(x_axis: str, y_axis: str, panel: Mapping[str, Points]) -> list[str]:
    xs = [x for points in panel.values() for x in points]
    ys = [y for points in panel.values() for y in points.values()]
    across = _Scale(min(xs), max(xs), _PLOT_LEFT, _PLOT_WIDTH)
    up = _Scale(_floor(min(ys)), _ceiling(max(ys)), 20 + _PLOT_HEIGHT, -_PLOT_HEIGHT)
    bottom = 20 + _PLOT_HEIGHT
    shapes = [
        _text(_PLOT_LEFT - 40, 12, y_axis),
        _text(_PLOT_LEFT + _PLOT_WIDTH / 2, bottom + 36, x_axis, anchor="middle"),
    ]
    for tick in across.decades():
        x = across.at(tick)
        shapes += [_line(x, 20, x, bottom, "grid"), _text(x, bottom + 16, _shorten(tick), anchor="middle")]
    for tick in up.ticks():
        y = up.at(tick)
        shapes += [_line(_PLOT_LEFT, y, _PLOT_LEFT + _PLOT_WIDTH, y, "grid")]
        shapes += [_text(_PLOT_LEFT - 5, y + 4, f"{tick:g}", anchor="end")]
    for index, points in enumerate(panel.values()):
        color = _COLORS[index % len(_COLORS)]
        path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in sorted(points.items()))
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        shapes += [
            f'<circle cx="{across.at(x):.1f}" cy="{up.at(y):.1f}" r="2.5" fill="{color}"/>' for x, y in points.items()
        ]
    names = list(panel)
    for index, name in enumerate(names):
        shapes += _legend([name], _PLOT_LEFT + _PLOT_WIDTH + 14, 36 + 17 * index, first=index)
    return shapes


def _shorten(count: float) -> str:
    """Return a count with k for thousands and M for millions."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:g}{letter}"
    return f"{count:g}"


class _Scale:
    """A logarithmic scale from *low* to *high* over a length that begins at a coordinate."""

    def __init__(self, low: float, high: float, start: float, length: float) -> None:
        self._low, self._high, self._start, self._length = low, max(high, low * 1.01), start, length

    def at(self, value: float) -> float:
        """Return the coordinate of a value; that of the nearest end for a value outside."""
        share = math.log(value / self._low) / math.log(self._high / self._low)
        return self._start + min(max(share, 0), 1) * self._length

    def decades(self) -> Sequence[float]:
        """Return the powers of ten on the scale."""
        return self._steps((1,))

    def ticks(self) -> Sequence[float]:
        """Return 1, 2 and 5 times the powers of ten on the scale, or the powers alone if there are many."""
        steps = self._steps((1, 2, 5))
        return steps if len(steps) <= 10 else self.decades()

    def _steps(self, digits: Sequence[int]) -> list[float]:
        powers = range(math.floor(math.log10(self._low)), math.ceil(math.log10(self._high)) + 1)
        steps = [digit * 10.0**power for power in powers for digit in digits]
        return [step for step in steps if self._low * 0.999 <= step <= self._high * 1.001]


def _ceiling(value: float) -> float:
    return next(step for step in _ONE_TWO_FIVE if step >= value)


def _floor(value: float) -> float:
    return next(step for step in reversed(_ONE_TWO_FIVE) if step <= value)


_ONE_TWO_FIVE: Final = [digit * 10.0**power for power in range(-6, 10) for digit in (1, 2, 5)]


def _legend(names: Sequence[str], left: float, baseline: float, first: int = 0) -> list[str]:
    shapes = []
    for index, name in enumerate(names, start=first):
        x = left + (index - first) * 110
        color = _COLORS[index % len(_COLORS)]
        shapes.append(f'<rect x="{x}" y="{baseline - 9}" width="10" height="10" fill="{color}"/>')
        shapes.append(_text(x + 14, baseline, name))
    return shapes


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    attributes = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>{escape(text)}</text>'


def _svg(width: float, height: float, shapes: Sequence[str]) -> str:
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">\n'
        f"{_STYLE}\n{body}\n</svg>\n"
    )
