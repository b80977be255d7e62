"""The article's function, which the benchmarks measure against, on a network of a few channels."""

import numpy as np
import pytest
from scipy.ndimage import zoom

from cracklib.architecture import HEAD

CHANNELS = 5


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def article(keras):
    from benchmarks import article

    return article


@pytest.fixture(scope="module")
def model(keras):
    """The network's shape with one block: convolution, pooling, convolution, average, softmax."""
    keras.utils.set_random_seed(3)
    photo = x = keras.Input((16, 24, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = keras.layers.MaxPooling2D(4)(x)
    x = keras.layers.Conv2D(CHANNELS, 3, padding="same", activation="relu", name="features")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(2, name=HEAD)(x)
    return keras.Model(photo, keras.layers.Softmax()(logits))


@pytest.fixture
def batch():
    return np.random.default_rng(0).uniform(-120, 120, (1, 16, 24, 3)).astype(np.float32)


@pytest.mark.parametrize("predicted", [0, 1])
def test_projecting_first_gives_the_article_map(keras, article, model, batch, predicted):
    """Projection commutes with interpolation, so cracklib may project before it upsamples."""
    from cracklib.cam import article_heat, class_maps

    kernel = np.abs(np.random.default_rng(1).standard_normal((CHANNELS, 2))).astype(np.float32)
    bias = np.array([0.0, 1e4 if predicted else -1e4], np.float32)
    model.get_layer(HEAD).set_weights([kernel, bias])

    [features] = keras.Model(model.input, model.get_layer("features").output).predict(
        batch, verbose=0
    )
    small = article_heat(class_maps(features, kernel)[predicted])
    assert small.shape == (4, 6)
    expected = zoom(small, (4, 4), order=1)
    np.testing.assert_allclose(
        article.article_map(model, "features", batch), expected / expected.max(), atol=1e-5
    )


def test_overlay_blends_jet_at_opacity_035_over_the_photo(article, monkeypatch):
    """Heat 1 is jet's last colour, half a red: 0.65 * 100 + 0.35 * (127.5, 0, 0)."""
    ones = np.ones((224, 224), np.float32)
    monkeypatch.setattr(article, "article_map", lambda *_: ones)
    photo = np.full((40, 60, 3), 100, np.uint8)

    overlay = article.article_overlay(None, "features", photo)

    assert overlay.shape == photo.shape
    assert overlay.dtype == np.uint8
    np.testing.assert_allclose(overlay.reshape(-1, 3), [[110, 65, 65]] * 2400, atol=1)
