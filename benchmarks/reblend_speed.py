"""New slider values to an encoded picture of 1,600 px, against matplotlib's ``imshow``.

``python -m benchmarks.reblend_speed``
"""

from __future__ import annotations

import itertools
from functools import partial
from io import BytesIO

import numpy as np

from benchmarks.measure import PHOTO_SIZE, Call, median_seconds, print_table, render_photo
from cracklib.types import FloatArray, Pixels

SLIDERS = [(0.35, "jet", 0.25), (0.5, "viridis", 0.0), (0.8, "magma", 0.5), (0.2, "turbo", 0.1)]
"""Opacity, colormap, threshold."""


def prepare_cracklib(file_format: str, pixels: Pixels, heat: FloatArray) -> Call:
    """``render_overlay`` and an encoder; the heat is upsampled each time, as for a download."""
    from cracklib.overlay import render_overlay
    from cracklib.photo import encode_jpeg, encode_png

    encode = {"jpeg": encode_jpeg, "png": encode_png}[file_format]
    sliders = itertools.cycle(SLIDERS)
    return lambda: encode(render_overlay(pixels, heat, *next(sliders)))


def prepare_matplotlib(file_format: str, pixels: Pixels, heat: FloatArray) -> Call:
    """A figure without margins, one pixel of it a pixel of the photo; heat upsampled beforehand."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from cracklib.overlay import upsample_heat

    height, width = pixels.shape[:2]
    heatmap, sliders = upsample_heat(heat, (height, width)), itertools.cycle(SLIDERS)

    def draw() -> bytes:
        opacity, colormap, threshold = next(sliders)
        figure = Figure(figsize=(width / 100, height / 100), dpi=100)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.imshow(pixels)
        shown = np.ma.masked_less(heatmap, threshold)
        axes.imshow(shown, cmap=colormap, alpha=opacity, vmin=0, vmax=1)
        buffer = BytesIO()
        figure.savefig(buffer, format=file_format)
        return buffer.getvalue()

    return draw


def main() -> None:
    """Print the table."""
    pixels = render_photo()
    heat = np.random.default_rng(0).random((14, 14), np.float32)
    height, width = PHOTO_SIZE
    rows = []
    for file_format in ("jpeg", "png"):
        seconds = median_seconds(
            {
                "cracklib": partial(prepare_cracklib, file_format, pixels, heat),
                "matplotlib": partial(prepare_matplotlib, file_format, pixels, heat),
            },
            rounds=15,
        )
        ours, theirs = (seconds[name] * 1000 for name in ("cracklib", "matplotlib"))
        rows.append([file_format.upper(), f"{ours:.0f}", f"{theirs:.0f}", f"{theirs / ours:.1f}×"])
    print_table(
        [f"re-blend {width}x{height} and encode", "cracklib, ms", "matplotlib, ms", "faster"], rows
    )


if __name__ == "__main__":
    main()
