"""A second look at a photo, mirrored and in grey.

What a network makes of a photo changes when the photo is turned or loses its colour, though the
crack does not. The mean of two looks is steadier than either (test-time augmentation; Simonyan and
Zisserman 2015, section 3.2, https://arxiv.org/abs/1409.1556). What it does for verdicts and heat,
and what other looks do, is in ``weights/TRAINING.md``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cracklib.preprocess import IMAGENET_MEANS_BGR
from cracklib.types import FloatArray


def look_again(
    look: Callable[[FloatArray], FloatArray], photo: FloatArray, first: FloatArray
) -> FloatArray:
    """The mean of the first look's class activation map and that of a second look.

    ``look`` gives the map of a preprocessed photo, float32 (height, width, 3), as float32 (rows,
    columns); ``first`` is what it gave for ``photo``. The second look sees the photo in grey and
    transposed, that is, mirrored in a diagonal. float32 of the shape of ``first``; its mean is that
    of both looks' log-odds.
    """
    grey = (photo + IMAGENET_MEANS_BGR).mean(axis=2, keepdims=True) - IMAGENET_MEANS_BGR
    second = look(np.ascontiguousarray(grey.swapaxes(0, 1))).T
    mean: FloatArray = (first + second) / np.float32(2)
    return mean
