"""Metrics as plain-text tables, up to 100 columns wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cracklib.metrics import CalibrationError, ClassificationMetrics, Estimate, HeatmapMetrics
from cracklib.scale import Scale, width_class

if TYPE_CHECKING:  # importing scikit-image takes as long as inspecting a photo
    from cracklib.regions import CrackRegion

UNDEFINED = "–"

_BLOCKS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("accuracy", "accuracy"), ("balanced accuracy", "balanced_accuracy"), ("F1", "f1")),
    (("precision", "precision"), ("recall", "recall"), ("false alarms", "false_alarm_rate")),
    (("AUC", "auc"), ("calibration error", "calibration_error")),
)
"""Heading and attribute; with its interval a metric is 20 columns wide, so three stand abreast."""
_NOTE = f"""\
[low, high]: 95 % interval. [chance low, high]: what the calibration error would be, 95 times in
100, if the probabilities were exactly right. {UNDEFINED}: undefined, mostly for want of a class."""


def render_classification(results: Mapping[str, ClassificationMetrics]) -> str:
    """Three tables with a row a source: verdicts, their two kinds of error, probabilities."""
    tables = []
    for block in _BLOCKS:
        rows = [["source", "photos", "cracks", *(heading for heading, _ in block)]]
        for source, metrics in results.items():
            counts = [f"{metrics.photos:6d}", f"{metrics.cracks:6d}"]
            estimates = [_estimate(getattr(metrics, attribute)) for _, attribute in block]
            rows.append([source, *counts, *estimates])
        tables.append(_align(rows))
    return "\n\n".join([*tables, _NOTE])


def render_heatmaps(results: Mapping[str, HeatmapMetrics]) -> str:
    """One table with a row a source."""
    headings = ["PxAP", "best F1", "best IoU", "at heat", "F1 within 2 px", "pointing game"]
    rows = [["source", "photos", *headings]]
    for source, metrics in results.items():
        values = (
            *(metrics.pxap, metrics.f1, metrics.iou, metrics.threshold),
            *(metrics.tolerant_f1, metrics.pointing),
        )
        rows.append([source, f"{metrics.photos:6d}", *(_number(value) for value in values)])
    return _align(rows)


def render_regions(regions: Sequence[CrackRegion], scale: Scale | None) -> str:
    """One table with a row a crack, in millimetres where there is a scale."""
    unit, size = ("mm", scale.mm_per_px) if scale else ("px", 1.0)
    rows = [["crack", *(f"{name}, {unit}" for name in ("length", "mean width", "widest"))]]
    rows[0] += ["direction", "branches", "share, %", "evidence", *(["class"] if scale else [])]
    for number, region in enumerate(regions, start=1):
        angle = region.orientation_deg
        row = [
            f"{number:5d}",
            f"{region.length_px * size:10.0f}",
            f"{region.mean_width_px * size:14.1f}",
            f"{region.max_width_px * size:10.1f}",
            UNDEFINED if angle is None else f"{round(angle) % 180:8d}°",
            f"{region.branches:8d}",
            f"{100 * region.share:8.2f}",
            f"{region.evidence:8.2f}",
        ]
        rows.append([*row, width_class(region.max_width_px * size)] if scale else row)
    return _align(rows)


def _estimate(estimate: Estimate | CalibrationError | None) -> str:
    if estimate is None:
        return UNDEFINED
    if isinstance(estimate, CalibrationError):
        chance = f"chance {estimate.chance_low:.3f}, {estimate.chance_high:.3f}"
        return f"{estimate.value:.3f} [{chance}]"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"


def _align(rows: Sequence[Sequence[str]]) -> str:
    """The rows with each column as wide as its widest cell, and a rule under the first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
