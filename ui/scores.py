"""What was measured of the model, laid out: quality by source, curves, matrices, heatmaps."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from cracklib.measured import MeasuredHeatmaps, MeasuredVerdicts
from cracklib.weights import ModelCard
from ui import charts
from ui.quality import (
    heatmap_rows,
    matrices_html,
    painted_rows,
    quality_rows,
    second_half_rows,
)

_COLOURS = ("#3b7dd8", "#d9662b", "#2a8c62", "#a765c9", "#9a7b16", "#d0508f", "#1f8ea3", "#7b8a99")
"""Three to one and better against the backgrounds of both themes."""
_LEAST_PHOTOS = 5
_DASHES = ((1, 0), (7, 3), (2, 2), (9, 3, 2, 3))


def show_quality(card: ModelCard, measured: MeasuredVerdicts | None) -> None:
    """The table by source: as ``measured`` last or, without that, as the card has it."""
    quality = measured.metrics if measured else card.quality
    if not quality:
        st.markdown("The card of this model holds no measurements.")
        return
    st.markdown(
        "On photos that were never trained on, but did choose the epoch and the temperature, which "
        "flatters the model a little; 95 % intervals in brackets. The worst row says more than the "
        "best, and *overall* the least: it is mostly the source with the most photos."
    )
    st.table(quality_rows(quality), alt="Quality of the verdicts by source of the photos")
    st.caption(
        "Balanced accuracy: the mean of cracks found and of sound photos passed. Cracks found: of "
        "the cracked, the share called so. False alarms: of the sound, the share called cracked. "
        "AUC: how often a cracked photo scores above a sound one. Calibration error: how far "
        "probabilities are from what comes true; chance: how far exactly right ones would seem to "
        "be, 95 times in 100, on as many photos."
    )
    if measured is None:
        st.caption("From the model's card, written when it was trained.")


def show_curves(measured: MeasuredVerdicts) -> None:
    """ROC, precision against recall, calibration, a line a source; confusion matrices."""
    lines = [
        charts.Line(
            source,
            _COLOURS[number % len(_COLOURS)],
            _DASHES[number % len(_DASHES)],
            scores.labels,
            scores.probabilities,
            measured.threshold,
        )
        for number, (source, scores) in enumerate(measured.scores.items())
    ]
    roc, precision_recall = st.columns(2, gap="large")
    of_both_classes = [line for line in lines if line.has_both_classes]
    if of_both_classes:
        _show_chart(roc, "ROC", of_both_classes)
        _show_chart(precision_recall, "Precision–recall", of_both_classes)
    calibration, matrices = st.columns(2, gap="large")
    _show_chart(calibration, "Calibration", lines)
    calibration.caption(f"Points of fewer than {_LEAST_PHOTOS} photos are left out.")
    matrices.subheader("Confusion matrices", anchor=False)
    matrices.html(matrices_html(measured))


def _show_chart(column: DeltaGenerator, kind: str, lines: Sequence[charts.Line]) -> None:
    column.subheader(kind, anchor=False)
    column.altair_chart(
        charts.draw_curves(kind, lines, _LEAST_PHOTOS),
        width="stretch",
        alt=f"{kind} of the model, a line for each of {', '.join(line.name for line in lines)}",
    )
    column.caption(charts.EXPLAINED[kind])


def show_heatmaps(measured: MeasuredHeatmaps) -> None:
    """How well each map follows the cracks, and how much it paints where there is none."""
    st.markdown(
        "Against masks of cracks that trained nothing, pixel by pixel. **PxAP**: precision over "
        "all thresholds of the heat, weighted by what each finds. **F1**: at the best threshold; "
        "beside it, the F1 that forgives 2 px. **Pointing game**: how often the hottest point lies "
        "within 15 px of the crack. Masonry is of a set never trained on; crops of the tile and "
        "slab photos were trained on, so read their rows as a fit."
    )
    st.table(heatmap_rows(measured), alt="How well each heatmap follows the cracks, by source")
    if second := second_half_rows(measured):
        st.markdown(
            "The few numbers in the refining were chosen on the first half of these photos. On the "
            "second half alone:"
        )
        st.table(second, alt="The refined heatmap on the photos that nothing was chosen on")
    st.markdown("On sound photos, the mean share that heat is drawn on, at the default threshold:")
    st.table(painted_rows(measured), alt="Share of sound photos that heat is drawn on, by source")


def show_reproduction() -> None:
    """The command behind each figure."""
    st.markdown(
        "From a clone of the repository, with DATA the labelled photos as `weights/TRAINING.md` "
        "describes them, all of the above in one go:"
    )
    st.code("weights/measure DATA", language="sh")
    st.markdown("or one by one:")
    st.code(
        "# quality by source, curves, matrices\n"
        "python -m cracklib evaluate DATA/val --out weights/measured/verdicts.json\n"
        "# heatmaps against masks, heat on sound photos\n"
        "python -m benchmarks.refined_heat DATA --out weights/measured/heatmaps.json\n"
        "# rendered walls\n"
        "python -m benchmarks.rendered_walls --out weights/measured/rendered.json\n"
        "# widths and lengths of cracks (docs/crack-widths.png)\n"
        "python -m benchmarks.crack_widths\n"
        "# the model itself: on 2 cores about nine hours with AMX, 23 without\n"
        "weights/retrain DATA FOLDER",
        language="sh",
        wrap_lines=True,
    )
