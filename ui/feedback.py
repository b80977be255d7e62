"""What does the photo show? The answer makes it one to train on, in this session."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from cracklib.intake import LabelledPhoto
from cracklib.intake.names import shown_name
from cracklib.photo import encode_png
from cracklib.store import SessionFolder
from cracklib.types import Photo, Verdict
from cracklib.weights import sha256
from ui.errors import errors_told
from ui.own_folder import own_folder
from ui.result import plain
from ui.session import Result
from ui.training.photo_set import photo_set

_ANSWERS: dict[Verdict, str] = {"crack": "A crack", "no_crack": "No crack"}


@dataclass(frozen=True)
class _Answer:
    """The label a person gave to a photo, None where it was taken back."""

    photo: Photo
    label: Verdict | None
    key: str


def show_feedback(result: Result) -> None:
    """Ask, and keep the photo with the answer for its label; it can be changed.

    The question is of the photo and not of the verdict, which "Unsure" leaves open.
    """
    key = sha256(result.jpeg)
    if answer := st.session_state.get("answer"):
        with errors_told(_tell), st.spinner("Keeping the photo …"):
            _keep(answer)
        del st.session_state.answer
    folder = own_folder(create=False)
    kept = _kept_photo(folder, key, result.inspection.photo) if folder else None
    with st.container(horizontal=True, vertical_alignment="center", key="feedback"):
        st.markdown("What does it show?", width="content")
        for label, text in _ANSWERS.items():
            chosen = kept is not None and kept.label == label
            st.button(
                text,
                key=f"feedback-{label}",
                type="primary" if chosen else "secondary",
                on_click=_answer,
                args=(_Answer(result.inspection.photo, label, key),),
                help="Keeps the photo on the server, for you alone, to train on.",
            )
        if kept:
            st.button(
                "Take it back",
                key="feedback-back",
                type="tertiary",
                on_click=_answer,
                args=(_Answer(result.inspection.photo, None, key),),
            )
    n_photos = len(photo_set(folder).photos) if folder else 0
    if n_photos:
        _show_count(n_photos, kept)


def _show_count(n_photos: int, kept: LabelledPhoto | None) -> None:
    what = f"Kept as “{kept.label.replace('_', ' ')}”. " if kept else ""
    photos = f"{n_photos:,} {'photo' if n_photos == 1 else 'photos'}"
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key="feedback-count"
    ):
        st.caption(f"{what}Kept for training in this session: {photos}.", width="content")
        st.page_link("pages/train.py", label="Train", icon=":material/model_training:")


def _tell(problem: str) -> None:
    st.error(plain(problem))


def _answer(answer: _Answer) -> None:
    st.session_state.answer = answer


def _keep(answer: _Answer) -> None:
    folder = own_folder(create=answer.label is not None)
    if folder is None:
        return
    photos, kept = photo_set(folder), _kept_photo(folder, answer.key, answer.photo)
    if answer.label is None:
        if kept:
            photos.remove(kept.digest)
    elif kept:
        photos.relabel(kept.digest, answer.label)
    else:
        png = encode_png(answer.photo.pixels)
        folder.check_room(len(png))
        [outcome] = photos.add_uploads([(answer.photo.name, png, answer.label)], origin="feedback")
        if outcome.photo is None:
            _tell(outcome.message)
            return
        if outcome.status == "conflict":
            photos.relabel(outcome.photo.digest, answer.label)
        _digests()[answer.key] = outcome.photo.digest


def _kept_photo(folder: SessionFolder, key: str, photo: Photo) -> LabelledPhoto | None:
    kept = photo_set(folder).photos
    name = shown_name(photo.name)
    # Kept before the page was loaded again, perhaps; the name spares most photos the encoding.
    if key not in _digests() and any(p.origin == "feedback" and p.name == name for p in kept):
        _digests()[key] = sha256(encode_png(photo.pixels))
    digest = _digests().get(key)
    return next((photo for photo in kept if photo.digest == digest), None)


def _digests() -> dict[str, str]:
    """From the hash of a picture shown to the digest its photo has in the set, if it is there."""
    digests: dict[str, str] = st.session_state.setdefault("feedback", {})
    return digests
