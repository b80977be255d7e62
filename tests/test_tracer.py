import numpy as np
import pytest
from safetensors.numpy import save_file

from cracklib import classifier as classifier_module
from cracklib.architecture import weight_shapes
from cracklib.classifier import Classifier, find_tracer, load_classifier
from cracklib.engines import ENGINES, build_engine
from cracklib.errors import WeightsError
from cracklib.pipeline import Inspector
from cracklib.preprocess import preprocess_pixels
from cracklib.synthesis import render_crack, render_wall
from cracklib.tracer import ALL_BLOCKS, EARLY_BLOCKS, Tracer, read_tracer, tracer_shapes
from cracklib.types import Photo
from cracklib.weights import encode_weights, layers_sha256, save_weights, sha256
from tests.tiny import TINY_HEAD, PlainEngine, make_card, tiny_map


def drawn(shapes, seed):
    """Weights drawn as He et al. 2015."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)
        if name.endswith("kernel")
        else np.full(shape, 0.1, np.float32)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize(
    ("blocks", "cells"), [(ALL_BLOCKS, (32, 48)), (EARLY_BLOCKS, (34, 50))], ids=["all", "early"]
)
def test_engines_trace_alike(blocks, cells):
    """Also where pooling leaves out a row or column."""
    weights = drawn(weight_shapes(), 0)
    tracer = Tracer(blocks, "", drawn(tracer_shapes(blocks), 1))
    tracer.weights["trace/kernel"] /= 50
    photo = np.random.default_rng(2).uniform(-120, 150, (1, 70, 102, 3)).astype(np.float32)
    traces = {
        name: build_engine(name, weights, "block5_conv3", tracer).describe(photo).traces
        for name in ENGINES
    }
    assert traces["openvino"].shape == traces["tensorflow"].shape == (1, *cells)
    assert np.ptp(traces["tensorflow"]) > 0.1
    np.testing.assert_allclose(traces["openvino"], traces["tensorflow"], atol=0.02)


def test_a_trace_reaches_to_the_border_of_an_odd_photo():
    class Tracing(PlainEngine):
        def describe(self, batch):
            side = np.linspace(0, 1, 110, dtype=np.float32)
            traces = np.broadcast_to(side, (len(batch), 110, 110))
            return super().describe(batch)._replace(traces=traces)

    classifier = Classifier(Tracing(tiny_map), TINY_HEAD, make_card())
    trace = classifier.look(np.zeros((223, 221, 3), np.float32)).trace
    assert trace.shape == (112, 111)
    assert trace.dtype == np.uint8
    assert trace[0, 0] == 0
    assert (trace[:, -2:] == 255).all()


def test_the_tracer_is_that_of_the_layers(tmp_path, monkeypatch):
    """Of all, or of those that no training run changes, or none."""
    weights = {name: np.ones(shape, np.float32) for name, shape in weight_shapes().items()}
    paths = tmp_path / "tracer.safetensors", tmp_path / "early_tracer.safetensors"
    monkeypatch.setattr(classifier_module, "TRACERS", paths)
    assert find_tracer(weights) is None, "there is none"
    for path, blocks in zip(paths, (ALL_BLOCKS, EARLY_BLOCKS), strict=True):
        layers = layers_sha256(weights, max(blocks))
        save_file(drawn(tracer_shapes(blocks), 0), path, metadata={"layers_sha256": layers})
    assert find_tracer(weights).blocks == ALL_BLOCKS
    weights["block5_conv3/bias"] = weights["block5_conv3/bias"] + 1
    assert find_tracer(weights).blocks == EARLY_BLOCKS
    weights["block3_conv3/bias"] = weights["block3_conv3/bias"] + 1
    assert find_tracer(weights) is None


def test_without_its_tracer_a_card_gives_traces_no_weight(tmp_path, monkeypatch):
    """It was fitted for the decoder of all blocks, and no other's log-odds are the same."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes().items()}
    encoded = encode_weights(weights)
    path = tmp_path / "mine.safetensors"
    save_weights(path, encoded, make_card(sha256=sha256(encoded), trace_weight=0.5))
    tracer = tmp_path / "tracer.safetensors"
    monkeypatch.setattr(classifier_module, "TRACERS", (tracer,))
    assert load_classifier(path).card.trace_weight == 0
    for blocks, weight in ((EARLY_BLOCKS, 0), (ALL_BLOCKS, 0.5)):
        layers = layers_sha256(weights, max(blocks))
        save_file(drawn(tracer_shapes(blocks), 0), tracer, metadata={"layers_sha256": layers})
        assert load_classifier(path).card.trace_weight == weight


def damage_bytes(path):
    path.write_bytes(b"not a tracer")


def damage_names(path):
    arrays = drawn(tracer_shapes(ALL_BLOCKS), 0)
    save_file(arrays | {"more": np.zeros(1)}, path, metadata={"layers_sha256": ""})


def damage_metadata(path):
    save_file(drawn(tracer_shapes(ALL_BLOCKS), 0), path)


@pytest.mark.parametrize("damage", [damage_bytes, damage_names, damage_metadata])
def test_a_damaged_tracer_is_told(tmp_path, damage):
    path = tmp_path / "tracer.safetensors"
    damage(path)
    with pytest.raises(WeightsError, match=r"tracer\.safetensors"):
        read_tracer(path)


@pytest.mark.slow
def test_the_bundled_tracer_follows_a_crack_that_turns(bundled_weights):
    """It belongs to the bundled weights, and finds a crack that nobody trained on."""
    classifier = load_classifier(bundled_weights)
    rng = np.random.default_rng(20)
    pixels, mask = render_crack(render_wall(rng, (224, 224), "concrete"), rng, "single", 4.0)
    trace = classifier.look(preprocess_pixels(pixels)).trace
    assert trace is not None, "run weights/fit_tracer.py again where the weights are others"
    cracked = mask[::2, ::2]
    assert trace[cracked].mean() > trace[~cracked].mean() + 60
    assert Inspector(classifier).inspect(Photo(pixels)).traces[0].shape == (144, 144)
