"""The photos as thumbnails, whose labels can be corrected."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from math import ceil
from pathlib import Path

import streamlit as st

from cracklib.intake import LabelledPhoto, PhotoSet
from cracklib.photo import encode_jpeg, fit_within, read_photo
from ui.errors import errors_told
from ui.text import plain
from ui.training.adding import intake
from ui.training.photo_set import KINDS

_PER_PAGE = 24
_THUMBNAIL_PX = 640
"""More than a thumbnail needs: it can be shown as large as the screen."""
_FILTERS = {"all": "All", **KINDS, "held_out": "Held out", "alike": "Look alike"}


@st.fragment
def show_gallery(
    photos: PhotoSet, alike: list[list[LabelledPhoto]], held_out: Collection[str]
) -> None:
    """Thumbnails, a page at a time: to turn the page reruns this and nothing else.

    ``alike`` are groups of near-duplicates, ``held_out`` the digests of what is not trained on.
    """
    if intake().photos_changed:
        st.rerun()  # the counts above, and all that builds on them
    chosen = st.segmented_control(
        "Photos to show",
        _FILTERS,
        default="all",
        required=True,
        format_func=_FILTERS.get,
        label_visibility="collapsed",
        key="gallery-filter",
        wrap=True,
    )
    group_of = {photo.digest: number for number, group in enumerate(alike, 1) for photo in group}
    shown = [photo for photo in photos.photos if chosen in ("all", photo.label)]
    if chosen == "alike":
        shown = [photo for photo in photos.photos if photo.digest in group_of]
        shown.sort(key=lambda photo: group_of[photo.digest])
    if chosen == "held_out":
        shown = [photo for photo in photos.photos if photo.digest in held_out]
    if not shown:
        st.caption("None.")
        return
    pages = st.empty()
    n_pages = ceil(len(shown) / _PER_PAGE)
    page = pages.pagination(n_pages, key=f"gallery-page-{chosen}") if n_pages > 1 else 1
    with st.grid(min_column_width=130, key="gallery"):
        for photo in shown[(page - 1) * _PER_PAGE : page * _PER_PAGE]:
            notes = ["held out"] if photo.digest in held_out else []
            if group := group_of.get(photo.digest):
                notes.append(f"alike {group}")
            _show_photo(photos, photo, notes)


def _show_photo(photos: PhotoSet, photo: LabelledPhoto, notes: Sequence[str]) -> None:
    # Another tab may give it another label; a control goes on saying what it said.
    key = f"label-{photo.digest[:16]}-{photo.label}"
    with st.container(gap="xxsmall", key=f"photo-{photo.digest[:16]}"):
        with errors_told(st.caption):
            st.image(_thumbnail(photos.path(photo)), width="stretch", alt=photo.name)
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap=None):
            st.caption("  \n".join([plain(photo.name), " · ".join(notes)]), width="stretch")
            st.button(
                f"Remove {plain(photo.name)}",
                icon=":material/delete:",
                type="tertiary",
                help="Remove this photo",
                key=f"remove-{photo.digest[:16]}",
                on_click=_remove,
                args=(photos, photo.digest),
            )
        st.segmented_control(
            f"Label of {photo.name}",
            KINDS,
            default=photo.label,
            required=True,
            format_func=KINDS.get,
            label_visibility="collapsed",
            key=key,
            on_change=_relabel,
            args=(photos, photo.digest, key),
            width="stretch",
        )


# Another tab may have removed the photo.


def _relabel(photos: PhotoSet, digest: str, key: str) -> None:
    intake().photos_changed = True
    with errors_told(intake().tell), contextlib.suppress(KeyError):
        photos.relabel(digest, st.session_state[key])


def _remove(photos: PhotoSet, digest: str) -> None:
    intake().photos_changed = True
    with errors_told(intake().tell), contextlib.suppress(KeyError):
        photos.remove(digest)


@st.cache_data(show_spinner=False, max_entries=1000, scope="session")
def _thumbnail(path: Path) -> bytes:
    return encode_jpeg(fit_within(read_photo(path).pixels, _THUMBNAIL_PX), quality=80)
