"""Curves of how good verdicts and probabilities are, a line a model or a source of photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from cracklib.metrics import precision_recall_curve, reliability_curve, roc_curve

HEIGHT_PX = 380
EXPLAINED = {
    "ROC": "Cracks found against false alarms at every threshold: the nearer the upper left "
    "corner, the better. The dot is where the model's verdicts are made.",
    "Precision–recall": "How many of those called cracked are, against how many of the cracked "
    "are called so: the nearer the upper right corner, the better. The dot is where the model's "
    "verdicts are made.",
    "Calibration": "Probabilities against how often they came true: on the dotted line they mean "
    "what they say. The larger a dot, the more photos it stands for.",
}
"""The kinds of curve that ``draw_curves`` knows, and how each is read."""


@dataclass(frozen=True, eq=False)
class Line:
    """What one line of a chart shows: ``labels`` (n,), True for cracked, ``probabilities`` (n,) of
    a crack, and the ``threshold`` from which a photo is called cracked.
    """

    name: str
    colour: str
    dash: tuple[int, int]
    labels: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    threshold: float

    @property
    def has_both_classes(self) -> bool:
        """Without them there is no curve but of the calibration."""
        return bool(self.labels.any() and not self.labels.all())


def draw_curves(kind: str, lines: Sequence[Line], least_photos: int = 1) -> alt.LayerChart:
    """The chart of one of the kinds in ``EXPLAINED``.

    Of the calibration, points that stand for fewer than ``least_photos`` are left out.
    """
    if kind == "ROC":
        chart = _roc_chart(lines)
    elif kind == "Precision–recall":
        chart = _precision_recall_chart(lines)
    else:
        chart = _calibration_chart(lines, least_photos)
    return chart.properties(height=HEIGHT_PX)


def _roc_chart(lines: Sequence[Line]) -> alt.LayerChart:
    points, verdicts = [], []
    for line in lines:
        curve = roc_curve(line.labels, line.probabilities)
        points += _points(line, curve.false_alarm_rate, curve.recall)
        called = line.probabilities >= line.threshold
        verdicts += _points(line, [called[~line.labels].mean()], [called[line.labels].mean()])
    axes = _axes(lines, "False alarms, share of the sound", "Recall, share of the cracked")
    return _diagonal() + _line(lines, points, axes, "linear") + _dots(verdicts, axes)


def _precision_recall_chart(lines: Sequence[Line]) -> alt.LayerChart:
    points, verdicts = [], []
    for line in lines:
        curve = precision_recall_curve(line.labels, line.probabilities)
        points += _points(line, curve.recall, curve.precision)
        called = line.probabilities >= line.threshold
        if called.any():
            verdicts += _points(line, [called[line.labels].mean()], [line.labels[called].mean()])
    axes = _axes(lines, "Recall, share of the cracked", "Precision")
    return _line(lines, points, axes, "step-before") + _dots(verdicts, axes)


def _calibration_chart(lines: Sequence[Line], least_photos: int) -> alt.LayerChart:
    points = []
    for line in lines:
        photos, probability, cracked = reliability_curve(line.labels, line.probabilities)
        points += [
            point | {"photos": int(count)}
            for point, count in zip(_points(line, probability, cracked), photos, strict=True)
            if count >= least_photos
        ]
    axes = _axes(lines, "Mean probability given", "Share that is cracked")
    size = alt.Size("photos:Q", legend=None, scale=alt.Scale(range=[30, 250]))
    return _diagonal() + _line(lines, points, axes, "linear") + _dots(points, axes, size)


def _points(line: Line, x: Sequence[float], y: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {"line": line.name, "x": float(a), "y": float(b), "order": i}
        for i, (a, b) in enumerate(zip(x, y, strict=True))
    ]


def _axes(lines: Sequence[Line], x_title: str, y_title: str) -> dict[str, Any]:
    scale = alt.Scale(domain=[0, 1])
    axis = alt.Axis(format="%", tickCount=5)
    return {
        "x": alt.X("x:Q", title=x_title, scale=scale, axis=axis),
        "y": alt.Y("y:Q", title=y_title, scale=scale, axis=axis),
        "color": alt.Color(
            "line:N",
            title=None,
            scale=alt.Scale(
                domain=[line.name for line in lines], range=[line.colour for line in lines]
            ),
            legend=alt.Legend(
                orient="bottom",
                columns=2,
                symbolType="stroke",
                symbolStrokeWidth=3,
                symbolSize=500,
            ),
        ),
    }


def _line(
    lines: Sequence[Line], points: list[dict[str, Any]], axes: dict[str, Any], interpolate: str
) -> alt.Chart:
    dash = alt.StrokeDash(
        "line:N",
        scale=alt.Scale(
            domain=[line.name for line in lines], range=[list(line.dash) for line in lines]
        ),
        legend=None,
    )
    return (
        alt.Chart(alt.Data(values=points))
        .mark_line(interpolate=interpolate, strokeWidth=2.5, clip=False)
        .encode(**axes, strokeDash=dash, order="order:Q")
    )


def _dots(
    points: list[dict[str, Any]], axes: dict[str, Any], size: alt.Size | None = None
) -> alt.Chart:
    tooltip = [
        alt.Tooltip("line:N", title="Line"),
        alt.Tooltip("x:Q", title=axes["x"]["title"], format=".1%"),
        alt.Tooltip("y:Q", title=axes["y"]["title"], format=".1%"),
    ]
    if size is not None:
        tooltip.append(alt.Tooltip("photos:Q", title="Photos"))
    dots = alt.Chart(alt.Data(values=points)).mark_circle(opacity=1, size=90)
    return dots.encode(**axes, tooltip=tooltip, **({} if size is None else {"size": size}))


def _diagonal() -> alt.Chart:
    ends = alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}])
    line = alt.Chart(ends).mark_line(strokeDash=[2, 4], strokeWidth=1, color="#888888")
    return line.encode(x="x:Q", y="y:Q")
