"""Measured against true width and length of rendered cracks.

``python -m benchmarks.crack_widths``; it also draws ``docs/crack-widths.png``.

Every crack is a stroke of one exact width along an exact line, on a wall of the project's renderer.
Light is what mixes in a pixel, so the stroke is laid over the wall in linear light, blurred, given
noise and saved as JPEG. The mask handed to the measurement is the stroke worn: displaced, grown or
worn thin by a pixel or two, and with gaps, so that the width can't be read from it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.measure import print_table
from cracklib.centreline import polyline_length, resample
from cracklib.photo import decode_photo, encode_jpeg
from cracklib.regions import CrackRegion, find_regions
from cracklib.synthesis import WALL_KINDS, render_wall
from cracklib.types import Pixels

WIDTHS_PX = (0.8, 1.2, 1.6, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
ORIENTATIONS_DEG = tuple(22.5 * eighth for eighth in range(8))
SHAPES = ("curved", "broken")
SIDE_PX = 384
PLOT = Path(__file__).resolve().parent.parent / "docs" / "crack-widths.png"

_SUBPIXELS = 8


class Measured(NamedTuple):
    """One crack: what it is and what was measured, all in pixels; nan where nothing was found."""

    width: float
    length: float
    measured_width: float
    measured_length: float
    width_of_mask: float


def main() -> None:
    """Measure them all, print the table, draw the plot."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    results = {
        width: [
            measure(np.random.default_rng((number, int(10 * width))), width, number)
            for number in range(rounds * len(WALL_KINDS) * len(ORIENTATIONS_DEG))
        ]
        for width in WIDTHS_PX
    }
    rows = []
    for width, cracks in results.items():
        found = [crack for crack in cracks if np.isfinite(crack.measured_width)]
        of_width = np.array([crack.measured_width - width for crack in found])
        of_length = np.array([crack.measured_length / crack.length - 1 for crack in found])
        of_mask = np.array([crack.width_of_mask - width for crack in found])
        allowed = max(0.15 * width, 0.7)
        rows.append(
            [
                f"{width:.1f}",
                f"{len(found)} / {len(cracks)}",
                f"{np.median(of_width):+.2f}",
                f"{np.median(np.abs(of_width)):.2f}",
                f"{np.percentile(np.abs(of_width), 90):.2f}",
                f"{allowed:.2f}",
                f"{np.median(np.abs(of_mask)):.2f}",
                f"{100 * np.median(np.abs(of_length)):.1f}",
                f"{100 * np.percentile(np.abs(of_length), 90):.1f}",
            ]
        )
    print_table(
        [
            "width, px",
            "found",
            "median error",
            "median absolute error",
            "90 % within",
            "bar",
            "mask alone: median absolute error",
            "length: median absolute error, %",
            "90 % within, %",
        ],
        rows,
    )
    draw_plot(results)


def measure(rng: np.random.Generator, width: float, number: int) -> Measured:
    """Render crack ``number`` of its width and measure it."""
    kind = WALL_KINDS[number % len(WALL_KINDS)]
    turn = ORIENTATIONS_DEG[number // len(WALL_KINDS) % len(ORIENTATIONS_DEG)]
    wall = render_wall(rng, (SIDE_PX, SIDE_PX), kind)
    line = draw_line(rng, turn + rng.uniform(-11.25, 11.25), SHAPES[number % 2])
    coverage = cover(line, width)
    pixels = photograph(rng, wall, coverage)
    mask = worn(rng, coverage)
    regions = find_regions(pixels, mask, coverage.astype(np.float32))
    length = polyline_length(line)
    if not regions:
        return Measured(width, length, *[float("nan")] * 3)
    # The gaps cut no crack in two, but what wear left at its end may.
    whole: CrackRegion = max(regions, key=lambda region: region.length_px)
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    x, y = np.concatenate(whole.centreline).T
    of_mask = float(2 * distance[np.int32(y).clip(0, 383), np.int32(x).clip(0, 383)].mean() - 1)
    return Measured(width, length, whole.mean_width_px, whole.length_px, of_mask)


def draw_line(rng: np.random.Generator, turn_deg: float, shape: str) -> NDArray[np.float64]:
    """A line about 250 px long through the middle, (n, 2): a slow wave, or straight pieces."""
    along = np.linspace(-125, 125, 251)
    if shape == "curved":
        across = rng.uniform(4, 14) * np.sin(along / rng.uniform(30, 60) + rng.uniform(0, 7))
    else:
        knots = np.linspace(-125, 125, int(rng.integers(5, 9)))
        across = np.interp(along, knots, rng.uniform(-12, 12, len(knots)))
    turn = np.radians(turn_deg)
    x = np.cos(turn) * along + np.sin(turn) * across
    y = -np.sin(turn) * along + np.cos(turn) * across
    return np.stack([x, y], axis=1) + SIDE_PX / 2 + rng.uniform(-8, 8, 2)


def cover(line: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """The share of each pixel within ``width / 2`` of the line, whose ends are cut square."""
    step_px = 0.05
    dense = resample(line, step_px)
    tree = cKDTree(dense)
    near = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    corners = np.int32(line)[:, None]
    cv2.polylines(near, [corners], isClosed=False, color=1, thickness=int(width) + 6)
    rows, columns = np.nonzero(near)
    corner = np.stack([columns, rows], axis=1)
    # Only pixels on the edge and at the ends are looked at in parts.
    distance, index = tree.query(corner + 0.5)
    from_end = step_px * np.minimum(index, len(dense) - 1 - index)
    parted = (np.abs(distance - width / 2) < 0.75) | ((distance < width / 2) & (from_end < 0.75))
    at = (np.arange(_SUBPIXELS) + 0.5) / _SUBPIXELS
    parts = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    points = corner[parted][:, None] + parts
    to_line, index = tree.query(points, distance_upper_bound=width / 2)
    inside = np.isfinite(to_line) & (index > 0) & (index < len(dense) - 1)
    share = np.where(distance < width / 2, 1.0, 0.0)
    share[parted] = inside.mean(axis=1)
    coverage = np.zeros((SIDE_PX, SIDE_PX))
    coverage[rows, columns] = share
    return coverage


def photograph(rng: np.random.Generator, wall: Pixels, coverage: NDArray[np.float64]) -> Pixels:
    """The wall with the crack as a camera shows it.

    The floor of the crack has 0 to 60 % of the wall's pixel values, unevenly; blur has a deviation
    of 0.3 to 1 px on top of the pixel's own, noise one of 1 to 5 grey levels.
    """
    tone = rng.uniform(0, 0.6) * (1 + 0.15 * rng.standard_normal(coverage.shape))
    floor = np.clip(wall * tone[..., None], 0, 255)
    light = _decode(wall) * (1 - coverage[..., None]) + _decode(floor) * coverage[..., None]
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 1.0))
    noisy = _encode(light) + rng.uniform(1, 5) * rng.standard_normal(light.shape)
    pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return decode_photo(encode_jpeg(pixels, quality=int(rng.integers(85, 97)))).pixels


def worn(rng: np.random.Generator, coverage: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A mask that follows the crack as one made by a detector does."""
    mask = (coverage >= min(0.35, 0.6 * coverage.max())).astype(np.uint8)
    noise = [cv2.GaussianBlur(rng.standard_normal(mask.shape), (0, 0), 6) for _ in range(2)]
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32)
    shift = [np.float32(0.8 / field.std()) * field.astype(np.float32) for field in noise]
    mask = cv2.remap(mask, columns + shift[0], rows + shift[1], cv2.INTER_NEAREST)
    mask = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=int(rng.integers(0, 3)))
    for x, y in rng.permutation(np.argwhere(mask)[:, ::-1])[:3]:
        cv2.circle(mask, (int(x), int(y)), 1, 0, -1)
    return mask > 0


def draw_plot(results: dict[float, Sequence[Measured]]) -> None:
    """Measured against true width, and the error of the length, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    widths, lengths = figure.subplots(1, 2)
    true = np.geomspace(0.7, 23, 100)
    allowed = np.maximum(0.15 * true, 0.7)
    widths.fill_between(true, true - allowed, true + allowed, color="0.9", label="bar for medians")
    widths.plot(true, true, color="0.6", linewidth=1)
    for number, (width, cracks) in enumerate(results.items()):
        spread = width * np.exp(np.random.default_rng(0).uniform(-0.05, 0.05, len(cracks)))
        first = number == 0
        for name, colour in (("width_of_mask", "tab:orange"), ("measured_width", "tab:blue")):
            values = np.array([getattr(crack, name) for crack in cracks])
            label = {"width_of_mask": "mask alone", "measured_width": "from the light"}[name]
            widths.scatter(spread, values, s=5, color=colour, alpha=0.35, linewidths=0)
            widths.plot(
                width, np.nanmedian(values), "o", color=colour, markeredgecolor="black",
                label=f"{label}, median" if first else None,
            )  # fmt: skip
        error = [100 * (crack.measured_length / crack.length - 1) for crack in cracks]
        lengths.scatter(spread, error, s=5, color="tab:blue", alpha=0.35, linewidths=0)
        lengths.plot(width, np.nanmedian(error), "o", color="tab:blue", markeredgecolor="black")
    ticks = (0.8, 1.2, 2, 3, 5, 8, 12, 20)
    for axes in (widths, lengths):
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("true width, px")
        axes.spines[["top", "right"]].set_visible(False)
    widths.set_yscale("log")
    widths.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    widths.minorticks_off()
    widths.set_ylim(0.3, 30)
    widths.set_ylabel("measured width, px")
    widths.legend(frameon=False)
    lengths.axhspan(-5, 5, color="0.9", zorder=0)
    lengths.axhline(0, color="0.6", linewidth=1)
    lengths.set_ylim(-12, 12)
    lengths.set_ylabel("error of the length, %")
    figure.savefig(PLOT)


def _decode(values: NDArray[np.generic]) -> NDArray[np.float64]:
    share = np.asarray(values, np.float64) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _encode(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


if __name__ == "__main__":
    main()
