"""The viewer: photo and heat as layers that the browser blends, enlarges, wipes and reads.

A Streamlit component (v2) written by hand, in ``viewer.js``. It gets photo and heat as files of
Streamlit's media manager, and listens to the sliders in the page itself, so that the picture
follows them before the server hears of it.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from streamlit.runtime import get_instance

from cracklib.overlay import COLORMAPS, colormap_table, fit_heat
from cracklib.scale import Scale, scale_from_points
from ui.session import DISPLAY_SIDE_PX, Result

_FOLDER = Path(__file__).parent
_KEY = "viewer"
_FOCUS, _RULER, _RULER_SET = "_viewer_focus", "_viewer_ruler", "_viewer_ruler_set"

_mount = st.components.v2.component(
    "photo_viewer",
    html=(_FOLDER / "viewer.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "viewer.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "viewer.js").read_text(encoding="utf-8"),
)

Box = tuple[float, float, float, float]
"""(x, y, width, height) in the photo's pixels."""


def show_viewer(
    result: Result,
    heat_map: str,
    controls: dict[str, float | str],
    captions: tuple[str, str],
    verdict: str,
    on_ruler: Callable[[], None],
) -> None:
    """The photo of ``result`` under its heat, ``heat_map`` of ``config.HEAT_MAPS``.

    ``controls`` holds opacity, threshold and colormap, for where the browser can't find the
    sliders; ``captions`` are for heat above the threshold and for none. ``verdict``
    is for screen readers, which are told when it or the photo changes. When a scale is set with the
    ruler, ``on_ruler`` is called and the whole page runs: it is used elsewhere on it.
    """

    def keep_ruler() -> None:
        st.session_state[_RULER] = st.session_state[_KEY].ruler
        st.session_state[_RULER_SET] = True
        on_ruler()

    inspection = result.inspection
    height, width = inspection.photo.size
    heat_height, heat_width = _layer_size(inspection.heat_of(heat_map).shape)
    shown = photo_id(result)
    focus = st.session_state.get(_FOCUS)
    _mount(
        key=_KEY,
        data={
            "photo": {
                "id": shown,
                "name": inspection.photo.name,
                "width": width,
                "height": height,
                "url": _serve(result.jpeg, "image/jpeg", "photo"),
                "fullUrl": _serve(result.full_jpeg, "image/jpeg", "full photo"),
            },
            "heat": {
                "url": _serve(_heat_layer(result, heat_map), "application/octet-stream", "heat"),
                "width": heat_width,
                "height": heat_height,
            },
            "bar": _colour_bar(result, heat_map),
            "captions": captions,
            "verdict": verdict,
            "colormaps": _colormaps(),
            "controls": controls,
            "focus": focus["of"] if focus and focus["photo"] == shown else None,
            "ruler": _ruler_on(result),
        },
        on_ruler_change=keep_ruler,
    )
    if st.session_state.pop(_RULER_SET, False):
        st.rerun()


def look_at(result: Result, box: Box) -> None:
    """Let the viewer enlarge a part of the photo, at the page's next run."""
    focus = st.session_state.get(_FOCUS)
    number = focus["of"]["number"] + 1 if focus else 1
    st.session_state[_FOCUS] = {"photo": photo_id(result), "of": {"box": box, "number": number}}


def ruler_scale(result: Result) -> Scale | None:
    """The scale that the ruler gave on this photo, None where none. Raises ``ScaleError``."""
    ruler = _ruler_on(result)
    if ruler is None:
        return None
    a, b = ((float(x), float(y)) for x, y in ruler["points"])
    return scale_from_points(a, b, float(ruler["mm"]))


def _ruler_on(result: Result) -> dict[str, Any] | None:
    """What the viewer sent when the ruler was last used, if that was on this photo."""
    ruler: dict[str, Any] | None = st.session_state.get(_RULER)
    return ruler if ruler and ruler["photo"] == photo_id(result) else None


def photo_id(result: Result) -> str:
    """The same for all inspections of a photo."""
    return sha256(result.jpeg).hexdigest()[:16]


def _layer_size(size: tuple[int, int]) -> tuple[int, int]:
    """Of heat of ``size``: that of a searched photo is as large as the photo."""
    shrink = min(1.0, DISPLAY_SIDE_PX / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def _heat_layer(result: Result, heat_map: str) -> bytes:
    """8 bits a cell, deflated; made once for each result and map."""
    if heat_map not in result.heat_layers:
        heat = result.inspection.heat_of(heat_map)
        heat = fit_heat(heat, _layer_size(heat.shape))
        heat = np.rint(heat * 255).astype(np.uint8)
        result.heat_layers[heat_map] = zlib.compress(heat.tobytes(), level=1)
    return result.heat_layers[heat_map]


def _colour_bar(result: Result, heat_map: str) -> dict[str, Any]:
    """What heat 0 and 1 stand for: log-odds for the plain map, themselves for the others."""
    if heat_map == "activation":
        scale = result.inspection.scale
        title = "Evidence for a crack, log-odds"
        return {"title": title, "low": scale.low, "high": scale.high, "signed": True}
    titles = {"crack": "Evidence × likeness to a crack", "article": "Share of the map's maximum"}
    return {"title": titles[heat_map], "low": 0.0, "high": 1.0, "signed": False}


@cache
def _colormaps() -> dict[str, str]:
    """256 RGB colours each, in base 64."""
    return {name: b64encode(colormap_table(name).tobytes()).decode() for name in COLORMAPS}


def _serve(data: bytes, mimetype: str, name: str) -> str:
    """The address of ``data`` on this server, good until another of this name comes."""
    url = get_instance().media_file_mgr.add(data, mimetype, f"viewer: {name}")
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"/{base}{url}" if base else url
