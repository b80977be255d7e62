"""A second look at a photo: mirrored, and from nearer.

What a network makes of a photo changes a little when the photo is turned or seen larger, though the
wall does not. The mean of two looks is steadier than either (test-time augmentation; Simonyan and
Zisserman 2015, section 3.2, https://arxiv.org/abs/1409.1556). What it does for verdicts and heat,
and what other looks do, is in ``weights/TRAINING.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cracklib.architecture import STRIDE
from cracklib.preprocess import preprocess_pixels, resize_to_input
from cracklib.types import FloatArray, Pixels

_Number = TypeVar("_Number", np.float32, np.uint8)

NEARER = 1.4
"""Sides of what the second look sees, compared with the first: about twice the area."""


def look_again(
    look: Callable[[FloatArray], FloatArray],
    pixels: Pixels,
    size: tuple[int, int],
    first: FloatArray,
) -> FloatArray:
    """The mean of the first look's class activation map and that of a second look.

    ``look`` gives the map of a preprocessed photo, float32 (height, width, 3), as float32 (rows,
    columns); ``first`` is what it gave for ``pixels``, uint8 RGB, seen at ``size`` (height, width).
    The second look sees the photo ``NEARER`` and mirrored in the diagonal from bottom left to top
    right. float32 of the shape of ``first``; its mean is that of both looks' log-odds.
    """
    height, width = (STRIDE * round(side * NEARER / STRIDE) for side in size)
    seen = _mirror(resize_to_input(pixels, (height, width)))
    found = _mirror(look(preprocess_pixels(seen)))
    second = cv2.resize(found, first.shape[::-1], interpolation=cv2.INTER_AREA)
    mean: FloatArray = (first + second) / np.float32(2)
    return mean


def _mirror(picture: NDArray[_Number]) -> NDArray[_Number]:
    return np.ascontiguousarray(picture[::-1, ::-1].swapaxes(0, 1))
