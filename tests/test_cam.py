import numpy as np
import pytest

from cracklib.cam import class_activation_map, strongest_window, to_heat
from cracklib.types import HeatScale


@pytest.fixture
def feature_map():
    return np.random.default_rng(0).random((4, 5, 6), np.float32)


@pytest.fixture
def head():
    rng = np.random.default_rng(1)
    return rng.normal(size=(6, 2)).astype(np.float32), np.array([0.3, -0.2], np.float32)


def test_by_hand():
    feature_map = np.array([[[1, 0], [0, 2]]], np.float32)
    kernel = np.array([[1, 4], [3, 1]], np.float32)
    bias = np.array([1, 2], np.float32)
    # Place 0: (4 - 1) * 1 + (2 - 1) = 4. Place 1: (1 - 3) * 2 + (2 - 1) = -3. Over 2.
    evidence = class_activation_map(feature_map, kernel, bias, temperature=2.0)
    assert evidence.dtype == np.float32
    assert evidence.tolist() == [[2.0, -1.5]]


def test_mean_is_the_log_odds(feature_map, head):
    kernel, bias = head
    logits = feature_map.mean((0, 1)) @ kernel + bias
    odds = np.exp(logits[1] / 1.7) / np.exp(logits[0] / 1.7)
    evidence = class_activation_map(feature_map, kernel, bias, temperature=1.7)
    assert evidence.mean() == pytest.approx(np.log(odds), abs=1e-5)


def test_agrees_with_gradients(feature_map, head):
    """With global average pooling, Zhou's map is gradient times feature (Selvaraju et al. 2017)."""
    import tensorflow as tf

    from cracklib.model import keras

    inputs = keras.Input(feature_map.shape)
    dense = keras.layers.Dense(2)
    model = keras.Model(inputs, dense(keras.layers.GlobalAveragePooling2D()(inputs)))
    dense.set_weights(head)
    batch = tf.constant(feature_map[None])
    with tf.GradientTape() as tape:
        tape.watch(batch)
        logits = model(batch)
        difference = logits[0, 1] - logits[0, 0]
    gradient = tape.gradient(difference, batch)[0].numpy()
    places = feature_map.shape[0] * feature_map.shape[1]
    expected = (gradient * places * feature_map).sum(-1) + head[1][1] - head[1][0]
    evidence = class_activation_map(feature_map, *head, temperature=1.0)
    np.testing.assert_allclose(evidence, expected, rtol=1e-4, atol=1e-5)


def test_heat_is_clipped_to_the_fixed_scale():
    evidence = np.array([[-9.0, -1.0, 1.0], [2.0, 3.0, 50.0]], np.float32)
    heat = to_heat(evidence, HeatScale(-1.0, 3.0))
    assert heat.dtype == np.float32
    assert heat.tolist() == [[0.0, 0.0, 0.5], [0.75, 1.0, 1.0]]


def test_a_weak_map_is_not_stretched():
    heat = to_heat(np.array([[-5.0, -4.0]], np.float32), HeatScale(-1.0, 3.0))
    assert heat.max() == 0.0


def test_the_strongest_window_by_hand():
    evidence = np.array([[0, 0, 4, 4], [0, 0, 4, 0], [-9, 0, 0, 0]], np.float32)
    assert strongest_window(evidence, 1) == 4
    assert strongest_window(evidence, 2) == (4 + 4 + 4 + 0) / 4
    # Two rows are all that a window of three has to the top and bottom of two: none is larger.
    assert strongest_window(evidence[:2], 3) == pytest.approx(12 / 6)


def test_a_window_as_large_as_the_map_is_its_mean(feature_map, head):
    evidence = class_activation_map(feature_map, *head, temperature=1.3)
    assert strongest_window(evidence, 9) == pytest.approx(evidence.mean(), abs=1e-6)
    assert strongest_window(evidence, 2) > evidence.mean()
