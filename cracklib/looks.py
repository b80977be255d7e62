"""Two looks at a photo, the second smaller, mirrored and in grey.

What a network makes of a photo changes when the photo is seen at another size, turned, or loses its
colour, though the crack does not. The mean of two looks is steadier than either (test-time
augmentation; Simonyan and Zisserman 2015, section 3.2, https://arxiv.org/abs/1409.1556). What it
does for verdicts and heat, and what other looks do, is in ``weights/DIARY.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cracklib.architecture import STRIDE
from cracklib.overlay import upsample_heat
from cracklib.preprocess import IMAGENET_MEANS_BGR, to_input
from cracklib.refine import crack_likeness
from cracklib.types import FloatArray, Look, Pixels

FIRST_LOOK_SIZE = (288, 288)
"""Height and width that a photo is seen at first, unless it is large and judged in windows."""
LARGEST_SHARE, SMALLEST_SHARE = 7 / 9, 5 / 9
"""Of the first look's side that the second sees: 224 of 288 px, or 160."""


def second_look_size(size: tuple[int, int], first: tuple[int, int]) -> tuple[int, int]:
    """Height and width that a photo of ``size`` is seen at after it was seen at ``first``.

    ``LARGEST_SHARE`` of that, in whole cells; so much less as its shorter side has fewer pixels
    than 224, so that it is not enlarged, but no less than ``SMALLEST_SHARE``.
    """
    share = min(LARGEST_SHARE, max(SMALLEST_SHARE, min(size) / FIRST_LOOK_SIZE[0]))
    height, width = (STRIDE * round(side * share / STRIDE) for side in first)
    return height, width


def look_twice(
    look: Callable[[FloatArray], Look], pixels: Pixels, seen_at: tuple[int, int]
) -> Look:
    """What a first look sees, with the mean of its evidence and that of a second look.

    ``look`` looks at a preprocessed photo, float32 (height, width, 3). It first sees ``pixels``,
    uint8 RGB, at the height and width ``seen_at``, and then at ``second_look_size``, in grey and
    transposed, that is, mirrored in a diagonal. What the first traces is looked for in the photo.
    """
    first = look(to_input(pixels, seen_at))
    photo = to_input(pixels, second_look_size(pixels.shape[:2], seen_at))
    grey = (photo + IMAGENET_MEANS_BGR).mean(axis=2, keepdims=True) - IMAGENET_MEANS_BGR
    second = look(np.ascontiguousarray(grey.swapaxes(0, 1))).evidence.T
    again = upsample_heat(second, first.evidence.shape)
    evidence = (first.evidence + again) / np.float32(2)
    if first.trace is None:
        return replace(first, evidence=evidence)
    likeness = crack_likeness(pixels, evidence.shape, first.trace)
    return replace(first, evidence=evidence, likeness=likeness)
