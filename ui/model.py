"""The network, loaded once for all sessions."""

from __future__ import annotations

import streamlit as st

from cracklib.pipeline import Inspector


@st.cache_resource(show_spinner="Loading the model …")
def load_inspector() -> Inspector:
    """Raises ``WeightsError`` or ``CrackError``; nothing is kept then, so a reload tries again."""
    return Inspector.load()
