"""A tiny network that finds dark spots, in the one place where the real one would be."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cracklib import config
from cracklib.classifier import Classifier
from cracklib.photo import encode_png
from cracklib.pipeline import Inspector
from cracklib.types import HeatScale, Photo
from cracklib.weights import ModelCard

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def tiny_engine(batch):
    """Feature map (n, 7, 7, 2): how dark and how light each place is, in [0, 2] about."""
    grey = np.stack(
        [cv2.resize(image.mean(-1), (7, 7), interpolation=cv2.INTER_AREA) for image in batch]
    )
    return np.stack([np.maximum(-grey, 0), np.maximum(grey, 0)], axis=-1) / np.float32(64)


TINY_HEAD = {
    "predictions/kernel": np.array([[0.0, 4.0], [1.0, 0.0]], np.float32),
    "predictions/bias": np.array([0.5, 0.0], np.float32),
}


def make_card(**changes):
    values = {
        "name": "tiny",
        "sha256": "0" * 64,
        "feature_layer": "block5_conv3",
        "temperature": 1.0,
        "verdict_threshold": 0.5,
        "heat_scale": HeatScale(0.0, 4.0),
        "start": "made by hand",
    }
    return ModelCard(**(values | changes))


@pytest.fixture
def inspector():
    return Inspector(Classifier(tiny_engine, TINY_HEAD, make_card()))


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
