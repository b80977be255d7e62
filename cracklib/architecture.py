"""The network as data: one table that every builder walks.

VGG16's convolutional base (Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556,
configuration D), global average pooling, and a dense head with two outputs. ``model`` builds it in
Keras for training, ``engines`` in OpenVINO for serving; both read this table, so they can't differ.
"""

from __future__ import annotations

from typing import Literal

BLOCKS: tuple[tuple[int, int], ...] = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Per block: how many 3x3 convolutions, and their channels. A 2x2 max pooling ends each block."""

FEATURES = 512
HEAD = "predictions"
STRIDE = 16
"""Pixels of the photo, each way, to a cell of the map of block5_conv3."""
STATISTICS_BLOCK = 4
"""The block after whose pooling ``surface`` reads how much each channel varies over a photo."""

FeatureLayer = Literal["block5_conv3", "block5_pool"]
"""What is averaged: the last convolution (14x14, the map's mean is exactly the logit) or, as in the
article this started from, the pooling after it (7x7)."""
FEATURE_LAYERS: tuple[FeatureLayer, ...] = ("block5_conv3", "block5_pool")


def convolution_names() -> list[str]:
    """Names of the 13 convolutions in order, the ones Keras's own VGG16 uses."""
    return [
        f"block{block}_conv{index}"
        for block, (count, _) in enumerate(BLOCKS, start=1)
        for index in range(1, count + 1)
    ]


def weight_shapes() -> dict[str, tuple[int, ...]]:
    """Name to shape of every weight: ``<layer>/kernel`` (rows, columns, in, out) and ``/bias``."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for block, (count, filters) in enumerate(BLOCKS, start=1):
        for index in range(1, count + 1):
            layer = f"block{block}_conv{index}"
            shapes[f"{layer}/kernel"] = (3, 3, channels, filters)
            shapes[f"{layer}/bias"] = (filters,)
            channels = filters
    shapes[f"{HEAD}/kernel"] = (FEATURES, 2)
    shapes[f"{HEAD}/bias"] = (2,)
    return shapes
