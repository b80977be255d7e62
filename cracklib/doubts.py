"""When not to trust a verdict: what a photo lacks for anyone to see a crack in it, or no wall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from cracklib.types import FloatArray, Pixels

_SIDE_PX = 224
"""Photos are judged at this on their shorter side, as the network sees them; never enlarged."""
_LEAST_SIDE_PX = 64
_BLUR = 0.7
_BLUR_OF_THE_SMOOTH = 0.6
_SMOOTH, _LEAST_DETAIL = 10.0, 2.0
_DARK = 28
_BURNT_OUT_SHARE = 0.2
# Chosen on photos as given and with each fault; `python -m benchmarks.doubts` has what they tell.


@dataclass(frozen=True)
class Doubt:
    """Why a verdict is unsure: ``reason`` and ``advice`` are a sentence each."""

    kind: Literal["small", "dark", "burnt_out", "blurred", "unknown"]
    reason: str
    advice: str


_UNKNOWN = Doubt(
    "unknown",
    "This does not look like a wall or floor the model knows.",
    "Photograph the surface alone, from nearer.",
)


def find_doubts(pixels: Pixels, known_surface: bool | None = None) -> tuple[Doubt, ...]:
    """What makes a verdict on the photo, uint8 RGB (height, width, 3), unsure; mostly nothing.

    ``known_surface`` is what ``Look`` says. A fault of the photo is told first and alone:
    what it shows can't be seen well then.
    """
    doubts = []
    if min(pixels.shape[:2]) < _LEAST_SIDE_PX:
        height, width = pixels.shape[:2]
        reason = f"The photo is very small, {width} × {height} pixels."
        doubts.append(Doubt("small", reason, "Go closer, or give the photo at its full size."))
    shrink = min(1.0, _SIDE_PX / min(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
    if grey.mean() < _DARK:
        doubts.append(Doubt("dark", "The photo is too dark.", "Photograph it with more light."))
    elif (grey >= 250).mean() > _BURNT_OUT_SHARE:
        reason = "Much of the photo is burnt out to white."
        doubts.append(Doubt("burnt_out", reason, "Photograph it with less light, without flash."))
    elif _is_blurred(blur(grey), detail(grey)):
        reason = "The photo is blurred, or shows nothing with any detail."
        doubts.append(Doubt("blurred", reason, "Hold still, focus on the wall, go closer."))
    if not doubts and known_surface is False:
        doubts.append(_UNKNOWN)
    return tuple(doubts)


def _is_blurred(lost_edges: float, found_detail: float) -> bool:
    """A smooth wall has little detail and a soft photo a high blur: one alone must be extreme."""
    soft = lost_edges > _BLUR_OF_THE_SMOOTH and found_detail < _SMOOTH
    return soft or lost_edges > _BLUR or found_detail < _LEAST_DETAIL


def blur(grey: FloatArray) -> float:
    """How little a photo, float32 (height, width), changes when it is blurred once more, in [0, 1].

    Crété et al. 2007 (https://doi.org/10.1117/12.702790): of the differences between neighbours,
    the share that a mean over 5 pixels leaves, in rows or columns, whichever is more. 0 for a
    photo that has none. Over 9, as in the paper, or more, lines a few pixels apart hide a blur.
    """
    left = []
    for axis, window in ((0, (1, 5)), (1, (5, 1))):
        differences = np.abs(np.diff(grey, axis=axis))
        blurred = np.abs(np.diff(cv2.blur(grey, window), axis=axis))
        lost = np.maximum(differences - blurred, 0).sum()
        total = float(differences.sum())
        left.append(1 - float(lost) / total if total else 0.0)
    return max(left)


def detail(grey: FloatArray) -> float:
    """The variance of the Laplacian of a photo, float32 (height, width), in squared grey levels.

    Pech-Pacheco et al. 2000 (https://doi.org/10.1109/ICPR.2000.903548): 0 where all is one colour.
    """
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())
