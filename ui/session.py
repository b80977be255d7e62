"""What one browser session asked for, and the last result it got.

A widget's callback only files a request; the page then serves it where it can show a spinner. So
the latest action wins whatever the other widgets hold, and a request cut short by the next action
is not lost. A result stays until the next one succeeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import streamlit as st

from cracklib.download import download_photo
from cracklib.photo import decode_photo, encode_jpeg, fit_within
from cracklib.pipeline import Inspection, Inspector
from cracklib.samples import SAMPLES, sample_photo
from cracklib.types import Photo, Pixels
from cracklib.weights import ModelCard
from ui.errors import errors_told

DISPLAY_SIDE_PX = 1400
"""What the page shows first, and goes on showing until somebody goes near."""

Link = dict[str, str]
"""The part of the address that names the photo: ``url``, ``sample``, or nothing for the first."""

_FIRST_SAMPLE = next(iter(SAMPLES))


@dataclass(frozen=True)
class Request:
    """A photo to look at: how to get it (``read`` raises ``CrackError``) and what links to it, if
    anything does.
    """

    read: Callable[[], Photo]
    link: Link | None


@dataclass(frozen=True, eq=False)
class Result:
    """An inspection, the card of the model that made it, and what the viewer shows of it.

    ``pixels`` is the photo at display size, ``jpeg`` the same encoded, ``full_jpeg`` the photo at
    its own size, encoded finely, to be enlarged; ``heat_layers`` is filled by ``ui.viewer``.
    """

    inspection: Inspection
    card: ModelCard
    link: Link | None
    pixels: Pixels
    jpeg: bytes
    full_jpeg: bytes
    heat_layers: dict[str, bytes] = field(default_factory=dict, init=False)


def ask_for_sample(slug: str) -> None:
    """Request one of ``SAMPLES``; the first has the bare address as its link."""
    link = {} if slug == _FIRST_SAMPLE else {"sample": slug}
    st.session_state.request = Request(lambda: sample_photo(slug), link)


def ask_for_url(url: str) -> None:
    """Request the photo at a web address."""
    st.session_state.request = Request(lambda: decode_photo(*download_photo(url)), {"url": url})


def ask_for_file(data: bytes, name: str) -> None:
    """Request a photo the user gave; it has no link, because it is not kept."""
    st.session_state.request = Request(lambda: decode_photo(data, name), None)


def serve(inspector: Inspector) -> None:
    """Serve the latest request, and let the address say what is shown.

    What another model judged, as this session's was chosen anew, is judged again.
    """
    followed = _follow_link()
    if "request" in st.session_state:
        st.session_state.problem = None
        _serve_request(inspector)
        # The address stays as it was opened, so that a reload tries it again.
        st.session_state.failed_link = followed if problem() else None
    if result() is None:
        ask_for_sample(_FIRST_SAMPLE)
        _serve_request(inspector)
    shown = result()
    if shown and shown.card != inspector.card:
        with errors_told(lambda message: st.session_state.update(problem=message)):
            inspection = inspector.inspect(shown.inspection.photo)
            _put(replace(shown, inspection=inspection, card=inspector.card))
    _write_link()


def result() -> Result | None:
    """The last success."""
    return st.session_state.get("result")


def show(inspection: Inspection) -> None:
    """Put another inspection of the photo shown in the place of the one that is there."""
    shown = result()
    if shown and shown.inspection is not inspection:
        st.session_state.result = replace(shown, inspection=inspection)


def problem() -> str | None:
    """Why the latest request failed, if it did."""
    return st.session_state.get("problem")


def leave() -> None:
    """Note that another page is open, whose address names no photo, and what failed is past."""
    st.session_state.pop("link", None)
    st.session_state.pop("problem", None)
    st.session_state.pop("failed_link", None)


def _serve_request(inspector: Inspector) -> None:
    request: Request = st.session_state.request
    with errors_told(lambda message: st.session_state.update(problem=message)):
        inspection = inspector.inspect(request.read())
        pixels = fit_within(inspection.photo.pixels, DISPLAY_SIDE_PX)
        _put(
            Result(
                inspection,
                inspector.card,
                request.link,
                pixels,
                encode_jpeg(pixels),
                encode_jpeg(inspection.photo.pixels, quality=95),
            )
        )
        if not request.link:
            st.session_state.at_bare_address = request
    del st.session_state.request


def _put(new: Result) -> None:
    """Show ``new``; what was measured of the inspection before would hold all of it in memory."""
    for key in ("measured", "faithfulness"):
        st.session_state.pop(key, None)
    st.session_state.result = new


def _follow_link() -> Link | None:
    """File a request where the address was opened, or gone back to, and not written by us.

    Returns what it asks for.
    """
    if "request" in st.session_state:
        return None
    address = st.query_params.to_dict()
    link = {key: address[key] for key in ("url", "sample") if key in address}
    came_back = result() is not None and "link" not in st.session_state
    if link == st.session_state.get("link") or (came_back and not link):
        return None
    if "url" in link:
        ask_for_url(link["url"])
    elif not link and "at_bare_address" in st.session_state:
        st.session_state.request = st.session_state.at_bare_address
    elif link.get("sample", _FIRST_SAMPLE) in SAMPLES:
        ask_for_sample(link.get("sample", _FIRST_SAMPLE))
    else:
        ask_for_sample(_FIRST_SAMPLE)
        st.toast("The link names a sample that is not here.")
    return link


def _write_link() -> None:
    shown = result()
    link = st.session_state.get("failed_link") or (shown.link if shown else None) or {}
    for key in ("url", "sample"):
        if key in link:
            st.query_params[key] = link[key]
        elif key in st.query_params:
            del st.query_params[key]
    st.session_state.link = link
