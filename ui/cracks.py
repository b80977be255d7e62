"""The cracks of the photo shown, measured: a ranked list, the one chosen from near, downloads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import streamlit as st

from cracklib.photo import encode_jpeg, encode_png
from cracklib.pipeline import Inspection
from ui.errors import errors_told
from ui.session import Result
from ui.viewer import look_at, photo_id, ruler_scale

if TYPE_CHECKING:
    from cracklib.regions import CrackRegion
    from cracklib.scale import Scale

_VIEW_SIDE_PX = 900
_MOST_SHOWN = 200
_NONE, _NUMBER, _MARKER = "Pixels only", "Millimetres per pixel", "Marker in the photo"
_RULER = "Two points"


@st.fragment
def show_cracks(result: Result) -> None:
    """Offer to measure; then the list beside the photo, and a click on a row goes near."""
    if not st.toggle("Measure the cracks", key="measure", persist_state="session"):
        return
    with errors_told(st.error):
        regions = _measured(result.inspection)
        if not regions:
            st.caption(
                "Nothing to measure: the evidence follows no line that is darker than the wall."
            )
            return
        scale = None
        with errors_told(st.warning):
            scale = _ask_scale(result)
        listed, seen = st.columns([8, 5], gap="medium")
        with listed:
            chosen = _show_list(regions, scale)
            _go_near(result, regions, chosen)
        with seen:
            _show_view(result.inspection, regions, chosen)
        _show_downloads(result.inspection, regions, scale)


def measure_with_ruler() -> None:
    """Have the cracks measured, at the scale that the viewer's ruler gave."""
    st.session_state.update({"measure": True, "scale-way": _RULER})


def _measured(inspection: Inspection) -> tuple[CrackRegion, ...]:
    """Measured once for each inspection."""
    from cracklib.measurement import measure_cracks  # brings scikit-image, a second to import

    kept = st.session_state.get("measured")
    if kept is None or kept[0] is not inspection:
        with st.spinner("Measuring …"):
            kept = st.session_state.measured = (inspection, measure_cracks(inspection))
        # A row chosen in the list before says nothing of this one.
        st.session_state["cracks-number"] = st.session_state.get("cracks-number", 0) + 1
        st.session_state["crack-near"] = None
    regions: tuple[CrackRegion, ...] = kept[1]
    return regions


def _ask_scale(result: Result) -> Scale | None:
    """Raises ``ScaleError``."""
    from cracklib.scale import MARKER_DICTIONARY, Scale, render_marker, scale_from_marker

    with st.container(horizontal=True, vertical_alignment="bottom", key="scale"):
        way = st.segmented_control(
            "Scale",
            (_NONE, _RULER, _NUMBER, _MARKER),
            default=_NONE,
            required=True,
            key="scale-way",
            persist_state="session",
        )
        if way == _RULER:
            scale = ruler_scale(result)
            st.caption(
                f"{scale.mm_per_px:.3g} mm a pixel, by the ruler in the viewer"
                if scale
                else "Press Ruler in the viewer, click two points whose distance you know, type it."
            )
            return scale
        if way == _NUMBER:
            mm_per_px = st.number_input(
                _NUMBER,
                min_value=0.0001,
                value=None,
                format="%.4f",
                key=f"scale-number-{photo_id(result)}",  # another photo has another scale
                persist_state="session",
            )
            return None if mm_per_px is None else Scale(mm_per_px)
        if way == _MARKER:
            side_mm = st.number_input(
                "Side of its black square, mm",
                min_value=1.0,
                value=50.0,
                key="scale-marker",
                persist_state="session",
            )
            st.download_button(
                "Marker to print",
                lambda: encode_png(render_marker()),
                file_name="marker.png",
                mime="image/png",
                icon=":material/download:",
                on_click="ignore",
                help=f"OpenCV's {MARKER_DICTIONARY}, number 0. Lay it flat on the wall.",
            )
            return scale_from_marker(result.inspection.photo.pixels, side_mm)
    return None


def _show_list(regions: Sequence[CrackRegion], scale: Scale | None) -> int | None:
    """The table; returns which row is chosen."""
    from cracklib.scale import WIDTH_CLASS_NOTE, width_class

    unit, size = ("mm", scale.mm_per_px) if scale else ("px", 1.0)
    rows = []
    for number, region in enumerate(regions[:_MOST_SHOWN], start=1):
        angle = region.orientation_deg
        row: dict[str, Any] = {
            "crack": number,
            f"length, {unit}": round(region.length_px * size),
            f"mean, {unit}": round(region.mean_width_px * size, 1),
            f"widest, {unit}": round(region.max_width_px * size, 1),
        }
        if scale:
            row["class"] = width_class(region.max_width_px * size)
        row["direction"] = "–" if angle is None else f"{round(angle) % 180}°"
        row["% of photo"] = round(100 * region.share, 2)
        rows.append(row)
    chosen = st.dataframe(
        rows,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"cracks-{unit}-{st.session_state['cracks-number']}",
    )
    if len(regions) > _MOST_SHOWN:
        st.caption(f"The first {_MOST_SHOWN} of {len(regions)}; the downloads hold all.")
    thin = "Up to 2 px a crack is thinner than the photo's own blur: its width is an estimate."
    st.caption(f"{thin} {WIDTH_CLASS_NOTE}" if scale else thin)
    picked = chosen.selection.rows
    return picked[0] if picked else None


def _go_near(result: Result, regions: Sequence[CrackRegion], chosen: int | None) -> None:
    """Let the viewer enlarge a crack that was chosen just now."""
    before = st.session_state.get("crack-near")
    st.session_state["crack-near"] = chosen
    if chosen is not None and chosen != before:
        look_at(result, regions[chosen].box)
        st.rerun()


def _show_view(inspection: Inspection, regions: Sequence[CrackRegion], chosen: int | None) -> None:
    from cracklib.region_view import render_region_view

    view = render_region_view(inspection.photo.pixels, regions[:_MOST_SHOWN], chosen, _VIEW_SIDE_PX)
    caption = "Choose a row to go near" if chosen is None else f"Crack {chosen + 1}, from near"
    st.image(encode_jpeg(view), width="stretch", alt="The cracks outlined", caption=caption)


def _show_downloads(
    inspection: Inspection, regions: Sequence[CrackRegion], scale: Scale | None
) -> None:
    from cracklib.export import to_coco, to_csv, to_geojson
    from cracklib.measurement import exported_photo

    photo = exported_photo(inspection, scale)
    stem = PurePath(photo.name).stem or "photo"
    with st.container(horizontal=True, key="cracks-downloads"):
        for label, suffix, mime, make in (
            ("CSV", "csv", "text/csv", lambda: to_csv(regions, photo)),
            (
                "GeoJSON",
                "geojson",
                "application/geo+json",
                lambda: json.dumps(to_geojson(regions, photo)),
            ),
            (
                "COCO",
                "coco.json",
                "application/json",
                lambda: json.dumps(to_coco(regions, photo)),
            ),
        ):
            st.download_button(
                label,
                make,
                file_name=f"{stem}_cracks.{suffix}",
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"cracks-{suffix}",
            )
