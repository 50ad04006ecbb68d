"""A dashboard as an SVG, from the data that its panels' queries gave. It says on itself that it is no screenshot. Standard library only.

Numbers, lines, bars and tables are drawn; what Grafana offers besides (links, exemplars, hovering) is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any, Final

CELL_W, CELL_H, GAP, TOP = 44, 34, 8, 44
LABEL: Final = "drawn from the panels' data, not a Grafana screenshot"
COLORS: Final = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#ff7383", "#8ab8ff", "#c0d8ff", "#37872d", "#e0b400")
NAMED: Final = {"red": "#f2495c", "orange": "#ff9830", "yellow": "#fade2a", "blue": "#5794f2", "green": "#73bf69"}
STYLE: Final = (
    "text{font:12px Inter,Helvetica,Arial,sans-serif;fill:#ccccdc}.title{font-weight:600;fill:#fff}.small{font-size:10px;fill:#9fa7b3}"
    ".big{font-size:26px;font-weight:600}.head{font-size:18px;font-weight:600;fill:#fff}.page{fill:#111217}.panel{fill:#181b1f;stroke:#2c3235}"
    ".grid{stroke:#2c3235;stroke-width:1}.line{fill:none;stroke-width:1.5}"
)


@dataclass(frozen=True, slots=True)
class Series:
    """What one query gave under one name: points of (seconds since the epoch, value)."""

    name: str
    points: Sequence[tuple[float, float]]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


@dataclass(frozen=True, slots=True)
class Box:
    """A place on the page, in pixels."""

    x: float
    y: float
    w: float
    h: float


def drawn(
    dashboard: Mapping[str, Any], panels: Iterable[Mapping[str, Any]], data: Mapping[str, list[list[Series]]], window: tuple[float, float]
) -> str:
    """The SVG. *data*: by panel title, the series of each of its targets; a panel without an entry is left out. *window*: from and to."""
    shown = [panel for panel in panels if panel["title"] in data]
    boxes = [_box(panel) for panel in shown]
    height = max(box.y + box.h for box in boxes) + GAP
    width = 24 * CELL_W + GAP
    parts = [f'<rect class="page" width="{width}" height="{height:g}"/>', _text(GAP * 2, 28, dashboard["title"], "head")]
    parts.append(_text(width - GAP * 2, 28, LABEL, "small", "end"))
    for panel, box in zip(shown, boxes, strict=True):
        parts += _panel(panel, box, data[panel["title"]], window)
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" role="img">\n<style>{STYLE}</style>\n{body}\n</svg>\n'


def _box(panel: Mapping[str, Any]) -> Box:
    at = panel["gridPos"]
    x, y = at.get("x", 0) * CELL_W + GAP, at.get("y", 0) * CELL_H + TOP
    return Box(x, y, at["w"] * CELL_W - GAP, at["h"] * CELL_H - GAP)


def _panel(panel: Mapping[str, Any], box: Box, data: list[list[Series]], window: tuple[float, float]) -> list[str]:
    frame = f'<rect class="panel" x="{box.x:g}" y="{box.y:g}" width="{box.w:g}" height="{box.h:g}" rx="3"/>'
    inner = Box(box.x + 12, box.y + 30, box.w - 24, box.h - 40)
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    if not any(data):
        body = [_text(inner.x, inner.y + 20, "No data", "small")]
    elif panel["type"] == "timeseries":
        body = _lines(panel, inner, data, unit, window)
    else:
        body = _KINDS[panel["type"]](panel, inner, data, unit)
    return [frame, _text(box.x + 12, box.y + 20, panel["title"], "title"), *body]


def _stat(panel: Mapping[str, Any], box: Box, data: list[list[Series]], unit: str) -> list[str]:
    value = data[0][0].last
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    color = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    place = f'x="{box.x + box.w / 2:g}" y="{box.y + box.h * 0.7:g}" text-anchor="middle"'
    return [f'<text class="big" {place} style="fill:{NAMED[color]}">{escape(told(value, unit))}</text>']


def _lines(panel: Mapping[str, Any], box: Box, data: list[list[Series]], unit: str, window: tuple[float, float]) -> list[str]:
    series = [each for target in data for each in target]
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    plot = Box(box.x + 46, box.y, box.w - 46, box.h - 40)
    times = sorted({time for each in series for time, _ in each.points})
    tops = _stack(series) if stacked else [list(each.points) for each in series]
    high = _round_up(max((value for points in tops for _, value in points if math.isfinite(value)), default=1) or 1)
    scale = Scale(plot, *window, high)
    parts = _axes(scale, unit)
    bases = [[(time, 0.0) for time in times], *tops[:-1]] if stacked else tops
    for index, (each, points, base) in enumerate(zip(series, tops, bases, strict=True)):
        color = _color(panel, each.name, index)
        draw = _bars(scale, points, dict(base), _step(times), color) if stacked else _path(scale, points, color)
        parts.append(draw)
    return parts + _legend(panel, series, Box(box.x, box.y + box.h - 10, box.w, 12))


def _stack(series: Sequence[Series]) -> list[list[tuple[float, float]]]:
    below: dict[float, float] = {}
    tops = []
    for each in series:
        for time, value in each.points:
            below[time] = below.get(time, 0.0) + (value if math.isfinite(value) else 0.0)
        tops.append(sorted(below.items()))
    return tops


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a time and a value are, in pixels."""

    plot: Box
    begin: float
    end: float
    high: float

    def at(self, time: float, value: float) -> tuple[float, float]:
        """Across and down."""
        share = (time - self.begin) / (self.end - self.begin)
        return self.plot.x + self.plot.w * share, self.plot.y + self.plot.h * (1 - min(value, self.high) / self.high)


def _step(times: Sequence[float]) -> float:
    """Seconds from one point to the next."""
    return min((later - time for time, later in pairwise(times)), default=60.0)


def _axes(scale: Scale, unit: str) -> list[str]:
    plot, parts = scale.plot, []
    for step in range(5):
        y = plot.y + plot.h * (1 - step / 4)
        parts.append(f'<line class="grid" x1="{plot.x:g}" x2="{plot.x + plot.w:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(plot.x - 6, y + 4, told(scale.high * step / 4, unit), "small", "end"))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        ago_s = (scale.end - scale.begin) * (1 - share)
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        parts.append(_text(plot.x + plot.w * share, plot.y + plot.h + 14, f"-{ago_s / 60:.3g} min" if ago_s else "now", "small", anchor))
    return parts


def _path(scale: Scale, points: Sequence[tuple[float, float]], color: str) -> str:
    known = [scale.at(time, value) for time, value in points if math.isfinite(value)]
    if not known:
        return ""
    return f'<polyline class="line" stroke="{color}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in known)}"/>'


def _bars(scale: Scale, points: Sequence[tuple[float, float]], base: Mapping[float, float], step_s: float, color: str) -> str:
    """Each bar ends at its time: it counts what came in the step before."""
    marks = []
    for time, value in points:
        left, y = scale.at(max(time - 0.85 * step_s, scale.begin), value)
        right, foot = scale.at(time, base.get(time, 0.0))
        if foot - y > 0.05 and right > left:
            marks.append(f"M{left:.1f} {y:.1f}H{right:.1f}V{foot:.1f}H{left:.1f}z")
    return f'<path fill="{color}" fill-opacity="0.75" d="{"".join(marks)}"/>'


def _legend(panel: Mapping[str, Any], series: Sequence[Series], box: Box) -> list[str]:
    parts, x = [], box.x
    for index, each in enumerate(series):
        size = 22 + 6.1 * len(each.name)
        if x + size > box.x + box.w:
            parts.append(_text(x, box.y + 8, "...", "small"))
            break
        parts.append(f'<rect x="{x:g}" y="{box.y + 2:g}" width="12" height="4" fill="{_color(panel, each.name, index)}"/>')
        parts.append(_text(x + 16, box.y + 8, each.name, "small"))
        x += size
    return parts


def _gauge(panel: Mapping[str, Any], box: Box, data: list[list[Series]], unit: str) -> list[str]:
    rows = sorted(data[0], key=lambda each: -each.last)[:8]
    high = max(each.last for each in rows) or 1
    parts = []
    for index, each in enumerate(rows):
        y = box.y + index * 27
        parts.append(_text(box.x, y + 15, each.name, "small"))
        length = (box.w - 230) * each.last / high
        parts.append(
            f'<rect x="{box.x + 170:g}" y="{y + 3:g}" width="{max(length, 2):.1f}" height="16" fill="{_color(panel, each.name, index)}"/>'
        )
        parts.append(_text(box.x + box.w, y + 16, told(each.last, unit), "", "end"))
    return parts


def _table(panel: Mapping[str, Any], box: Box, data: list[list[Series]], _unit: str) -> list[str]:
    columns = _columns(panel, len(data))
    labels = sorted({name for target in data for each in target for name in each.labels})
    cells: dict[tuple[str, ...], dict[int, float]] = {}
    for index, target in enumerate(data):
        for each in target:
            cells.setdefault(tuple(each.labels.get(name, "") for name in labels), {})[index] = each.last
    rows = sorted(_merged(cells).items(), key=lambda row: -row[1].get(0, 0.0))[: int(box.h // 22) - 1]
    heads = [*labels, *(name for name, _ in columns)]
    width = box.w / len(heads)
    parts = [_text(box.x + width * at, box.y + 12, name, "small") for at, name in enumerate(heads)]
    for line, (key, found) in enumerate(rows, 1):
        texts = [*key, *(told(found[at], unit) if at in found else "" for at, (_, unit) in enumerate(columns))]
        parts += [_text(box.x + width * at, box.y + 12 + 22 * line, text) for at, text in enumerate(texts)]
    return parts


def _merged(cells: Mapping[tuple[str, ...], Mapping[int, float]]) -> dict[tuple[str, ...], dict[int, float]]:
    """As Grafana merges tables: a row that says nothing against a fuller one becomes part of it."""
    merged: dict[tuple[str, ...], dict[int, float]] = {}
    for key, found in sorted(cells.items(), key=lambda row: -sum(map(bool, row[0]))):
        fuller = [each for each in merged if all(not mine or mine == theirs for mine, theirs in zip(key, each, strict=True))]
        for each in fuller or [key]:
            merged.setdefault(each, {}).update(found)
    return merged


def _columns(panel: Mapping[str, Any], count: int) -> list[tuple[str, str]]:
    """Name and unit of each target's column, as the panel's transformations and overrides say."""
    names = next(each["options"]["renameByName"] for each in panel["transformations"] if each["id"] == "organize")
    units = {each["matcher"]["options"]: each["properties"][0]["value"] for each in panel["fieldConfig"]["overrides"]}
    keys = ["Value"] if count == 1 else [f"Value #{chr(ord('A') + index)}" for index in range(count)]
    return [(names[key], units.get(names[key], "short")) for key in keys]


_KINDS: Final = {"stat": _stat, "bargauge": _gauge, "table": _table}


def _color(panel: Mapping[str, Any], name: str, index: int) -> str:
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == name:
            return NAMED[override["properties"][0]["value"]["fixedColor"]]
    return COLORS[index % len(COLORS)]


def told(value: float, unit: str) -> str:
    """*value* as Grafana would write it, nearly."""
    if not math.isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "currencyUSD":
        return f"${_short(value)}"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"
    if unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    return _short(value) + (" /s" if unit == "reqps" else "")


def _short(value: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _round_up(value: float) -> float:
    size: float = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 2, 4, 5, 8, 10) if step * size >= value * 0.999)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
