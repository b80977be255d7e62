"""What was uploaded, taken once and not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile


def show_uploader(
    name: str, label: str, take: Callable[[list[UploadedFile]], None], **options: Any
) -> None:
    """An uploader that is empty again once its files were taken."""
    key = f"{name}-{n_taken(name)}"
    st.file_uploader(label, key=key, on_change=_take, args=(name, key, take), **options)


def n_taken(name: str) -> int:
    """How often this session took the files of the uploader ``name``."""
    return _taken()[name]


def let_go(files: Sequence[UploadedFile]) -> None:
    """Free the memory of uploads that were taken: Streamlit keeps it while the tab is connected."""
    context = get_script_run_ctx()
    for file in files:
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


def _take(name: str, key: str, take: Callable[[list[UploadedFile]], None]) -> None:
    value = st.session_state[key]
    # The browser may tell of them again after they are let go: then they are no files any more.
    files = [
        f for f in (value if isinstance(value, list) else [value]) if isinstance(f, UploadedFile)
    ]
    if files:
        _taken()[name] += 1
        let_go(files)
        take(files)


def _taken() -> Counter[str]:
    taken: Counter[str] = st.session_state.setdefault("n-taken", Counter())
    return taken
