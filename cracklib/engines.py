"""What runs the convolutions: OpenVINO (serving) or TensorFlow fp32 (where OpenVINO can't run).

Both walk ``architecture.BLOCKS``, and both end at the feature map: the head that follows is a
mean and a 512x2 product, done once for both, in float32, by ``classifier``.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np

from cracklib.architecture import BLOCKS, STATISTICS_BLOCK, FeatureLayer
from cracklib.errors import CrackError
from cracklib.tracer import OUTPUT, Tracer
from cracklib.types import FloatArray
from cracklib.weights import Weights


class Description(NamedTuple):
    """What a forward pass says of a batch of photos.

    ``feature_maps`` is float32 (n, rows, columns, channels). ``deviations`` is the standard
    deviation over the photo of each channel after the pooling of ``STATISTICS_BLOCK``, float32
    (n, channels). ``traces`` is what the engine's tracer made of them, float32 (n, rows, columns)
    in [0, 1], a cell for ``tracer.PIXELS_TO_A_CELL`` pixels each way; None without a tracer.
    """

    feature_maps: FloatArray
    deviations: FloatArray
    traces: FloatArray | None


class Engine(Protocol):
    """Photos may have any size. Safe to call from several threads."""

    def describe(self, batch: FloatArray, /) -> Description:
        """One forward pass, of a preprocessed batch, float32 (n, height, width, 3)."""

    def release_memory(self) -> None:
        """Give back what the largest photo made it allocate; the next one takes a moment longer."""


def build_engine(
    name: str, weights: Weights, feature_layer: FeatureLayer, tracer: Tracer | None = None
) -> Engine:
    """The engine called ``name``, one of ``ENGINES``, holding ``weights`` and those of ``tracer``.

    Raises ``CrackError`` where there is no such engine or it can't be imported.
    """
    if name not in ENGINES:
        raise CrackError(
            f"Unknown inference engine '{name}'. "
            f"Set CRACKLIB_ENGINE to one of: {', '.join(ENGINES)}."
        )
    return ENGINES[name](weights, feature_layer, tracer)


def openvino_engine(
    weights: Weights,
    feature_layer: FeatureLayer,
    tracer: Tracer | None = None,
    ranges: Mapping[str, float] | None = None,
) -> Engine:
    """The network as an OpenVINO graph, compiled for this CPU at batch 1.

    OpenVINO computes in bfloat16 where the CPU has it natively and in float32 elsewhere; that is
    its default. Most of what bfloat16 costs in accuracy it costs at the input, where all that
    follows sees the same rounded pixels; so the input comes in two halves (``_split``), which takes
    no measurable time.

    With ``ranges``, from ``measure_ranges``, all convolutions of the network but the first multiply
    integers of 8 bits, which takes a little over half the time (Jacob et al. 2018, sections 2.1 and
    3, https://arxiv.org/abs/1712.05877): kernels are rounded channel by channel, what goes into a
    convolution as its range says. The heat of a photo is then off by some 5 % of its spread.
    """
    ov, ops = _import_openvino()
    halves, outputs, _ = _build_graph(ops, weights, feature_layer, tracer, ranges or {})
    return _OpenVino(_compile(ov, outputs, halves))


def computes_in_8_bits(name: str) -> bool:
    """Whether the engine called ``name`` gains by ``ranges`` on this CPU, and is exact with them.

    CPUs with bfloat16 also have instructions that add products of 8 bits up in 32; on those of
    before, sums can overflow.
    """
    if name != "openvino":
        return False
    ov, _ = _import_openvino()
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def measure_ranges(
    weights: Weights, feature_layer: FeatureLayer, photos: Iterable[FloatArray]
) -> dict[str, float]:
    """The most that goes into each convolution but the first, which is never below 0, by its name.

    ``photos`` are preprocessed, float32 (height, width, 3). Raises ``CrackError`` where OpenVINO
    can't be imported.
    """
    ov, ops = _import_openvino()
    halves, _, inputs = _build_graph(ops, weights, feature_layer, None, {})
    peaks = [ops.reduce_max(x, np.arange(4), False).output(0) for x in inputs.values()]
    request = _compile(ov, peaks, halves).create_infer_request()
    most = np.zeros(len(inputs))
    for photo in photos:
        found = request.infer([_split(photo[np.newaxis])])
        most = np.maximum(most, [float(peak) for peak in found.values()])
    return dict(zip(inputs, most.tolist(), strict=True))


def _import_openvino() -> tuple[Any, Any]:
    """OpenVINO, and its operations."""
    # Without this, importing openvino reports the import to Google Analytics. OpenVINO goes on
    # with its own stub where the package can't be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino as ov  # type: ignore[import-untyped]
        from openvino import opset15 as ops
    except ImportError as error:
        raise CrackError(
            f"OpenVINO can't be loaded here ({error}). Install it ('pip install openvino'), "
            "or set the environment variable CRACKLIB_ENGINE=tensorflow."
        ) from error
    return ov, ops


def _compile(ov: Any, outputs: list[Any], halves: Any) -> Any:
    model = ov.Model(outputs, [halves], "wall_crack_vgg16")
    return ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})


def _build_graph(
    ops: Any,
    weights: Weights,
    feature_layer: FeatureLayer,
    tracer: Tracer | None,
    ranges: Mapping[str, float],
) -> tuple[Any, list[Any], dict[str, Any]]:
    """Its input, its outputs, and what goes into each convolution but the first."""

    def convolve(x: Any, layers: Weights, name: str) -> Any:
        kernel, bias = layers[f"{name}/kernel"], layers[f"{name}/bias"]
        if name == "block1_conv1":
            kernel = np.concatenate([kernel, kernel], axis=2)
        filters = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        pad = [kernel.shape[0] // 2] * 2
        if name in ranges:
            least, most = np.float32(0), np.float32(ranges[name])
            x = ops.fake_quantize(x, least, most, least, most, 256)
            largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
            filters = ops.fake_quantize(filters, -largest, largest, -largest, largest, 255)
        x = ops.convolution(x, filters, [1, 1], pad, pad, [1, 1])
        return ops.add(x, bias.reshape(1, -1, 1, 1))

    halves = ops.parameter([1, -1, -1, 6], np.float32, name="halves")
    x = photo = ops.transpose(halves, np.array([0, 3, 1, 2]))
    inputs, sides = {}, {}
    for block, (count, _) in enumerate(BLOCKS, start=1):
        for index in range(1, count + 1):
            name = f"block{block}_conv{index}"
            if x is not photo:
                inputs[name] = x
            x = ops.relu(convolve(x, weights, name))
        if tracer and block in tracer.blocks:
            sides[block] = ops.relu(convolve(x, tracer.weights, f"block{block}_side"))
        if feature_layer == "block5_conv3" and block == len(BLOCKS):
            break
        x = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
        if block == STATISTICS_BLOCK:
            mean = ops.reduce_mean(x, [2, 3], True)
            variance = ops.reduce_mean(ops.squared_difference(x, mean), [2, 3], False)
            deviations = ops.sqrt(variance).output(0)
    feature_map = ops.transpose(x, np.array([0, 2, 3, 1]))
    outputs = [feature_map.output(0), deviations]
    if tracer:
        rows_columns = np.array([2, 3])
        for block in tracer.blocks:
            side = sides[block]
            if block != tracer.blocks[0]:
                twice = np.array([2, 2], np.float32)
                x = ops.interpolate(x, twice, "linear_onnx", "scales", axes=rows_columns)
                # Pooling leaves out the last row or column of an odd number.
                size = ops.gather(ops.shape_of(x), rows_columns, np.array(0))
                side = ops.slice(side, np.array([0, 0]), size, np.array([1, 1]), rows_columns)
                side = ops.concat([x, side], 1)
            x = ops.relu(convolve(side, tracer.weights, f"block{block}_join"))
        trace = ops.sigmoid(convolve(x, tracer.weights, OUTPUT))
        outputs.append(ops.squeeze(trace, np.array([1])).output(0))
    return halves, outputs, inputs


class _OpenVino:
    """An engine of a compiled OpenVINO model, one photo at a time."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._request, self._lock = compiled.create_infer_request(), Lock()

    def describe(self, batch: FloatArray) -> Description:
        found = []
        for photo in _split(batch)[:, np.newaxis]:
            with self._lock:
                results = self._request.infer([photo])
                found.append([result.copy() for result in results.values()])
        maps, deviations, *traces = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return Description(maps, deviations, traces[0] if traces else None)

    def release_memory(self) -> None:
        with self._lock:
            self._compiled.release_memory()
        # What was freed in pieces stays in glibc's heap until that is asked for it.
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _split(batch: FloatArray) -> FloatArray:
    """(n, rows, columns, 3) as (n, rows, columns, 6): what bfloat16 holds of it, and the rest."""
    halves = np.empty((*batch.shape[:-1], 6), np.float32)
    high, rest = halves[..., :3], halves[..., 3:]
    np.bitwise_and(batch.view(np.uint32), np.uint32(0xFFFF0000), out=high.view(np.uint32))
    np.subtract(batch, high, out=rest)
    return halves


def tensorflow_engine(
    weights: Weights, feature_layer: FeatureLayer, tracer: Tracer | None = None
) -> Engine:
    """The Keras model on TensorFlow, float32."""
    from cracklib.model import build_model, build_tracer

    model = build_model(feature_layer, weights)
    import keras
    import tensorflow as tf

    layers = [model.output["feature_map"], model.get_layer(f"block{STATISTICS_BLOCK}_pool").output]
    if tracer:
        layers.append(build_tracer(model, tracer.blocks, tracer.weights).output)
    outputs = keras.Model(model.input, layers)

    def forward(batch: Any) -> list[Any]:
        feature_map, middle, *logits = outputs(batch, training=False)
        traces = [tf.sigmoid(logit[..., 0]) for logit in logits]
        return [feature_map, tf.math.reduce_std(middle, [1, 2]), *traces]

    signature = tf.TensorSpec([None, None, None, 3], tf.float32)
    return _TensorFlow(tf.function(forward).get_concrete_function(signature))


class _TensorFlow:
    """An engine of a TensorFlow function."""

    def __init__(self, forward: Callable[[FloatArray], list[Any]]) -> None:
        self._forward = forward

    def describe(self, batch: FloatArray) -> Description:
        maps, deviations, *traces = map(np.asarray, self._forward(batch))
        return Description(maps, deviations, traces[0] if traces else None)

    def release_memory(self) -> None:
        """Nothing: TensorFlow keeps what it allocated for its own later use."""


ENGINES: dict[str, Callable[[Weights, FeatureLayer, Tracer | None], Engine]] = {
    "openvino": openvino_engine,
    "tensorflow": tensorflow_engine,
}
