"""Photos given by a list of links."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import streamlit as st

from cracklib.intake import Link, LinkList, PhotoSet, read_links
from ui.errors import errors_told
from ui.text import plain
from ui.training.adding import (
    Request,
    ask_to_add,
    forget_requests,
    intake,
    own_photos,
    show_lines,
    show_uploader,
)
from ui.training.photo_set import CHOICES, KINDS

_MAX_LIST_MB = 5


def show_links(photos: PhotoSet | None) -> None:
    """Ask for a list, say what is in it, download. ``photos`` are those so far."""
    if intake().links is None and photos and (left_over := photos.open_links):
        intake().links = LinkList(left_over, {})
    given = intake().links
    if given is None:
        show_uploader(
            "list",
            "A CSV file with the columns content and label, or JSON lines from DataTurks",
            lambda files: _take_list(files[0].getvalue()),
            type=["csv", "tsv", "txt", "json", "jsonl"],
            max_upload_size=_MAX_LIST_MB,
        )
        with st.form("pasted", border=False, enter_to_submit=False):
            st.text_area(
                "Or paste the list",
                key="pasted_list",
                height=120,
                placeholder="content,label\nhttps://…/wall-1.jpg,crack",
            )
            st.form_submit_button("Read the list", on_click=_take_pasted)
        return
    counts = Counter(link.label for link in given.links)
    parts = [f"{counts[label]:,} {kind.lower()}" for label, kind in KINDS.items()]
    links = "link" if len(given.links) == 1 else "links"
    st.markdown(
        f"**{len(given.links):,} {links}**: {', '.join(parts)}, {counts[None]:,} without a label."
    )
    if counts[None]:
        st.selectbox(
            "Those without a label",
            [None, *KINDS],
            format_func=CHOICES.get,
            key="no-label",
            persist_state="session",
            on_change=_tell_conflicts,
        )
    if given.bad_lines:
        n_bad = len(given.bad_lines)
        with st.expander("1 line is left out" if n_bad == 1 else f"{n_bad:,} lines are left out"):
            lines = [f"Line {number}: {plain(why)}" for number, why in given.bad_lines.items()]
            show_lines(lines)
    _show_download(photos, _labelled(given.links))


def _labelled(links: list[Link]) -> list[Link]:
    label = st.session_state.get("no-label")
    return [replace(link, label=link.label or label) for link in links]


def _show_download(photos: PhotoSet | None, links: list[Link]) -> None:
    missing = photos.missing(links) if photos else [link for link in links if link.label]
    n_wanted = sum(link.label is not None for link in links)
    n_failed = len(intake().failed() & {link.url for link in missing})
    n_missing = len(missing)
    if missing and (n_failed or n_missing < n_wanted):
        st.caption(
            f"{n_wanted - n_missing:,} of {n_wanted:,} photos are here, {n_failed:,} failed."
        )
    elif n_wanted and not missing:
        st.success("The photo is here." if n_wanted == 1 else f"All {n_wanted:,} photos are here.")
    with st.container(horizontal=True):
        if missing:
            again = f"Try the {n_failed:,} again" if n_failed == n_missing else ""
            st.button(
                again or f"Download {n_missing:,} {'photo' if n_missing == 1 else 'photos'}",
                key="add-links",
                type="primary",
                on_click=_add_links,
            )
        leave = "Go on without them" if n_failed else "Cancel" if missing else "Another list"
        st.button(leave, key="drop-links", on_click=_drop_links)


def _take_list(data: bytes) -> None:
    intake().links = read_links(data)
    st.session_state.pop("no-label", None)
    _tell_conflicts()


def _take_pasted() -> None:
    intake().problem = None
    with errors_told(intake().tell):
        _take_list(st.session_state.pasted_list.encode())


def _tell_conflicts() -> None:
    """Of photos that are here already under another label: they are not downloaded again."""
    given, photos = intake(), own_photos()
    if photos and given.links:
        conflicts = photos.conflicts(_labelled(given.links.links))
        names = {link.url for link in given.links.links}
        given.outcomes[:] = [
            outcome
            for outcome in given.outcomes
            if outcome.status != "conflict" or outcome.name not in names
        ] + conflicts


def _drop_links() -> None:
    intake().links = None
    forget_requests("links")
    with errors_told(intake().tell):
        if photos := own_photos():
            photos.forget_links()


def _add_links() -> None:
    if given := intake().links:
        links = _labelled(given.links)
        ask_to_add(Request(lambda photos, progress: photos.add_links(links, progress), "links"))
