"""A model card's measurements as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ui.result import plain

_COLUMNS = {
    "Balanced accuracy": "balanced_accuracy",
    "Cracks found": "recall",
    "False alarms": "false_alarm_rate",
    "Calibration error": "calibration_error",
}
"""Heading and name in the card."""


def quality_rows(quality: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row a source, as text; a dash where a source has no such figure."""
    return [
        {
            "Source": plain(source),
            "Photos": str(figures.get("photos", "–")),
            **{heading: estimate_text(figures.get(name)) for heading, name in _COLUMNS.items()},
        }
        for source, figures in quality.items()
    ]


def estimate_text(estimate: object) -> str:
    """A card's estimate with its interval, in percent; a dash where it has none."""
    if not isinstance(estimate, Mapping):
        return "–"
    value, low, high = (100 * estimate[key] for key in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.0f}–{high:.0f})"
