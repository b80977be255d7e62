"""The pages, and what keeps Streamlit from running one of them on its own.

Until ``st.navigation`` is first called, Streamlit takes a folder named ``pages`` for a multipage
app of the older kind: after a start, the first visitor of /about would get that page bare, without
what ``streamlit_app`` puts around it.
"""

from __future__ import annotations

import streamlit as st

from ui import scan, session

_ROUTED = "routed"


def choose_page() -> st.Page:
    """Show the menu; return the page that the address names."""
    inspect = st.Page("pages/inspect.py", title="Inspect", default=True)
    train = st.Page("pages/train.py", title="Train")
    model = st.Page("pages/model.py", title="Model")
    about = st.Page("pages/about.py", title="How it works")
    page = st.navigation([inspect, train, model, about], position="top")
    if page is not inspect:
        session.leave()
        scan.leave()
    return page


def run_page(page: st.Page) -> None:
    """Run ``page`` from ``streamlit_app``."""
    st.session_state[_ROUTED] = True
    try:
        page.run()
    finally:
        del st.session_state[_ROUTED]


def require_router() -> None:
    """Start over with ``streamlit_app`` where the page was not run by ``run_page``."""
    if _ROUTED not in st.session_state:
        choose_page()
        st.rerun()
