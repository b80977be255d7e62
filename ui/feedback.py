"""What does the photo show? The answer makes it one to train on, in this session."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from cracklib.intake import LabelledPhoto
from cracklib.store import SessionFolder
from cracklib.types import Verdict
from cracklib.weights import sha256
from ui.errors import errors_told
from ui.own_folder import own_folder
from ui.session import Result
from ui.text import plain
from ui.training.photo_set import photo_set

_ANSWERS: dict[Verdict, str] = {"crack": "A crack", "no_crack": "No crack"}


@dataclass(frozen=True)
class _Answer:
    """The label a person gave to the photo called ``name``, None where it was taken back.

    ``jpeg`` is the photo as it is kept: what was given may be far larger.
    """

    name: str
    jpeg: bytes
    label: Verdict | None


def show_feedback(result: Result) -> None:
    """Ask, and keep the photo with the answer for its label; it can be changed.

    The question is of the photo and not of the verdict, which "Unsure" leaves open.
    """
    if answer := st.session_state.get("answer"):
        with errors_told(_tell), st.spinner("Keeping the photo …"):
            _keep(answer)
        del st.session_state.answer
    folder = own_folder(create=False)
    kept = _kept_photo(folder, result.full_jpeg) if folder else None
    name = result.inspection.photo.name
    with st.container(horizontal=True, vertical_alignment="center", key="feedback"):
        st.markdown("What does it show?", width="content")
        for label, text in _ANSWERS.items():
            chosen = kept is not None and kept.label == label
            st.button(
                text,
                key=f"feedback-{label}",
                type="primary" if chosen else "secondary",
                on_click=_answer,
                args=(_Answer(name, result.full_jpeg, label),),
            )
        if kept:
            st.button(
                "Take it back",
                key="feedback-back",
                type="tertiary",
                on_click=_answer,
                args=(_Answer(name, result.full_jpeg, None),),
            )
        else:
            st.caption(
                "The answer keeps the photo on the server, for you alone, to train on.",
                width="content",
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
    photos, kept = photo_set(folder), _kept_photo(folder, answer.jpeg)
    if answer.label is None:
        if kept:
            photos.remove(kept.digest)
    elif kept:
        photos.relabel(kept.digest, answer.label)
    else:
        folder.check_room(len(answer.jpeg))
        given = [(answer.name, answer.jpeg, answer.label)]
        [outcome] = photos.add_uploads(given, origin="feedback")
        if outcome.photo is None:
            _tell(outcome.message)


def _kept_photo(folder: SessionFolder, jpeg: bytes) -> LabelledPhoto | None:
    digest = sha256(jpeg)
    return next((photo for photo in photo_set(folder).photos if photo.digest == digest), None)
