"""The labelled photos of a session."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from cracklib.config import SESSION_UNUSED_S
from cracklib.intake import PhotoSet
from cracklib.store import SessionFolder
from cracklib.types import Verdict

KINDS: dict[Verdict, str] = {"crack": "Cracked", "no_crack": "Not cracked"}
"""The labels, as the page calls them."""
CHOICES: dict[Verdict | None, str] = {**KINDS, None: "Leave out"}
"""The labels to choose from, or none."""


def photo_set(folder: SessionFolder) -> PhotoSet:
    """The photos of the session, one object for all its tabs. Raises ``DatasetError``."""
    return _open(_photos_of(folder))


def forget_photos(folder: SessionFolder) -> None:
    """Let go of what is known of the photos of a session that was deleted."""
    _open.clear(_photos_of(folder))


def _photos_of(folder: SessionFolder) -> Path:
    return folder.path / "photos"


@st.cache_resource(show_spinner=False, ttl=SESSION_UNUSED_S)
def _open(path: Path) -> PhotoSet:
    return PhotoSet(path)
