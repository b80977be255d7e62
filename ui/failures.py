"""Where the model fails: the worst of our own rendered walls, drawn again from their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cracklib.config import DEFAULT_COLORMAP, DEFAULT_OPACITY, DISPLAY_THRESHOLD
from cracklib.measured import MeasuredRendered, RenderedPhoto
from cracklib.photo import encode_jpeg
from cracklib.pipeline import Inspector
from ui.quality import wall_rows
from ui.text import percent

_SHOWN = 6


def show_failures(measured: MeasuredRendered, inspector: Inspector) -> None:
    """Rendered walls: the table by kind, then the worst missed cracks and false alarms."""
    st.markdown(
        "Walls that `cracklib.synthesis` renders, each without and with a crack, 2 to 8 px wide "
        "at 224 px. The model was not trained on these pictures, but on others of the same "
        "renderer. The colours are the class activation map, what the network saw."
    )
    st.table(wall_rows(measured), alt="Quality of the verdicts by kind of rendered wall")
    for key, title, photos in (
        ("missed", "Cracks most surely missed", measured.worst(cracked=True)),
        ("alarms", "Sound walls most surely called cracked", measured.worst(cracked=False)),
    ):
        st.markdown(f"**{title}**: {_how_many(photos)}")
        with st.container(key=f"pictures-{key}"):
            for photo in photos[:_SHOWN]:
                _show_photo(photo, inspector)


def show_limits() -> None:
    """What is known of its limits, in words."""
    st.markdown(
        """
**Known limits**

- Hairline cracks in a photo of a whole wall vanish when it is made small. Go near.
- Joints, cables, branches, the edges of shadows and stains look like cracks to it now and then, and
  a dark joint near a crack can glow with it.
- Sources with few photos of a class, such as sound tiles, say little: see how wide their intervals
  are. A kind of wall that is in no table has not been measured.
- The photos of one source look alike. On walls that nobody trained on, expect less than the tables
  say.
"""
    )


def _how_many(photos: Sequence[RenderedPhoto]) -> str:
    if len(photos) <= _SHOWN:
        return f"all {len(photos)}" if photos else "none"
    return f"{_SHOWN} of {len(photos)}"


def _show_photo(photo: RenderedPhoto, inspector: Inspector) -> None:
    picture = photo.picture
    probability = percent(photo.probability).replace(" ", "\N{NO-BREAK SPACE}")
    st.image(
        _drawn(picture.number, picture.cracked, inspector.card.sha256, photo, inspector),
        width="stretch",
        alt=f"Rendered {picture.name}, with its class activation map",
        caption=f"{picture.name[0].upper()}{picture.name[1:]}: {probability}",
    )


@st.cache_data(max_entries=100, show_spinner="Rendering …")
def _drawn(
    number: int, cracked: bool, sha256: str, _photo: RenderedPhoto, _inspector: Inspector
) -> bytes:
    """The picture with this model's class activation map, JPEG."""
    inspection = _inspector.inspect(_photo.picture.render())
    return encode_jpeg(
        inspection.overlay(DEFAULT_OPACITY, DEFAULT_COLORMAP, DISPLAY_THRESHOLD, "activation")
    )
