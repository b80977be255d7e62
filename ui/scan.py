"""The search of a large photo at its own resolution: its switch, how far it is, and Cancel.

The work is done in slices by a fragment that runs again and again, so that the page stays live
between them, and nothing goes on for a tab that was closed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import streamlit as st

from cracklib.pipeline import Inspection, Inspector
from cracklib.scan import Scan, scan_sizes
from ui import session
from ui.errors import errors_told

AUTOMATIC_PX = 2_000_000
"""From here on a look at the whole sees less than a sixteenth of a photo's pixels: a line of 2 px
is half of one there."""
AUTOMATIC, ON, OFF = CHOICES = ("Automatic", "On", "Off")
_SLICE_S = 0.5
_PAUSE_S = 0.1


@dataclass(eq=False)
class _Search:
    """``first`` is what the looks at the whole found, ``found`` what the search made of it,
    ``problem`` why it did not. ``drawn`` is whether the page was, since the search is on it.
    ``cancelled`` is kept here and not by turning the switch off: a rerun that the timer asked
    for just before would bring the switch back as the browser still had it.
    """

    first: Inspection
    scan: Scan
    found: Inspection | None = None
    problem: str | None = None
    drawn: bool = False
    cancelled: bool = False


def show_scan(inspector: Inspector) -> None:
    """Lay out the switch, and search the photo shown if that is wanted.

    Where it was searched already, this puts the fitting inspection on the page.
    """
    shown = session.result()
    if shown is None or not scan_sizes(shown.inspection.photo.size):
        _leave(st.session_state.pop("search", None))
        return
    height, width = shown.inspection.photo.size
    with st.container(horizontal=True, vertical_alignment="bottom", key="scan-row"):
        choice = st.segmented_control(
            "Search at full resolution",
            CHOICES,
            default=AUTOMATIC,
            required=True,
            key="scan",
            bind="query-params",
            on_change=_switch,
            help="A thin crack is lost when a large photo is looked at as a whole. The search "
            "looks at every part of it in the photo's own pixels, and at scales between. Automatic "
            f"begins at {AUTOMATIC_PX / 1e6:.0f} megapixels.",
        )
        bar = st.container(key="scan-bar")
    wanted = choice == ON or (choice == AUTOMATIC and height * width >= AUTOMATIC_PX)
    search = _search_of(shown.inspection, inspector)
    if wanted and search.scan.finished:
        _finish(search, inspector)
    if not wanted:
        session.show(search.first)
    elif search.found:
        session.show(search.found)
    if wanted and search.problem:
        with bar:
            st.error(search.problem)
            st.button("Try again", icon=":material/refresh:", type="tertiary", on_click=_take_up)
    elif wanted and search.found:
        bar.caption(f"Searched in {search.scan.seconds:.1f} s.")
    elif wanted and search.cancelled:
        with bar.container(horizontal=True, vertical_alignment="center"):
            st.caption("Search cancelled. This is what the looks at the whole photo found.")
            st.button("Go on", icon=":material/play_arrow:", type="tertiary", on_click=_take_up)
    elif wanted:
        search.drawn = False
        with bar:
            st.fragment(_go_on, run_every=_PAUSE_S)(search, inspector)


def leave() -> None:
    """Give back the memory of a search while another page is open; it goes on with the page."""
    _leave(st.session_state.get("search"))


def scan_in_link() -> dict[str, str]:
    """What a link has to say of the switch."""
    choice = st.session_state.get("scan", AUTOMATIC)
    return {} if choice == AUTOMATIC else {"scan": choice}


def _search_of(inspection: Inspection, inspector: Inspector) -> _Search:
    """The one that was begun for this inspection, or a new one."""
    search: _Search | None = st.session_state.get("search")
    if search is None or inspection not in (search.first, search.found):
        _leave(search)
        search = _Search(inspection, inspector.begin_scan(inspection))
        st.session_state.search = search
    return search


def _go_on(search: _Search, inspector: Inspector) -> None:
    """A slice of the search; at its end, its result on the page."""
    with st.container(horizontal=True, vertical_alignment="center", key="scan-progress"):
        bar = st.progress(*_progress(search.scan))
        st.button(
            "Cancel", icon=":material/close:", type="tertiary", on_click=_cancel, args=(search,)
        )
    if not search.drawn:  # first comes what the looks at the whole found, which is below
        search.drawn = True
        return
    if search.cancelled:
        st.rerun()
    with errors_told(lambda message: setattr(search, "problem", message)):
        until = time.monotonic() + _SLICE_S
        while not search.scan.finished and time.monotonic() < until:
            search.scan.step()
            bar.progress(*_progress(search.scan))
    if search.scan.finished:
        bar.progress(1.0, "Following the cracks …")
        _finish(search, inspector)
    if search.problem:
        _leave(search)
    if search.found or search.problem:
        st.rerun()


def _finish(search: _Search, inspector: Inspector) -> None:
    """Make the result of a search that saw every tile, if that is not done yet."""
    if search.found or search.problem:
        return
    with errors_told(lambda message: setattr(search, "problem", message)):
        found = inspector.finish_scan(search.first, search.scan)
        _ = found.crack_heat  # seconds, for a large photo: here, beside the bar
        search.found = found


def _progress(scan: Scan) -> tuple[float, str]:
    share = scan.done_px / scan.total_px
    text = f"Searching at full resolution, {share:.0%}".replace("%", " %")
    if share:
        text += f", {scan.seconds * (1 - share) / share:.0f} s left"
    return share, text + ". Until then, below is what the looks at the whole found."


def _cancel(search: _Search) -> None:
    search.cancelled = True
    _leave(search)


def _switch() -> None:
    _leave(st.session_state.get("search"))
    _take_up()


def _take_up() -> None:
    search: _Search | None = st.session_state.get("search")
    if search:
        search.cancelled = False
        search.problem = None


def _leave(search: _Search | None) -> None:
    """Give back the memory of a search that may not go on; one that ended has."""
    if search and not search.scan.finished:
        search.scan.release_memory()
