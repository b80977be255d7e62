import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from cracklib import weights as weights_module
from cracklib.architecture import weight_shapes
from cracklib.errors import WeightsError
from cracklib.types import HeatScale, SurfacePrior, WindowScale
from cracklib.weights import (
    ModelCard,
    card_path,
    decode_weights,
    encode_weights,
    load_weights,
    pack_model,
    read_card,
    save_weights,
    sha256,
    unpack_model,
    unpack_upload,
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
    windowed = make_card(window_scale=WindowScale(0.7, -2.0))
    assert ModelCard.from_json(windowed.to_json()) == windowed
    shifted = make_card(surface_prior=SurfacePrior(offset=0.5, deduction=1.5))
    assert ModelCard.from_json(shifted.to_json()) == shifted
    traced = make_card(trace_weight=0.5)
    assert ModelCard.from_json(traced.to_json()) == traced
    searched = make_card(
        window_scale=WindowScale(0.7, -2.0, deduction=4.0), activation_ranges={"block1_conv2": 9.5}
    )
    assert ModelCard.from_json(searched.to_json()) == searched


def test_a_card_from_before_windows_is_read():
    values = json.loads(make_card().to_json())
    del values["window_scale"]
    assert ModelCard.from_json(json.dumps(values)).window_scale is None


def test_a_card_from_before_priors_is_read():
    values = json.loads(make_card().to_json())
    del values["surface_prior"]
    assert ModelCard.from_json(json.dumps(values)).surface_prior is None


def test_a_card_from_before_traces_counted_is_read():
    values = json.loads(make_card().to_json())
    del values["trace_weight"]
    assert ModelCard.from_json(json.dumps(values)).trace_weight == 0


def test_a_card_from_before_8_bits_is_read():
    values = json.loads(make_card().to_json())
    del values["activation_ranges"]
    assert ModelCard.from_json(json.dumps(values)).activation_ranges == {}


@pytest.mark.parametrize(
    "ranges",
    [{"block1_conv2": most} for most in (0, -1, float("nan"), float("inf"), "much", None)] + [[1]],
)
def test_a_card_with_broken_ranges_is_refused(encoded, ranges):
    values = json.loads(make_card().to_json()) | {"activation_ranges": ranges}
    with pytest.raises(WeightsError, match="not a model card"):
        decode_weights(encoded, json.dumps(values), "w")


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "much", None])
def test_a_card_with_a_broken_trace_weight_is_refused(encoded, weight):
    values = json.loads(make_card().to_json()) | {"trace_weight": weight}
    with pytest.raises(WeightsError, match="not a model card"):
        decode_weights(encoded, json.dumps(values), "w")


@pytest.mark.parametrize(
    "prior",
    [
        {"offset": 1},
        {"offset": "a", "deduction": 0},
        {"offset": float("nan"), "deduction": 0},
        {"offset": 0, "deduction": -1},
        [1, 2],
    ],
)
def test_a_card_with_a_broken_surface_prior_is_refused(encoded, prior):
    values = json.loads(make_card().to_json()) | {"surface_prior": prior}
    with pytest.raises(WeightsError, match="not a model card"):
        decode_weights(encoded, json.dumps(values), "w")


def test_a_card_from_before_searches_is_read():
    values = json.loads(make_card(window_scale=WindowScale(0.7, -2.0)).to_json())
    del values["window_scale"]["deduction"]
    assert ModelCard.from_json(json.dumps(values)).window_scale == WindowScale(0.7, -2.0)


@pytest.mark.parametrize(
    "scale",
    [
        {"slope": 0, "offset": 1},
        {"slope": 1, "offset": "far"},
        {"slope": 1},
        [1, 2],
        {"slope": 1, "offset": 0, "deduction": -1},
        {"slope": 1, "offset": 0, "deduction": "much"},
    ],
)
def test_a_card_with_a_broken_window_scale_is_refused(encoded, scale):
    values = json.loads(make_card().to_json()) | {"window_scale": scale}
    with pytest.raises(WeightsError, match="not a model card"):
        decode_weights(encoded, json.dumps(values), "w")


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


def zipped(files, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return file.getvalue()


def test_a_packed_model_comes_back(tmp_path, encoded, card):
    path = tmp_path / "north wall.safetensors"
    save_weights(path, encoded, card)
    packed = pack_model(path)
    assert unpack_model(packed) == (encoded, card.to_json())
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["north wall.safetensors", "north wall.json"]


def test_a_zip_made_by_hand_is_a_model_too():
    data = zipped(
        [
            ("model/w.SAFETENSORS", b"weights"),
            ("model/w.json", "card ü"),
            ("__MACOSX/model/._w.json", b"litter"),
            ("README.txt", b"read me"),
        ],
        zipfile.ZIP_DEFLATED,
    )
    assert unpack_model(data) == (b"weights", "card ü")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged"),
        (b"PK not a zip", "damaged"),
        (zipped([("w.safetensors", b"1")]), "0 .json files"),
        (zipped([("w.safetensors", b"1"), ("a.json", b""), ("b.json", b"")]), "2 .json files"),
        (zipped([("model.h5", b"1"), ("w.json", b"")]), "0 .safetensors files"),
        (zipped([("w.safetensors", b"1"), ("w.json", b"\xff")]), "damaged"),
        (zipped([("w.safetensors", b"1"), ("w.json", b"{}")])[:-30], "damaged"),
        (zipped([("w.safetensors", b"1"), ("w.json", b"{}")], zipfile.ZIP_BZIP2), "deflate"),
        (zipped([(f"{n:0100}", b"") for n in range(9000)]), "too many entries"),
    ],
)
def test_a_zip_that_is_no_model(data, message):
    with pytest.raises(WeightsError, match=message):
        unpack_model(data)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(weights_module, "_unpack", lambda *_: pytest.fail("unpacked"))
    bomb = bytes(weights_module.MAX_WEIGHTS_BYTES + 1)
    packed = zipped([("w.safetensors", bomb), ("w.json", b"{}")], zipfile.ZIP_DEFLATED)
    assert len(packed) < 1e6
    with pytest.raises(WeightsError, match="would have 60 MB; the most is 60 MB"):
        unpack_model(packed)
    long_card = zipped([("w.safetensors", b"1"), ("w.json", bomb)], zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="would have 60 MB; the most is 1 MB"):
        unpack_model(long_card)


def test_a_zip_larger_than_any_model_is_not_opened():
    with pytest.raises(WeightsError, match="The zip has 70 MB"):
        unpack_model(bytes(70_000_000))


def test_a_model_is_given_as_a_zip_or_as_its_two_files():
    packed = zipped([("w.safetensors", b"1"), ("w.json", b"{}")])
    assert unpack_upload([("W.ZIP", packed)]) == (b"1", "{}")
    assert unpack_upload([("w.json", b"{}"), ("w.safetensors", b"1")]) == (b"1", "{}")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["model.h5"], r"\.h5 file is a Keras or HDF5 model.*never opened"),
        (["model.keras", "w.json"], r"\.keras file is a Keras"),
        (["model.PKL"], r"\.pkl file is a pickle.*never opened"),
        (["model.pt"], r"\.pt file is a pickle"),
        (["model.npz"], r"\.npz file is a NumPy file, which may hold a pickle"),
        (["w.safetensors"], r"'w.safetensors' came.*together with its .json card"),
        (["w.json"], "together with its .json card"),
        (["a.zip", "b.zip"], "'a.zip', 'b.zip' came"),
        (["wall.jpg"], "That is no model"),
        ([], "nothing came"),
    ],
)
def test_what_is_no_model_of_ours_is_refused_with_advice(names, message):
    with pytest.raises(WeightsError, match=message):
        unpack_upload([(name, b"") for name in names])


def test_a_card_that_is_no_text_is_refused(tmp_path, encoded, card):
    path = tmp_path / "model.safetensors"
    save_weights(path, encoded, card)
    card_path(path).write_bytes(b"\xff\xfe{")
    with pytest.raises(WeightsError):
        load_weights(path)


def test_a_card_is_read_without_its_weights(tmp_path, encoded, card):
    path = tmp_path / "w.safetensors"
    save_weights(path, encoded, card)
    path.unlink()
    assert read_card(path) == card
    card_path(path).write_text("{}")
    with pytest.raises(WeightsError, match="not a model card"):
        read_card(path)
    card_path(path).unlink()
    with pytest.raises(WeightsError, match="card beside it"):
        read_card(path)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ["a"]},
        {"start": None},
        {"temperature": "1.0"},
        {"temperature": float("inf")},
        {"minutes": "3"},
        {"minutes": float("inf")},
        {"temperature": 10**400},
        {"quality": {"tile": {"auc": {"value": 10**400, "low": 0, "high": 1}}}},
        {"heat_scale": {"low": "a", "high": "b"}},
        {"recipe": ["default"]},
        {"data": {"tile": 3}},
        {"data": {"tile": {"crack": "3"}}},
        {"quality": {"tile": {"recall": {"value": "high", "low": 0, "high": 1}}}},
        {"quality": {"tile": {"recall": {"value": 1}}}},
        {"quality": [1]},
        {"versions": {"python": 3}},
    ],
)
def test_a_card_with_other_types_than_declared_is_refused(encoded, card, change):
    text = json.dumps(json.loads(card.to_json()) | change)
    with pytest.raises(WeightsError, match="not a model card"):
        decode_weights(encoded, text, "w")
