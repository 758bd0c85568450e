"""Charts as inline SVG: full width, with the same text size on every screen.

Horizontal positions are in percent, vertical ones in pixels. Classes of the style sheet set the
colours. Each picture has a title and a description in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from raysync.cli.job_report.rates import Step
from raysync.cli.output import words

AXIS_HEIGHT = 20
_PLOT_TOP, _PLOT_HEIGHT = 18, 150
_PLOT_UNITS = 1000
_BAR_HEIGHT = 28
_MOST_TICKS = 6
_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200)
_DAY_S = 86_400


def svg(name: str, title: str, description: str, height: float, parts: Sequence[Markup]) -> Markup:
    """Return a picture; *name* is unique in the page, *description* is for screen readers."""
    return Markup(
        '<svg role="img" width="100%" height="{height:.0f}" '
        'aria-labelledby="{name}-title {name}-desc">'
        '<title id="{name}-title">{title}</title><desc id="{name}-desc">{description}</desc>'
        "{parts}</svg>"
    ).format(
        name=name, title=title, description=description, height=height, parts=Markup("").join(parts)
    )


def across(at_s: float, length_s: float) -> str:
    """Return the horizontal position of a moment, in percent."""
    return f"{100 * at_s / length_s:.2f}" if length_s > 0 else "0"


def rate_chart(
    name: str,
    title: str,
    steps: Sequence[Step],
    length_s: float,
    unit: str,
    limit: float | None = None,
    refusals: Sequence[tuple[float, int]] = (),
) -> Markup:
    """Draw rates over time as an area, the *limit* as a line and 429 responses as marks."""
    fastest = max((step.per_second for step in steps), default=0.0)
    top = nice_top(max(fastest, limit or 0.0))
    bottom = _PLOT_TOP + _PLOT_HEIGHT
    description = f"At most {words.rate(fastest)} {unit}, over {words.seconds(length_s)}."
    parts = [_levels(top, unit), _area(steps, length_s, top)]
    if limit is not None:
        description += f" The limit is {words.rate(limit)} {unit}."
        parts.append(_limit(limit, top, unit))
    if refusals:
        hits = sum(count for _, count in refusals)
        description += f" {words.counted(hits, '429 response')}, marked on the time axis."
    parts += [
        Markup('<circle class="refusal" cx="{}%" cy="{}" r="5"><title>{}</title></circle>').format(
            across(at_s, length_s), bottom, f"{words.clock(at_s)}: {count:,} × 429"
        )
        for at_s, count in refusals
    ]
    parts.append(time_axis(length_s, bottom + 15))
    return svg(name, title, description, bottom + AXIS_HEIGHT, parts)


def shares_bar(name: str, title: str, parts: Sequence[tuple[str, str, float]]) -> Markup:
    """Draw the parts of a whole as one bar; a part is a class, a label and seconds."""
    whole = sum(size for _, _, size in parts) or 1.0
    drawn, left = [], 0.0
    for style, label, size in parts:
        width = 100 * size / whole
        drawn.append(
            Markup(
                '<rect class="{}" x="{:.2f}%" y="0" width="{:.2f}%" height="{}">'
                "<title>{}</title></rect>"
            ).format(style, left, width, _BAR_HEIGHT, f"{label}: {words.seconds(size)}")
        )
        left += width
    description = "; ".join(f"{label}: {words.seconds(size)}" for _, label, size in parts)
    return svg(name, title, description, _BAR_HEIGHT, drawn)


def nice_top(highest: float) -> float:
    """Return a round number at least 5 % above *highest*: 50 for 47, 4,000 for 3,210."""
    if highest <= 0:
        return 1.0
    wanted = highest * 1.05
    power = 10.0 ** math.floor(math.log10(wanted))
    return float(
        next(digit for digit in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if digit * power >= wanted) * power
    )


def tick_step_s(length_s: float) -> int:
    """Return the distance between marks of a time axis, in seconds, for at most six marks."""
    fitting = (step_s for step_s in _TICKS_S if length_s / step_s <= _MOST_TICKS)
    return next(fitting, math.ceil(length_s / _MOST_TICKS / _DAY_S) * _DAY_S)


def time_axis(length_s: float, baseline: float) -> Markup:
    """Draw the labels of the marks, in time since the job started."""
    step_s = tick_step_s(length_s)
    labels = []
    for number in range(int(length_s // step_s) + 1):
        share = number * step_s / length_s if length_s else 0.0
        anchor = "start" if number == 0 else "end" if share > 0.94 else "middle"
        labels.append(
            Markup('<text class="tick" x="{:.2f}%" y="{:.0f}" text-anchor="{}">{}</text>').format(
                100 * share, baseline, anchor, words.clock(number * step_s)
            )
        )
    return Markup("").join(labels)


def time_lines(length_s: float, top: float, bottom: float) -> Markup:
    """Draw vertical lines at the marks of the time axis."""
    step_s = tick_step_s(length_s)
    line = Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="{1:.0f}" y2="{2:.0f}"/>')
    return Markup("").join(
        line.format(across(number * step_s, length_s), top, bottom)
        for number in range(1, int(length_s // step_s) + 1)
    )


def _levels(top: float, unit: str) -> Markup:
    """Draw lines at zero, half and full height, with their labels."""
    line = Markup(
        '<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        '<text class="level" x="0" y="{above:.1f}">{label}</text>'
    )
    labels = {0.0: "", top / 2: f"{top / 2:,g}", top: f"{top:,g} {unit}"}
    return Markup("").join(
        line.format(y=_height(level, top), above=_height(level, top) - 4, label=label)
        for level, label in labels.items()
    )


def _limit(limit: float, top: float, unit: str) -> Markup:
    y = _height(limit, top)
    return Markup(
        '<line class="limit" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        '<text class="limit-label" x="100%" y="{above:.1f}" text-anchor="end">{label}</text>'
    ).format(y=y, above=y - 4, label=f"limit {limit:,g} {unit}")


def _height(level: float, top: float) -> float:
    return _PLOT_TOP + _PLOT_HEIGHT * (1 - level / top)


def _area(steps: Sequence[Step], length_s: float, top: float) -> Markup:
    """Draw the rates in a nested picture that is stretched to the width; line widths are not."""
    if not steps or length_s <= 0:
        return Markup("")
    points = [(steps[0].from_s, 0.0)]
    for step in steps:
        points += [(step.from_s, step.per_second), (step.until_s, step.per_second)]
    points.append((steps[-1].until_s, 0.0))
    outline = " ".join(
        f"{_PLOT_UNITS * min(at_s / length_s, 1.0):.1f},{_PLOT_UNITS * (1 - rate / top):.0f}"
        for at_s, rate in points
    )
    return Markup(
        '<svg y="{}" width="100%" height="{}" viewBox="0 0 {units} {units}" '
        'preserveAspectRatio="none"><polygon class="area" points="{}"/></svg>'
    ).format(_PLOT_TOP, _PLOT_HEIGHT, outline, units=_PLOT_UNITS)
