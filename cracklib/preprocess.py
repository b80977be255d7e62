"""From photos to the network's input: squeeze to 224x224, then VGG16's own preprocessing."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cracklib.config import INPUT_SIZE
from cracklib.types import FloatArray, Photo, Pixels

IMAGENET_MEANS_BGR = np.array([103.939, 116.779, 123.68], np.float32)


def to_batch(photos: Sequence[Photo]) -> FloatArray:
    """The network's input for one photo or more: float32 of shape (n, 224, 224, 3)."""
    return preprocess_pixels(np.stack([resize_to_input(photo.pixels) for photo in photos]))


def resize_to_input(pixels: Pixels) -> Pixels:
    """Squeeze a whole photo, uint8 (height, width, 3), to uint8 (224, 224, 3).

    The aspect ratio is not kept: a crack at the border counts as much as one in the middle.
    """
    height, width = INPUT_SIZE
    shrinks = pixels.shape[0] > height or pixels.shape[1] > width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=method), np.uint8)


def preprocess_pixels(pixels: Pixels) -> FloatArray:
    """``keras.applications.vgg16.preprocess_input``: RGB to BGR, less the ImageNet means.

    uint8 (..., 3) in, float32 of the same shape out; ``pixels`` itself is left as it is.
    """
    return np.subtract(pixels[..., ::-1], IMAGENET_MEANS_BGR, dtype=np.float32, order="C")
