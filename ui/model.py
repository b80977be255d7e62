"""The model that judges in this session: the bundled one, or one the person trained or uploaded."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import streamlit as st

from cracklib.errors import CrackError, WeightsError
from cracklib.pipeline import Inspector
from ui.own_folder import own_folder
from ui.text import plain


def load_inspector() -> Inspector:
    """The network with the weights in use. Where they can't be used, says so and goes back to the
    bundled ones.

    Raises ``WeightsError`` or ``CrackError`` for the bundled ones.
    """
    folder = own_folder(create=False)
    path = folder.model_in_use() if folder else None
    if path is None:
        return bundled_inspector()
    try:
        return inspector_at(path)
    except CrackError as error:
        use_model(None)
        problem = f"Your model ‘{path.stem}’ can't be used, so the bundled one is. {error}"
        st.warning(plain(problem), icon=":material/warning:")
        return bundled_inspector()


@st.cache_resource(show_spinner="Loading the model …")
def bundled_inspector() -> Inspector:
    """Raises ``WeightsError`` or ``CrackError``; nothing is kept then, so a reload tries again."""
    return Inspector.load()


def inspector_at(path: Path) -> Inspector:
    """The network with the weights at ``path``, loaded once for as long as they stay the same.

    Raises ``WeightsError`` or ``CrackError``.
    """
    try:
        written_ns = path.stat().st_mtime_ns
    except FileNotFoundError as error:
        raise WeightsError(f"The model '{path.stem}' is not there any more.") from error
    return _load(path, written_ns)


def model_in_use() -> str | None:
    """Name of the model that judges in this session; None is the bundled one."""
    folder = own_folder(create=False)
    path = folder.model_in_use() if folder else None
    return path.stem if path else None


def use_model(name: str | None) -> None:
    """Choose the model that judges in this session; None is the bundled one.

    Raises ``WeightsError`` where the session has no model called ``name``.
    """
    folder = own_folder(create=False)
    if folder:
        folder.use_model(name)
    elif name is not None:
        raise WeightsError(f"There is no model called '{name}' any more. Choose another.")


def show_model_in_use() -> None:
    """Say that a model of the person's own judges, where one does, with the way back."""
    name = model_in_use()
    if name is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="model-in-use"):
        st.markdown(f"Judged by your model **‘{plain(name)}’**.", width="content")
        st.button(
            "Back to the bundled model",
            icon=":material/undo:",
            type="tertiary",
            on_click=use_model,
            args=(None,),
        )


@st.cache_resource(max_entries=4, ttl=timedelta(hours=1), show_spinner="Loading your model …")
def _load(path: Path, written_ns: int) -> Inspector:
    return Inspector.load(path)
