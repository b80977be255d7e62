"""Fixtures: an inspector on the tiny network, photos made by hand, the real weights and photos."""

from pathlib import Path

import numpy as np
import pytest

from cracklib import config
from cracklib.classifier import Classifier
from cracklib.photo import encode_png
from cracklib.pipeline import Inspector
from cracklib.types import Photo
from tests.tiny import TINY_HEAD, make_card, tiny_engine

APP = str(Path(__file__).resolve().parent.parent / "streamlit_app.py")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def unattended(monkeypatch):
    """Nothing looks after the store of one test while another runs."""
    monkeypatch.setattr("ui.own_folder._LOOK_EVERY_S", 1_000_000)


@pytest.fixture
def inspector():
    return Inspector(Classifier(tiny_engine, TINY_HEAD, make_card()))


@pytest.fixture
def app(inspector, monkeypatch, tmp_path):
    """The app, not yet run, with ``inspector`` for its model and a store of its own."""
    from streamlit.testing.v1 import AppTest

    from ui.model import bundled_inspector
    from ui.own_folder import store

    monkeypatch.setattr(Inspector, "load", lambda: inspector)
    monkeypatch.setenv("CRACKLIB_STORE", str(tmp_path / "store"))
    for cache in (bundled_inspector, store):
        cache.clear()
    yield AppTest.from_file(APP, default_timeout=60)
    for cache in (bundled_inspector, store):
        cache.clear()


@pytest.fixture
def clean_wall():
    return Photo(np.full((60, 90, 3), 200, np.uint8), "clean.png")


@pytest.fixture
def dark_corner():
    """A light wall, black in its lower right quarter."""
    pixels = np.full((60, 90, 3), 140, np.uint8)
    pixels[30:, 45:] = 0
    return Photo(pixels, "dark.png")


@pytest.fixture
def save_photo():
    def save(photo, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(photo.pixels))
        return path

    return save


@pytest.fixture(scope="session")
def bundled_weights():
    if not config.BUNDLED_WEIGHTS.exists():
        pytest.skip("no bundled weights in weights/")
    return config.BUNDLED_WEIGHTS


@pytest.fixture(scope="session")
def shared_data():
    if not SHARED_DATA.is_dir():
        pytest.skip("no labelled photos in ../shared/data")
    return SHARED_DATA
