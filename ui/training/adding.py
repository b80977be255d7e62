"""Adding photos to the session's set, and what came of it.

A widget's callback only files a request; the page then serves it where it can show progress. So a
run cut short by the next click, or by a look at another page, goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cracklib.intake import LinkList, Outcome, PhotoSet
from cracklib.intake.names import printable
from cracklib.store import SessionFolder
from cracklib.types import Progress, Verdict
from ui import uploads
from ui.errors import errors_told
from ui.own_folder import own_folder
from ui.text import plain
from ui.training.photo_set import photo_set

_MAX_LINES = 200


@dataclass
class Request:
    """Photos to be added: ``add`` gives an outcome for each, ``n_bytes`` is what they take up.

    Of one ``way``, where that is named, only one request waits: buttons can be pressed twice.
    """

    add: Callable[[PhotoSet, Progress], list[Outcome]]
    way: str = ""
    n_bytes: int = 0
    known: Collection[str] | None = None
    """The photos that the set had before, by their digest."""


@dataclass
class GivenZip:
    """A zip whose folders wait to be confirmed."""

    file: UploadedFile
    folders: dict[str, Verdict | None]


@dataclass
class Intake:
    """What the person gave that is not in the set, or not yet."""

    requests: list[Request] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    """Of photos that were not added, until dismissed."""
    problem: str | None = None
    zip: GivenZip | None = None
    links: LinkList | None = None
    photos_changed: bool = False
    """Since the page last ran as a whole."""

    def tell(self, problem: str) -> None:
        """Show ``problem`` until something else is given."""
        self.problem = problem

    def failed(self) -> set[str]:
        """Names of the photos that could not be added."""
        return {outcome.name for outcome in self.outcomes if outcome.status == "failed"}


def intake() -> Intake:
    """That of this browser session."""
    if "intake" not in st.session_state:
        st.session_state.intake = Intake()
    return st.session_state.intake


def own_photos() -> PhotoSet | None:
    """Those of this session as they are now, for callbacks: a page may have been drawn before."""
    folder = own_folder(create=False)
    return photo_set(folder) if folder else None


def ask_to_add(request: Request) -> None:
    """Add photos as soon as those asked for before are there."""
    given = intake()
    given.problem = None
    if not request.way or all(request.way != other.way for other in given.requests):
        given.requests.append(request)


def forget_requests(way: str) -> None:
    """Do without what was asked for by ``way``, also where adding it has begun."""
    requests = intake().requests
    requests[:] = [request for request in requests if request.way != way]


def show_uploader(
    name: str, label: str, take: Callable[[list[UploadedFile]], None], **options: Any
) -> None:
    """One whose ``take`` may raise ``CrackError``; see ``uploads.show_uploader``."""

    def take_and_tell(files: list[UploadedFile]) -> None:
        intake().problem = None
        with errors_told(intake().tell):
            take(files)

    uploads.show_uploader(name, label, take_and_tell, **options)


def show_lines(lines: Sequence[str]) -> None:
    """Markdown lines as a list that takes up little room, the first ones if there are many."""
    items = [f"- {line}" for line in lines[:_MAX_LINES]]
    if len(lines) > _MAX_LINES:
        items.append(f"- and {len(lines) - _MAX_LINES:,} more")
    st.container(height=240 if len(items) > 6 else "content").markdown("\n".join(items))


def serve_requests(folder: SessionFolder | None) -> None:
    """Add all that was asked for. Where the session has no folder, make it and begin anew."""
    requests = intake().requests
    while requests:
        with errors_told(intake().tell):
            if folder is None:
                own_folder()
                st.rerun()  # so that the browser knows the folder should it leave meanwhile
            folder.check_room(requests[0].n_bytes)
            _serve(requests[0], photo_set(folder))
        requests.pop(0)


def show_report() -> None:
    """What was not added, and why, until dismissed."""
    given = intake()
    if given.problem:
        st.error(plain(given.problem), icon=":material/error:")
    _show_outcomes("failed", "could not be used", open_at_first=True)
    _show_outcomes("conflict", "came with two labels; the first is kept", open_at_first=True)
    n_twice = sum(outcome.status == "duplicate" for outcome in given.outcomes)
    _show_outcomes("duplicate", f"came twice and {'is' if n_twice == 1 else 'are'} kept once")
    if given.problem or given.outcomes:
        st.button("Dismiss", key="dismiss", on_click=_dismiss)


def _dismiss() -> None:
    intake().problem = None
    intake().outcomes.clear()


def _serve(request: Request, photos: PhotoSet) -> None:
    shown = st.empty()
    with shown.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, "Adding photos …")
        st.button("Stop", key="stop-adding", on_click=intake().requests.clear)
    if request.known is None:
        request.known = {photo.digest for photo in photos.photos}
    outcomes = request.add(
        photos,
        lambda n_done, n_photos: bar.progress(
            n_done / n_photos, f"Adding photos: {n_done:,} of {n_photos:,}"
        ),
    )
    shown.empty()
    left_out = _left_out(outcomes, request.known)
    told_before = {outcome.name for outcome in outcomes}
    kept = [outcome for outcome in intake().outcomes if outcome.name not in told_before]
    intake().outcomes[:] = kept + left_out
    n_added = sum(photo.digest not in request.known for photo in photos.photos)
    st.toast(f"{n_added:,} {'photo' if n_added == 1 else 'photos'} added.")


def _left_out(outcomes: Sequence[Outcome], known: Collection[str]) -> list[Outcome]:
    """Those of photos that were not added; one that was, before the run was cut short, now seems
    a duplicate of itself.
    """
    seen = set(known)
    left_out = []
    for outcome in outcomes:
        digest = outcome.photo.digest if outcome.photo else ""
        if outcome.status in ("failed", "conflict") or digest in seen:
            left_out.append(outcome)
        seen.add(digest)
    return left_out


def _show_outcomes(status: str, what: str, *, open_at_first: bool = False) -> None:
    outcomes = [outcome for outcome in intake().outcomes if outcome.status == status]
    if not outcomes:
        return
    with st.expander(f"{len(outcomes):,} {what}", expanded=open_at_first):
        show_lines([_told(outcome) for outcome in outcomes])


def _told(outcome: Outcome) -> str:
    named = f"'{outcome.name}'" in outcome.message
    return plain(outcome.message if named else f"{printable(outcome.name)}: {outcome.message}")
