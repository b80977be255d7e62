"""The first part of the training page: photos in, what was understood, and how they are split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from cracklib import config
from cracklib.errors import DatasetError
from cracklib.intake import LabelledPhoto, PhotoSet, Split, find_near_duplicates, split_photos
from cracklib.jobs import jobs_of
from cracklib.store import SessionFolder
from ui.errors import errors_told
from ui.training.adding import intake, serve_requests, show_report
from ui.training.gallery import show_gallery
from ui.training.photo_set import KINDS, photo_set
from ui.training.photo_ways import show_ways

_ORIGINS = {"zip": "zip", "upload": "uploads", "link": "links", "practice": "practice set"}
_ORIGINS |= {"feedback": "Inspect"}


def show_photos(folder: SessionFolder | None) -> Split | None:
    """Let photos be brought and looked over; the split where they can be trained on."""
    intake().photos_changed = False
    ways = st.container()
    with st.container():
        serve_requests(folder)
    photos = photo_set(folder) if folder else None
    with ways:
        show_ways(photos)
    show_report()
    if folder is None or photos is None or not photos.photos:
        st.caption(
            f"At least {config.MIN_PHOTOS_PER_CLASS} cracked and {config.MIN_PHOTOS_PER_CLASS} "
            "uncracked walls; 50 or more of each are better. To try the page without any, take "
            "the practice set."
        )
        return None
    st.subheader("What was understood", anchor=False)
    split = _show_split(photos.photos)
    alike = find_near_duplicates(photos.photos)
    _show_alike(alike)
    held_out = {photo.digest for photo in split.val} if split else set()
    # Once there is a run, that is what the person comes for.
    with st.expander(
        f"The photos and their labels ({len(photos.photos):,})",
        expanded=not jobs_of(folder),
        key="photos",
    ):
        show_gallery(photos, alike, held_out)
    with st.popover("Remove all photos", icon=":material/delete:"):
        st.markdown(
            f"Remove all photos ({len(photos.photos):,})? This can't be undone. Runs keep those "
            "that they were trained on, until you delete everything of yours."
        )
        st.page_link(
            "pages/about.py", label="Delete everything of mine", icon=":material/delete_forever:"
        )
        st.button("Remove them", type="primary", key="remove-all", on_click=_clear, args=(photos,))
    return split


def _show_split(photos: Sequence[LabelledPhoto]) -> Split | None:
    split, problem = None, ""
    try:
        split = split_photos(photos)
    except DatasetError as error:
        problem = str(error)
    labels, origins = Counter(p.label for p in photos), Counter(p.origin for p in photos)
    figures = {kind: labels[label] for label, kind in KINDS.items()}
    if split:
        figures |= {"To train on": len(split.train), "Held out": len(split.val)}
    with st.grid(4, min_column_width=120):
        for name, count in figures.items():
            st.metric(name, f"{count:,}")
    origin_of = ", ".join(f"{_ORIGINS[origin]} {count:,}" for origin, count in origins.items())
    st.caption(f"From: {origin_of}.")
    if not split:
        st.warning(problem, icon=":material/info:")
        return None
    st.caption(
        f"Trains on {_by_kind(split.train)}. Held out to measure the model on: "
        f"{_by_kind(split.val)}, chosen at random, the same each time for the same photos. Photos "
        "that look almost the same are never on both sides; others of one wall may be, which "
        "flatters the result."
    )
    return split


def _by_kind(photos: Sequence[LabelledPhoto]) -> str:
    counts = Counter(photo.label for photo in photos)
    return " and ".join(f"{counts[label]:,} {kind.lower()}" for label, kind in KINDS.items())


def _show_alike(alike: Sequence[Sequence[LabelledPhoto]]) -> None:
    if not alike:
        return
    n_photos = sum(map(len, alike))
    mixed = sum(len({photo.label for photo in group}) > 1 for group in alike)
    st.markdown(
        f"**{n_photos:,} photos look alike**, in {len(alike):,} "
        f"{'group' if len(alike) == 1 else 'groups'}. That is no fault, but they teach no more "
        "than one of them." + (f" In {mixed:,} the labels differ: check those." if mixed else "")
    )


def _clear(photos: PhotoSet) -> None:
    with errors_told(intake().tell):
        photos.clear()
    intake().outcomes.clear()
