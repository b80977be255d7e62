import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cracklib.architecture import weight_shapes
from cracklib.engines import (
    ENGINES,
    _split,
    build_engine,
    computes_in_8_bits,
    measure_ranges,
    openvino_engine,
)
from cracklib.errors import CrackError
from cracklib.photo import read_photo
from cracklib.pipeline import Inspector


@pytest.fixture(scope="module")
def weights():
    """Drawn as He et al. 2015, so that activations neither vanish nor explode."""
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)
        if name.endswith("kernel")
        else rng.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in weight_shapes().items()
    }


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(1).uniform(-120, 150, (3, 224, 224, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def openvino(weights):
    return build_engine("openvino", weights, "block5_conv3")


@pytest.mark.parametrize(("feature_layer", "side"), [("block5_conv3", 14), ("block5_pool", 7)])
def test_engines_agree(weights, batch, feature_layer, side):
    one = batch[:1]
    engines = {name: build_engine(name, weights, feature_layer) for name in ENGINES}
    maps = {name: engine.describe(one).feature_maps for name, engine in engines.items()}
    for feature_map in maps.values():
        assert feature_map.shape == (1, side, side, 512)
        assert feature_map.dtype == np.float32
    error = np.abs(maps["openvino"] - maps["tensorflow"]).max()
    assert error < 0.02 * maps["tensorflow"].max()
    told = {name: engine.describe(one)[1] for name, engine in engines.items()}
    assert told["openvino"].shape == (1, 512)
    assert np.abs(told["openvino"] - told["tensorflow"]).max() < 0.02 * told["tensorflow"].max()


def test_a_batch_is_its_photos_one_by_one(openvino, batch):
    one_by_one = np.concatenate(
        [openvino.describe(batch[i : i + 1]).feature_maps for i in range(len(batch))]
    )
    np.testing.assert_array_equal(openvino.describe(batch).feature_maps, one_by_one)


def test_threads_do_not_mix_photos(openvino, batch):
    expected = openvino.describe(batch).feature_maps
    with ThreadPoolExecutor(3) as pool:
        results = list(
            pool.map(lambda i: openvino.describe(batch[i % 3 : i % 3 + 1]).feature_maps, range(12))
        )
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result[0], expected[i % 3])


def test_ranges_are_the_most_that_goes_into_a_convolution(weights, batch):
    ranges = measure_ranges(weights, "block5_conv3", batch[:2])
    assert len(ranges) == 12
    assert "block1_conv1" not in ranges, "what goes into it is the photo"
    of_each = [measure_ranges(weights, "block5_conv3", [photo]) for photo in batch[:2]]
    for name, most in ranges.items():
        assert most == max(one[name] for one in of_each)
    kernel, bias = weights["block1_conv1/kernel"], weights["block1_conv1/bias"]
    around = np.stack([batch[:2, i : i + 222, j : j + 222] for i in range(3) for j in range(3)], -2)
    inside = np.einsum("nhwkc,kco->nhwo", around, kernel.reshape(9, 3, 64)) + bias
    assert ranges["block1_conv2"] == pytest.approx(inside.max(), rel=0.1)


def test_in_8_bits_the_map_is_nearly_the_same(weights, batch, openvino):
    if not computes_in_8_bits("openvino"):
        pytest.skip("this CPU gains nothing by it")
    ranges = measure_ranges(weights, "block5_conv3", batch)
    rounded = openvino_engine(weights, "block5_conv3", ranges=ranges).describe(batch).feature_maps
    exact = openvino.describe(batch).feature_maps
    assert 0 < np.abs(rounded - exact).mean() < 0.05 * exact.mean()


def test_split_is_exact(batch):
    halves = _split(batch)
    np.testing.assert_array_equal(halves[..., :3] + halves[..., 3:], batch)
    assert not (halves[..., :3].copy().view(np.uint32) & 0xFFFF).any(), "not bfloat16"


def test_unknown_engine(weights):
    with pytest.raises(CrackError, match="CRACKLIB_ENGINE to one of: openvino, tensorflow"):
        build_engine("torch", weights, "block5_conv3")


def test_missing_openvino_says_what_to_set(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(CrackError, match="CRACKLIB_ENGINE=tensorflow"):
        build_engine("openvino", weights, "block5_conv3")


def test_serving_imports_neither_tensorflow_nor_telemetry():
    script = """
import sys
import numpy as np
from cracklib.architecture import weight_shapes
from cracklib.engines import build_engine
import cracklib.pipeline
zeros = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes().items()}
build_engine("openvino", zeros, "block5_conv3")
unwanted = {"tensorflow", "keras", "openvino_telemetry.main", "streamlit"}
print(sorted(unwanted & set(sys.modules)), "openvino" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] True"


@pytest.mark.slow
def test_engines_agree_on_real_photos(bundled_weights, shared_data):
    files = sorted((shared_data / "val").glob("*/*"))[::50]
    one, other = (Inspector.load(bundled_weights, name) for name in ENGINES)
    for file in files:
        photo = read_photo(file)
        a, b = one.inspect(photo), other.inspect(photo)
        assert a.probability == pytest.approx(b.probability, abs=0.02), file.name
        assert a.verdict == b.verdict, file.name
