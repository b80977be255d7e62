"""The result: verdict, pictures, colour bar, controls, downloads."""

from __future__ import annotations

import io
from pathlib import PurePath
from urllib.parse import urlencode

import numpy as np
import streamlit as st

from cracklib.config import DEFAULT_COLORMAP, DEFAULT_OPACITY, DISPLAY_THRESHOLD
from cracklib.overlay import COLORMAPS, fit_heat, render_swatch
from cracklib.photo import encode_png
from cracklib.pipeline import Inspection
from ui.cracks import measure_with_ruler
from ui.model import model_in_use
from ui.scan import scan_in_link
from ui.session import Result
from ui.text import percent, plain
from ui.viewer import show_viewer

DEFAULTS: dict[str, float | str] = {
    "opacity": DEFAULT_OPACITY,
    "threshold": DISPLAY_THRESHOLD,
    "colormap": DEFAULT_COLORMAP,
    "heat": "Crack",
}
"""The controls: their keys, in the session and in the link, and what reset gives."""

_CLOSE_CALL = 0.1
_HEAT_MAPS = {
    "Crack": "crack",
    "Class activation map": "activation",
    "As in the article": "article",
}
"""What each choice of heat is to ``cracklib``; the link has the choice as it is shown."""
HEAT_MAP_NAMES = {heat_map: name for name, heat_map in _HEAT_MAPS.items()}
_SPOKEN = {"crack": "a crack", "no_crack": "no crack"}
_TITLES = {"crack": "Crack found", "no_crack": "No crack found"}
_CAPTIONS = {
    "crack": "Where the crack runs",
    "activation": "Where the evidence is",
    "article": "What speaks for {}, the verdict",
}


def show_result(result: Result) -> None:
    """Lay out everything about one inspected photo."""
    inspection = result.inspection
    with st.container(border=True, key="result"):
        st.html(_verdict_html(inspection, result.card.verdict_threshold))
        _show_heat(result)
        height, width = inspection.photo.size
        st.caption(
            f"{plain(inspection.photo.name)} · {width} × {height} px · "
            f"looked at in {inspection.seconds:.2f} s · "
            f"model {plain(inspection.model_name)}, {inspection.model_sha256[:8]}"
        )


def heat_map_shown() -> str:
    """Which of ``config.HEAT_MAPS`` is on the page."""
    return _HEAT_MAPS[st.session_state.get("heat", DEFAULTS["heat"])]


@st.fragment
def _show_heat(result: Result) -> None:
    """The viewer and its controls: a slider let go reruns this and nothing else."""
    asked = {key: st.query_params[key] for key in DEFAULTS if key in st.query_params}
    viewer = st.container()
    with st.container(key="controls"):
        heat_column, *columns = st.columns([11, 4, 4, 10], gap="small")
        opacity_column, threshold_column, colormap_column = columns
    heat_name = heat_column.segmented_control(
        "Heat",
        list(_HEAT_MAPS),
        default=DEFAULTS["heat"],
        required=True,
        wrap=True,
        key="heat",
        bind="query-params",
        help="The crack itself, found by its darkness where the network sees evidence; or that "
        "evidence alone, as coarse as the network sees it; or, as in the article this began with, "
        "the map of the class that the verdict names, stretched to its own maximum.",
    )
    opacity = opacity_column.slider(
        "Opacity of the heat",
        0.0,
        1.0,
        DEFAULT_OPACITY,
        0.05,
        format="percent",
        key="opacity",
        bind="query-params",
    )
    threshold = threshold_column.slider(
        "Hide heat below",
        0.0,
        1.0,
        DISPLAY_THRESHOLD,
        0.05,
        format="percent",
        key="threshold",
        bind="query-params",
        help="Percent of the scale of the colour bar. The verdict does not depend on it.",
    )
    colormap = colormap_column.pills(
        "Colormap",
        COLORMAPS,
        default=DEFAULT_COLORMAP,
        required=True,
        wrap=True,
        key="colormap",
        bind="query-params",
    )
    chosen = {"opacity": opacity, "threshold": threshold, "colormap": colormap, "heat": heat_name}
    st.html(f"<style>{_swatch_css()}</style>")

    inspection = result.inspection
    heat_map = _HEAT_MAPS[heat_name]
    with viewer:
        show_viewer(
            result,
            heat_map,
            {"opacity": opacity, "threshold": threshold, "colormap": colormap},
            (
                _CAPTIONS[heat_map].format(_SPOKEN[inspection.verdict]),
                "No evidence above the threshold",
            ),
            f"{_title(inspection)}, {percent(inspection.probability)} probability of a crack",
            on_ruler=measure_with_ruler,
        )

    with st.container(horizontal=True, vertical_alignment="center", key="actions"):
        stem = PurePath(inspection.photo.name).stem or "photo"
        st.download_button(
            "Overlay, PNG",
            lambda: encode_png(inspection.overlay(opacity, colormap, threshold, heat_map)),
            file_name=f"{stem}_overlay.png",
            mime="image/png",
            icon=":material/download:",
            on_click="ignore",
            help="At the photo's full size, drawn as shown here.",
        )
        st.download_button(
            "Heatmap, NPY",
            lambda: _npy_bytes(inspection, heat_map),
            file_name=f"{stem}_heatmap.npy",
            mime="application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
            help="NumPy float32 (height, width) of the photo, 0 to 1 on the colour bar's scale.",
        )
        with st.popover("Share", icon=":material/link:"):
            _show_link(result, chosen)
        st.button(
            "Reset the controls", icon=":material/restart_alt:", type="tertiary", on_click=_reset
        )
    ignored = [key for key, text in asked.items() if not _is_choice(key, text)]
    if ignored:
        st.caption(f"The link's {', '.join(ignored)} can't be used; the default is shown.")


def _reset() -> None:
    st.session_state.update(DEFAULTS)


def _is_choice(key: str, text: str) -> bool:
    """Whether the control ``key`` can stand where a link says."""
    if key in ("colormap", "heat"):
        return text in (COLORMAPS if key == "colormap" else _HEAT_MAPS)
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _show_link(result: Result, chosen: dict[str, float | str]) -> None:
    if result.link is None:
        st.markdown("A photo of your own is not kept on the server, so it has no link.")
        return
    changed = {key: value for key, value in chosen.items() if value != DEFAULTS[key]}
    query = urlencode(result.link | changed | scan_in_link())
    st.markdown(
        "Whoever opens this link sees the same photo, drawn the same way."
        + (" There it is judged by the bundled model, not by yours." if model_in_use() else "")
    )
    st.code((st.context.url or "") + (f"?{query}" if query else ""), language=None, wrap_lines=True)


def _npy_bytes(inspection: Inspection, heat_map: str) -> bytes:
    file = io.BytesIO()
    np.save(file, fit_heat(inspection.heat_of(heat_map), inspection.photo.size))
    return file.getvalue()


def _title(inspection: Inspection) -> str:
    return "Unsure" if inspection.doubts else _TITLES[inspection.verdict]


def _verdict_html(inspection: Inspection, threshold: float) -> str:
    probability = inspection.probability
    kind = "crack" if inspection.verdict == "crack" else "clear"
    sentence = f"Of 100 photos scored like this one, {_how_many(probability)}."
    if inspection.doubts:
        told = " ".join(f"{doubt.reason} {doubt.advice}" for doubt in inspection.doubts)
        sentence = f"{_TITLES[inspection.verdict]}, but don't rely on it. {told}"
        kind = "unsure"
    elif abs(probability - threshold) < _CLOSE_CALL:
        sentence += " A close call: photograph it again, nearer and in even light."
    elif kind == "clear" and inspection.crack_heat.max() >= DISPLAY_THRESHOLD:
        sentence += " Look at what is coloured all the same: by itself it could be one."
    return f"""
<section class="verdict {kind}" aria-label="Verdict">
  <div class="sign"></div>
  <div class="words"><h2>{_title(inspection)}</h2><p>{sentence}</p></div>
  <div class="likelihood">
    <p><strong>{percent(probability)}</strong> probability of a crack</p>
    <div class="gauge" role="meter" aria-label="Probability of a crack" aria-valuemin="0"
      aria-valuemax="100" aria-valuenow="{100 * probability:.0f}">
      <div style="width:{100 * probability:.1f}%"></div>
      <span style="left:{100 * threshold:.1f}%"></span>
    </div>
    <p class="note">Called a crack from {100 * threshold:.0f} %, the mark on the bar.</p>
  </div>
</section>"""


def _how_many(probability: float) -> str:
    count = round(100 * probability)
    if count in (0, 100):
        return f"{'nearly none' if count == 0 else 'nearly all'} show a crack"
    return f"about {count} {'shows' if count == 1 else 'show'} a crack"


def _swatch_css() -> str:
    return "\n".join(
        f".st-key-colormap button:nth-of-type({number})::before {{background:{_gradient(name)}}}"
        for number, name in enumerate(COLORMAPS, start=1)
    )


def _gradient(colormap: str) -> str:
    colours = ",".join(f"rgb({r} {g} {b})" for r, g, b in render_swatch(colormap, 17, 1)[0])
    return f"linear-gradient(to right,{colours})"
