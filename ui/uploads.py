"""What was uploaded, taken once and not kept."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile


def take_uploads(key: str) -> list[UploadedFile]:
    """The files in the uploader ``key`` that were not taken before: the browser may tell of them
    again after the uploader is gone.
    """
    value = st.session_state[key]
    files = [
        f for f in (value if isinstance(value, list) else [value]) if isinstance(f, UploadedFile)
    ]
    let_go(files)
    return files


def let_go(files: Sequence[UploadedFile]) -> None:
    """Free the memory of uploads that were taken: Streamlit keeps it while the tab is connected."""
    context = get_script_run_ctx()
    for file in files:
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
