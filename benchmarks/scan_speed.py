"""A photo searched at its own resolution: seconds and memory, from 1 to 60 megapixels.

``python -m benchmarks.scan_speed`` (Linux; a minute)
"""

from __future__ import annotations

import multiprocessing
import re
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.measure import print_table, render_photo
from cracklib.config import DISPLAY_THRESHOLD
from cracklib.types import Photo, Pixels

SIZES = ((864, 1152), (1500, 2000), (3000, 4000), (4240, 5656), (6300, 9520))
"""1, 3, 12, 24 and 60 megapixels."""


class Measured(NamedTuple):
    """Seconds for one look, for the search, and for the crack's heat and an overlay of it; and the
    most memory that the process had resident, in MB.
    """

    once_s: float
    search_s: float
    draw_s: float
    peak_mb: float


def wall_of(size: tuple[int, int]) -> Pixels:
    """A cracked wall of any size, uint8 RGB: the benchmarks' photo over and over, mirrored."""
    tile = render_photo()
    height, width = size
    below, beside = max(0, height - tile.shape[0]), max(0, width - tile.shape[1])
    wall = cv2.copyMakeBorder(tile, 0, below, 0, beside, cv2.BORDER_REFLECT)
    return np.ascontiguousarray(wall[:height, :width])


def measure_search(size: tuple[int, int]) -> Measured:
    """In a process of its own, which has nothing else in its memory."""
    from cracklib.pipeline import Inspector

    inspector, photo = Inspector.load(engine="openvino"), Photo(wall_of(size))
    inspector.inspect(photo)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is that of drawing the wall
    start = time.perf_counter()
    once = inspector.inspect(photo)
    looked = time.perf_counter()
    searched = inspector.search(once)
    found = time.perf_counter()
    searched.overlay(threshold=DISPLAY_THRESHOLD)
    drawn = time.perf_counter()
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    return Measured(looked - start, found - looked, drawn - found, int(peak[1]) * 1024 / 1e6)


def main() -> None:
    """Print the table."""
    rows = []
    for size in SIZES:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawn) as process:
            measured = process.submit(measure_search, size).result()
        megapixels = size[0] * size[1] / 1e6
        rows.append(
            [
                f"{megapixels:.0f} ({size[1]}x{size[0]})",
                f"{measured.once_s:.2f}",
                f"{measured.search_s:.1f}",
                f"{measured.draw_s:.1f}",
                f"{(measured.search_s + measured.draw_s) / megapixels:.2f}",
                f"{measured.peak_mb:,.0f}",
            ]
        )
    print_table(
        [
            "megapixels",
            "looks at the whole, s",
            "search, s",
            "crack heat and overlay, s",
            "both, s a megapixel",
            "peak memory, MB",
        ],
        rows,
    )


if __name__ == "__main__":
    main()
