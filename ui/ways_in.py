"""The ways to give a photo: a file, the camera, a web address, a sample."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cracklib.photo import encode_jpeg, fit_within
from cracklib.samples import SAMPLES, sample_photo
from ui import session
from ui.uploads import show_uploader

_FILE, _CAMERA, _URL = "File", "Camera", "Web address"
_MAX_UPLOAD_MB = 200
_ICONS = {_FILE: "upload", _CAMERA: "photo_camera", _URL: "link"}


def show_ways_in() -> None:
    """Lay them out; each files its request with ``session``."""
    own, samples = st.columns([5, 6], gap="medium")
    with own:
        way = st.segmented_control(
            "Give a photo",
            _ICONS,
            default=_FILE,
            required=True,
            format_func=lambda way: f":material/{_ICONS[way]}: {way}",
            label_visibility="collapsed",
        )
        # Only the chosen one is drawn: the camera asks for permission as soon as it is.
        {_FILE: _show_uploader, _CAMERA: _show_camera, _URL: _show_address}[way]()
    with samples:
        st.caption("Or try a sample. Samples are rendered, not photographed.")
        _show_samples()


def _show_uploader() -> None:
    """Takes whatever is dropped: what Streamlit refuses, it explains to a mouse alone."""
    show_uploader(
        "upload",
        "Choose a wall photo or drop it here",
        _take_files,
        accept_multiple_files=True,
        max_upload_size=_MAX_UPLOAD_MB,
        label_visibility="collapsed",
    )


def _show_camera() -> None:
    st.camera_input(
        "Take a photo of the wall",
        key="camera",
        on_change=_take_picture,
        resolution="1080p",
        label_visibility="collapsed",
    )


def _take_files(files: list[UploadedFile]) -> None:
    session.ask_for_file(files[0].getvalue(), files[0].name)
    if len(files) > 1:
        st.toast(f"One photo at a time: of the {len(files)}, the first is inspected.")


def _take_picture() -> None:
    picture = st.session_state.camera
    if picture is not None:
        session.ask_for_file(picture.getvalue(), "camera.jpg")


def _show_address() -> None:
    with (
        st.form("address", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.text_input(
            "Address of an image on the web",
            type="url",
            key="address_text",
            placeholder="https://…/wall.jpg",
            # The browser's own rule refuses hosts without a dot; ``download`` gives better reasons.
            validate="",
        )
        st.form_submit_button("Inspect", on_click=_take_address, type="primary")


def _take_address() -> None:
    url = st.session_state.address_text.strip()
    if url:
        session.ask_for_url(url)


def _show_samples() -> None:
    with st.container(horizontal=True, wrap=False, gap="xsmall", key="samples"):
        for slug, sample in SAMPLES.items():
            with st.container(key=f"sample-{slug}", gap=None, horizontal_alignment="center"):
                st.image(_thumbnail(slug), width="stretch", alt="")
                st.button(
                    sample.title,
                    key=f"show-{slug}",
                    type="tertiary",
                    on_click=session.ask_for_sample,
                    args=(slug,),
                )


@st.cache_data(show_spinner=False)
def _thumbnail(slug: str) -> bytes:
    return encode_jpeg(fit_within(sample_photo(slug).pixels, 240), quality=80)
