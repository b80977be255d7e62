"""What was measured, as tables: a row a source of photos, a row a map of heat, a row a wall."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from statistics import fmean
from typing import Any

from cracklib.measured import MeasuredHeatmaps, MeasuredRendered, MeasuredVerdicts, Scores
from cracklib.metrics import measure_classification
from ui.text import plain

NOTHING = "–"
_UNBROKEN_DASH = "\N{WORD JOINER}–\N{WORD JOINER}"
HEAT_MAPS = {
    "plain": "Class activation map",
    "refined": "Crack (refined)",
    "darkness": "Local darkness, no model",
}
"""Name in the file and on the page."""
BOTH_HALVES, TEST_HALF = "both", "second"
"""Of the masked photos: what ``refine`` was chosen on is the first half."""

_COLUMNS = {
    "Balanced accuracy": "balanced_accuracy",
    "Cracks found": "recall",
    "False alarms": "false_alarm_rate",
    "AUC": "auc",
    "Calibration error": "calibration_error",
}
"""Heading and name in the card."""
_HEAT_COLUMNS = {
    "PxAP": "pxap",
    "F1": "f1",
    "F1 within 2 px": "tolerant_f1",
    "Pointing game": "pointing",
}


def quality_rows(quality: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row a source, as text; a dash where a source has no such figure."""
    return [
        {
            "Source": plain(source),
            "Cracked / sound": _counts_text(figures),
            **{
                heading: _figure_text(name, figures.get(name)) for heading, name in _COLUMNS.items()
            },
        }
        for source, figures in quality.items()
    ]


def estimate_text(estimate: object, *, as_share: bool = True) -> str:
    """A card's estimate with its interval, in percent or as it is; a dash where it has none.

    A line can only be broken between the two.
    """
    if not isinstance(estimate, Mapping):
        return NOTHING
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if not as_share:
        return f"{value:.3f} ({low:.2f}{_UNBROKEN_DASH}{high:.2f})"
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}% ({100 * low:.0f}{_UNBROKEN_DASH}{100 * high:.0f})"


def _calibration_text(error: object) -> str:
    """A card's calibration error in percent, with what it would be by chance, if the card says."""
    if not isinstance(error, Mapping):
        return NOTHING
    text = f"{100 * error['value']:.1f}\N{NO-BREAK SPACE}%"
    if not {"chance_low", "chance_high"} <= set(error):
        return text
    low, high = 100 * error["chance_low"], 100 * error["chance_high"]
    return f"{text} (chance\N{NO-BREAK SPACE}{low:.0f}{_UNBROKEN_DASH}{high:.0f})"


def heatmap_rows(measured: MeasuredHeatmaps) -> list[dict[str, str]]:
    """A row a source and map, over all its photos; then the mean of the sources, a row a map."""
    rows = []
    over_all = [row for row in measured.heatmaps if row.part == BOTH_HALVES]
    for source in dict.fromkeys(row.source for row in over_all):
        of_source = {row.heat_map: row.metrics for row in over_all if row.source == source}
        for heat_map in (name for name in HEAT_MAPS if name in of_source):
            metrics = of_source[heat_map]
            figures = {heading: getattr(metrics, name) for heading, name in _HEAT_COLUMNS.items()}
            rows.append(_heatmap_row(plain(source), heat_map, str(metrics.photos), figures))
    for heat_map in HEAT_MAPS:
        of_map = [row.metrics for row in over_all if row.heat_map == heat_map]
        if len(of_map) > 1:
            means = {
                heading: fmean(getattr(metrics, name) or 0.0 for metrics in of_map)
                for heading, name in _HEAT_COLUMNS.items()
            }
            rows.append(_heatmap_row("mean of the sources", heat_map, NOTHING, means))
    return rows


def second_half_rows(measured: MeasuredHeatmaps) -> list[dict[str, str]]:
    """The refined map on the photos that nothing was chosen on, a row a source."""
    return [
        _heatmap_row(
            plain(row.source),
            row.heat_map,
            str(row.metrics.photos),
            {heading: getattr(row.metrics, name) for heading, name in _HEAT_COLUMNS.items()},
        )
        for row in measured.heatmaps
        if row.part == TEST_HALF and row.heat_map == "refined"
    ]


def painted_rows(measured: MeasuredHeatmaps) -> list[dict[str, str]]:
    """The share of uncracked photos that heat is drawn on, a row a source."""
    return [
        {"Source": plain(source)}
        | {HEAT_MAPS[name]: f"{100 * share:.2f} %" for name, share in shares.items()}
        for source, shares in measured.painted.items()
    ]


def wall_rows(measured: MeasuredRendered) -> list[dict[str, str]]:
    """How the model judges rendered walls, a row a kind."""
    rows = []
    for wall, scores in measured.by_wall().items():
        metrics = measure_classification(scores.labels, scores.probabilities, measured.threshold)
        rows += quality_rows({wall: metrics.to_dict()})
    columns = ("Source", "Cracked / sound", "Cracks found", "False alarms", "AUC")
    return [
        {"Wall" if column == "Source" else column: row[column] for column in columns}
        for row in rows
    ]


def matrices_html(measured: MeasuredVerdicts) -> str:
    """A confusion matrix a source, as small tables."""
    tables = "".join(
        _matrix_html(source, scores, measured.threshold)
        for source, scores in measured.scores.items()
    )
    return f"<div class='matrices'>{tables}</div>"


def _matrix_html(source: str, scores: Scores, threshold: float) -> str:
    counts = scores.counts(threshold)

    def cell(cracked: bool, called: bool) -> str:
        kind = "right" if cracked == called else "wrong"
        return f"<td class='{kind}'>{counts[cracked, called]}</td>"

    rows = "".join(
        f"<tr><th scope='row'>{title}</th>{cell(cracked, True)}{cell(cracked, False)}</tr>"
        for title, cracked in (("Cracked", True), ("Sound", False))
    )
    return (
        f"<table><caption>{escape(source)}</caption><thead><tr><td></td>"
        "<th scope='col'>called cracked</th><th scope='col'>called sound</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _heatmap_row(
    source: str, heat_map: str, photos: str, figures: Mapping[str, float | None]
) -> dict[str, str]:
    return {
        "Source": source,
        "Map": HEAT_MAPS[heat_map],
        "Photos": photos,
        **{
            heading: NOTHING if value is None else f"{value:.3f}"
            for heading, value in figures.items()
        },
    }


def _figure_text(name: str, figure: object) -> str:
    if name == "calibration_error":
        return _calibration_text(figure)
    return estimate_text(figure, as_share=name != "auc")


def _counts_text(figures: Mapping[str, Any]) -> str:
    photos, cracks = figures.get("photos"), figures.get("cracks")
    if not isinstance(photos, int) or not isinstance(cracks, int):
        return NOTHING
    return f"{cracks:,} / {photos - cracks:,}"
