"""From photos to the network's input: its size, enough light, then VGG16's own preprocessing."""

from __future__ import annotations

import cv2
import numpy as np

from cracklib.architecture import STRIDE
from cracklib.config import INPUT_SIZE, LARGE_INPUT_SIDE_PX, LARGE_PHOTO_PX
from cracklib.types import FloatArray, Pixels

LONGEST_INPUT_PX = 1024
"""A strip of any length costs no more than this wide."""

IMAGENET_MEANS_BGR = np.array([103.939, 116.779, 123.68], np.float32)

LIGHT_MEDIAN, MOST_GAIN = 140.0, 2.5


def to_input(pixels: Pixels, size: tuple[int, int] = INPUT_SIZE) -> FloatArray:
    """One photo, uint8 RGB of any size, as the network sees it: float32 (height, width, 3)."""
    seen = resize_to_input(pixels, size)
    return preprocess_pixels(brighten(seen, light_gain(seen)))


def large_input_size(size: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width that a photo of ``size`` is seen at if it is large, else None.

    Large is what has more than ``LARGE_PHOTO_PX`` on its longer side: at 288x288, thin cracks in it
    could not be seen. Each side is a whole number of cells and at least that of the usual input.
    The aspect ratio is kept and the area is that of a square of ``LARGE_INPUT_SIDE_PX``, but for
    long strips, which that makes less long.
    """
    if max(size) <= LARGE_PHOTO_PX:
        return None
    scale = LARGE_INPUT_SIDE_PX / (size[0] * size[1]) ** 0.5
    height, width = (
        max(least, STRIDE * round(side * scale / STRIDE))
        for side, least in zip(size, INPUT_SIZE, strict=True)
    )
    return min(height, LONGEST_INPUT_PX), min(width, LONGEST_INPUT_PX)


def resize_to_input(pixels: Pixels, size: tuple[int, int] = INPUT_SIZE) -> Pixels:
    """Squeeze a whole photo, uint8 (height, width, 3), to ``size``, 224x224 by default.

    There the aspect ratio is not kept: a crack at the border counts as much as one in the middle.
    """
    height, width = size
    # INTER_AREA averages only where it enlarges neither side, and else drops pixels.
    smaller = min(width, pixels.shape[1]), min(height, pixels.shape[0])
    shrunk = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def light_gain(pixels: Pixels) -> float:
    """How many times brighter a dark photo, uint8 RGB, should be shown; 1 where there is light.

    So that the median of its grey levels is ``LIGHT_MEDIAN``, but no more than ``MOST_GAIN``. A
    crack keeps its contrast: pixels are scaled together. It hardly moves the median.
    """
    median = float(np.median(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)))
    return min(MOST_GAIN, max(1.0, LIGHT_MEDIAN / max(median, 1.0)))


def brighten(pixels: Pixels, gain: float) -> Pixels:
    """``pixels``, uint8, times ``gain``, no more than 255."""
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=gain), np.uint8)


def preprocess_pixels(pixels: Pixels) -> FloatArray:
    """``keras.applications.vgg16.preprocess_input``: RGB to BGR, less the ImageNet means.

    uint8 (..., 3) in, float32 of the same shape out; ``pixels`` itself is left as it is.
    """
    return np.subtract(pixels[..., ::-1], IMAGENET_MEANS_BGR, dtype=np.float32, order="C")
