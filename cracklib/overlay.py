"""A heatmap blended over its photo: the step that runs at every move of a slider."""

from __future__ import annotations

from functools import cache

import cv2
import matplotlib as mpl
import numpy as np

from cracklib.config import DEFAULT_COLORMAP, DEFAULT_OPACITY
from cracklib.types import FloatArray, Pixels

COLORMAPS: tuple[str, ...] = ("jet", "turbo", "viridis", "magma", "inferno", "cividis")
"""Matplotlib names. All but jet and turbo are perceptually ordered; jet is what class activation
maps are usually printed in."""


@cache
def colormap_table(name: str) -> Pixels:
    """The 256 RGB colours of a colormap, uint8 (256, 3), read-only.

    Raises ``ValueError`` for a name that is not in ``COLORMAPS``.
    """
    if name not in COLORMAPS:
        raise ValueError(f"colormap must be one of {', '.join(COLORMAPS)}, not {name!r}")
    rgba = mpl.colormaps[name](np.arange(256), bytes=True)
    table: Pixels = np.ascontiguousarray(rgba[:, :3])
    table.flags.writeable = False
    return table


def upsample_heat(heat: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Bilinear interpolation of one channel to ``size`` (height, width), half-pixel centres.

    ``heat`` is float32 (rows, columns) in any unit. Interpolation is linear, so it gives the same
    after the 512 channels are projected to one as before, at a 512th of the work.
    """
    height, width = size
    upsampled: FloatArray = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    # Rounding must not carry a value past the extremes: heat stays in [0, 1].
    return np.clip(upsampled, heat.min(), heat.max(), out=upsampled)


def fit_heat(heat: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Heat at ``size`` (height, width), larger or smaller.

    Where it grows, ``upsample_heat``. Where it shrinks, each pixel has the most heat of those that
    fall together in it and in its neighbours, so that a crack of one pixel is still seen from afar.
    """
    if heat.shape == size:
        return heat
    rows, columns = (-(-have // want) for have, want in zip(heat.shape, size, strict=True))
    if max(rows, columns) == 1:
        return upsample_heat(heat, size)
    around = np.ones((3 * rows - 2, 3 * columns - 2), np.uint8)
    hottest = cv2.dilate(heat, around, anchor=(columns - 1, rows - 1))
    fitted = cv2.resize(hottest, size[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(fitted, np.float32)


def render_overlay(
    pixels: Pixels,
    heat: FloatArray,
    opacity: float = DEFAULT_OPACITY,
    colormap: str = DEFAULT_COLORMAP,
    threshold: float = 0.0,
) -> Pixels:
    """``(1 - opacity) * photo + opacity * colour`` where heat >= threshold, else the photo itself.

    ``pixels`` is uint8 RGB (height, width, 3); ``heat`` is float32 in [0, 1], of the photo's size
    or brought to it by ``fit_heat``. Opacity 0 gives the photo, 1 the bare colours. Returns new
    uint8 RGB pixels, rounded to the nearest. Raises ``ValueError`` where heat, opacity or threshold
    leaves [0, 1], or for an unknown colormap.
    """
    for name, value in (("opacity", opacity), ("threshold", threshold)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} must be in [0, 1], not {value}")
    # Written so that a NaN in the heat, which makes both extremes NaN, is refused as well.
    low, high = float(heat.min()), float(heat.max())
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(f"heat must be in [0, 1], not {low} to {high}")
    heat = fit_heat(heat, pixels.shape[:2])

    table = colormap_table(colormap).reshape(256, 1, 3)
    colours = cv2.applyColorMap(cv2.convertScaleAbs(heat, alpha=255.0), table)
    # Into the memory that is there already: fresh pages would cost as much as the arithmetic.
    overlay: Pixels = cv2.addWeighted(pixels, 1.0 - opacity, colours, opacity, 0.0, dst=colours)
    if threshold > 0.0:
        cv2.copyTo(pixels, (heat < threshold).view(np.uint8), overlay)
    return overlay


def render_swatch(colormap: str, width_px: int = 256, height_px: int = 16) -> Pixels:
    """A strip of the colormap from heat 0 (left) to heat 1 (right), uint8 (height, width, 3)."""
    index = np.rint(np.linspace(0, 255, width_px)).astype(np.intp)
    return np.tile(colormap_table(colormap)[index], (height_px, 1, 1))
