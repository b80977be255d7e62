"""The ways to bring labelled photos: a zip, two folders, a list of links, a practice set, or what
was said about results on the page Inspect.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import count

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cracklib import config
from cracklib.intake import PhotoSet, zip_folders
from cracklib.intake.names import printable
from cracklib.types import Verdict
from ui.text import plain
from ui.training.adding import (
    GivenZip,
    Request,
    ask_to_add,
    forget_requests,
    intake,
    show_uploader,
)
from ui.training.photo_links import show_links
from ui.training.photo_set import CHOICES, KINDS
from ui.uploads import n_taken

_ZIP, _FOLDERS, _LINKS = "Zip", "Two folders", "List of links"
_PRACTICE, _INSPECT = "Practice set", "From Inspect"
_ICONS = {_ZIP: "folder_zip", _FOLDERS: "photo_library", _LINKS: "link"}
_ICONS |= {_PRACTICE: "brush", _INSPECT: "thumbs_up_down"}
_MAX_FOLDERS_ASKED = 24
_MAX_PRACTICE = 500


def show_ways(photos: PhotoSet | None) -> None:
    """Lay them out; each files its request with ``adding``. ``photos`` are those so far."""
    if "photo-way" not in st.session_state:
        st.session_state["photo-way"] = _LINKS if photos and photos.open_links else _ZIP
    way = st.segmented_control(
        "Ways to bring photos",
        _ICONS,
        required=True,
        format_func=lambda way: f":material/{_ICONS[way]}: {way}",
        label_visibility="collapsed",
        key="photo-way",
        persist_state="session",
        wrap=True,
    )
    {
        _ZIP: _show_zip,
        _FOLDERS: _show_folders,
        _LINKS: partial(show_links, photos),
        _PRACTICE: partial(_show_practice, photos),
        _INSPECT: partial(_show_feedback, photos),
    }[way]()


# A zip


def _show_zip() -> None:
    given = intake().zip
    if given is None:
        show_uploader(
            "zip",
            "A zip with one folder a class, such as *crack* and *no crack*",
            _take_zip,
            type="zip",
            max_upload_size=config.MAX_SET_BYTES // 2**20,
        )
        return
    st.markdown(f"**{plain(printable(given.file.name))}**: what do the photos in each folder show?")
    folders = sorted(given.folders.items(), key=lambda item: (item[1] is None, item[0]))
    asked = folders[:_MAX_FOLDERS_ASKED]
    keys = {name: f"zip-{n_taken('zip')}-{i}" for i, (name, _) in enumerate(asked)}
    with st.grid(min_column_width=200):
        for folder, guess in asked:
            st.selectbox(
                "The top of the zip" if folder == "." else f"Folder {plain(printable(folder))}",
                list(CHOICES),
                index=list(CHOICES).index(guess),
                format_func=CHOICES.get,
                key=keys[folder],
                persist_state="session",
            )
    if len(folders) > _MAX_FOLDERS_ASKED:
        st.caption(
            f"And {len(folders) - _MAX_FOLDERS_ASKED:,} more folders, which are left out. To use "
            "them, zip one folder a class."
        )
    with st.container(horizontal=True):
        st.button(
            "Add photos",
            key="add-zip",
            type="primary",
            on_click=_add_zip,
            args=(keys,),
            disabled=not any(st.session_state[key] for key in keys.values()),
        )
        st.button("Cancel", key="drop-zip", on_click=_drop_zip)


def _take_zip(files: list[UploadedFile]) -> None:
    [file] = files
    intake().zip = GivenZip(file, zip_folders(file))


def _drop_zip() -> None:
    intake().zip = None
    forget_requests("zip")


def _add_zip(keys: dict[str, str]) -> None:
    given = intake().zip
    # As chosen now, not as when the button was drawn.
    labels = {folder: st.session_state[key] for folder, key in keys.items()}

    def add(photos, progress):
        outcomes = photos.add_zip(given.file, labels, progress)
        intake().zip = None
        return outcomes

    if given:
        ask_to_add(Request(add, "zip", given.file.size))


# Two folders


def _show_folders() -> None:
    # Photos of any type: of a refused one Streamlit's word would go with the good ones beside it.
    for column, label in zip(st.columns(2), KINDS, strict=True):
        with column:
            show_uploader(
                f"photos-{label}",
                f"**{KINDS[label]}**",
                partial(_add_files, label),
                accept_multiple_files=True,
                max_upload_size=config.MAX_SET_BYTES // 2**20,
            )


def _add_files(label: Verdict, files: list[UploadedFile]) -> None:
    def add(photos, progress):
        return photos.add_uploads([(f.name, f.getvalue(), label) for f in files], progress)

    ask_to_add(Request(add, n_bytes=sum(file.size for file in files)))


# A practice set


def _show_practice(photos: PhotoSet | None) -> None:
    st.markdown(
        "Walls drawn by this program, each without and with a crack: to try the page with. A "
        "model trained on them alone is not meant for real walls."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            f"Photos of each kind ({config.MIN_PHOTOS_PER_CLASS}–{_MAX_PRACTICE})",
            config.MIN_PHOTOS_PER_CLASS,
            _MAX_PRACTICE,
            40,
            10,
            key="n-practice",
            width=180,
        )
        st.button(
            "Add practice photos",
            key="add-practice",
            type="primary",
            on_click=_add_practice,
            args=(photos,),
        )


def _add_practice(photos: PhotoSet | None) -> None:
    per_class = st.session_state["n-practice"]
    # Others than those that are there.
    scenes = [photo.scene for photo in photos.photos if photo.scene] if photos else []
    seed = next(n for n in count() if not any(s.startswith(f"practice {n}-") for s in scenes))
    ask_to_add(
        Request(lambda photos, progress: photos.add_practice(per_class, seed, progress), "practice")
    )


# Feedback


def _show_feedback(photos: PhotoSet | None) -> None:
    labels = [p.label for p in photos.photos if p.origin == "feedback"] if photos else []
    st.markdown(
        "On the page Inspect, say below a result what the photo shows. It is then kept here with "
        "that label, for you alone."
    )
    counts = Counter(labels)
    kept = ", ".join(f"{counts[label]:,} {kind.lower()}" for label, kind in KINDS.items())
    st.caption(f"Kept so far: {kept}." if labels else "None is kept so far.")
