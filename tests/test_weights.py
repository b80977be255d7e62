import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import save

from cracklib.architecture import weight_shapes
from cracklib.errors import WeightsError
from cracklib.types import HeatScale
from cracklib.weights import (
    ModelCard,
    card_path,
    decode_weights,
    encode_weights,
    load_weights,
    save_weights,
    sha256,
)
from tests.tiny import make_card


@pytest.fixture(scope="module")
def weights():
    zeros = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes().items()}
    zeros["block4_conv2/kernel"][1, 2, 3, 4] = -1.25
    zeros["predictions/bias"][:] = 0.5, -3.0
    return zeros


@pytest.fixture(scope="module")
def encoded(weights):
    return encode_weights(weights)


@pytest.fixture(scope="module")
def card(encoded):
    return make_card(sha256=sha256(encoded), temperature=1.5, quality={"brickwork": {"auc": 0.9}})


def test_weights_and_card_come_back(tmp_path, weights, encoded, card):
    path = tmp_path / "new" / "mine.safetensors"
    save_weights(path, encoded, card)
    loaded, loaded_card = load_weights(path)
    assert loaded_card == card
    assert list(loaded) == list(weight_shapes())
    for name, array in loaded.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, weights[name])


def test_about_30_mb(encoded):
    assert 29e6 < len(encoded) < 30e6


def test_card_of_other_weights_is_not_written(tmp_path, encoded, card):
    with pytest.raises(ValueError, match="other weights"):
        save_weights(
            tmp_path / "w.safetensors", encoded, dataclasses.replace(card, sha256="0" * 64)
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["w.safetensors", "w.json"])
def test_missing_file(tmp_path, encoded, card, missing):
    path = tmp_path / "w.safetensors"
    save_weights(path, encoded, card)
    (tmp_path / missing).unlink()
    with pytest.raises(WeightsError, match=f"{missing}.*card beside it"):
        load_weights(path)


def test_a_changed_byte_is_noticed(encoded, card):
    damaged = bytearray(encoded)
    damaged[-1] ^= 1
    with pytest.raises(WeightsError, match="does not match its card"):
        decode_weights(bytes(damaged), card.to_json(), "w")


def test_no_safetensors(card):
    data = b"pickle, perhaps"
    text = dataclasses.replace(card, sha256=sha256(data)).to_json()
    with pytest.raises(WeightsError, match="not a safetensors file"):
        decode_weights(data, text, "w")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("block1_conv1/bias"), "block1_conv1/bias"),
        (lambda arrays: arrays.update(extra=np.zeros(1)), "extra"),
        (
            lambda arrays: arrays.update({"predictions/kernel": np.zeros((512, 3))}),
            r"predictions/kernel \(512, 3\) instead of \(512, 2\)",
        ),
        (
            lambda arrays: arrays.update({"predictions/bias": np.array([np.nan, 0])}),
            "not finite",
        ),
    ],
)
def test_arrays_of_another_network(weights, card, change, message):
    arrays = dict(weights)
    change(arrays)
    data = save(arrays)
    text = dataclasses.replace(card, sha256=sha256(data)).to_json()
    with pytest.raises(WeightsError, match=message):
        decode_weights(data, text, "w")
    with pytest.raises(WeightsError, match=message):
        encode_weights(arrays)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"name": "a"}',
        json.dumps({"heat_scale": {"low": 2, "high": 1}, "labels": [], "input_size": []}),
    ],
)
def test_no_card(encoded, text):
    with pytest.raises(WeightsError, match="not a model card"):
        decode_weights(encoded, text, "w")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", ("crack", "no_crack")),
        ("input_size", (299, 299)),
        ("preprocessing", "divide by 255"),
        ("feature_layer", "block4_conv3"),
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("verdict_threshold", 1.0),
    ],
)
def test_a_card_that_would_be_misread_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        make_card(**{field: value})


def test_card_json_round_trip():
    card = make_card(heat_scale=HeatScale(-1.5, 6.0), data={"tile": {"crack": 3, "no_crack": 4}})
    assert ModelCard.from_json(card.to_json()) == card


def test_card_lies_beside(tmp_path):
    assert card_path(tmp_path / "a.b.safetensors") == tmp_path / "a.b.json"


@pytest.mark.slow
def test_bundled_weights_load(bundled_weights):
    _, card = load_weights(bundled_weights)
    assert card.sha256 == sha256(bundled_weights.read_bytes())


def test_weights_of_a_number_format_numpy_has_not_are_refused():
    header = b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    encoded = len(header).to_bytes(8, "little") + header + b"\0\0"
    card = make_card(sha256=sha256(encoded))
    with pytest.raises(WeightsError, match="not a safetensors file of float16"):
        decode_weights(encoded, card.to_json(), "mine")


def test_a_card_nested_too_deep_is_refused():
    with pytest.raises(WeightsError, match="not a model card"):
        decode_weights(b"", "[" * 100_000, "mine")
