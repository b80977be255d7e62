"""From the coarse heat to the crack itself: where the network's evidence meets dark, thin lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product

import cv2
import numpy as np
from numpy.typing import NDArray

from cracklib.architecture import STRIDE
from cracklib.config import DISPLAY_THRESHOLD
from cracklib.overlay import upsample_heat
from cracklib.types import FloatArray, Pixels, Trace

# Everything here was chosen on one half of the masked photos; `benchmarks.refined_heat` has both.
_SIDE_PX = 384
"""Shorter side that lines are looked for at. Finer than this, a crack's rim is grain and dust."""
_STRIP = 4
"""So many times as finely as the network looked along its longer side, at most: a strip, however
long, is to take no more time and memory than that."""
_SURROUNDINGS_PX = 192
_WINDOW_CELLS = 29
"""Cells of the median's window, ``_SURROUNDINGS_PX`` in all; coarse, for the sake of its time."""
_BLACK = 8.0
"""Grey levels that count for nothing, so that noise in the dark is no contrast."""
_RIDGE_SIGMAS_PX = (1, 2, 3, 5)
_RIDGE_FULL, _FINE_RIDGE_FULL = 200.0, 60.0
"""Curvature that counts in full, as seen at once and at the finer scales of a search, where what
is left to find is faint."""
_RIDGE_SHARE = 0.6
_TRACE_SHARE = 0.5
"""Of what ridges count for, where there is a trace."""
_TRACED_ENOUGH = 0.4
"""From this much of a trace on, what is dark counts in full."""
_JOINT_PX = (40, 160)
"""Straight lines begin to count as joints at the first length and fully do at the second."""
_JOINT_WIDTH_PX = 5
_JOINT_WEIGHT = 0.6
_HEAT_POWER = 0.3
_REACH_PX = 32
_REACH_POWER = 1.5
"""Heat reaches so far along a crack, and is there no more than its likeness to this power."""
_MIDDLE = 0.46
"""The product that is drawn as half heat: few cracks reach 0.6, and no colours are to lie idle."""
_FAINT_SHARE, _FAINT_HEAT, _MOST_ODDS = 0.002, 0.36, 4.0
"""For ``raise_faint``: so many pixels reach at least so much heat, if that takes no more."""
_SEEN_HEAT = 0.28
"""For ``show_hottest``: a little above what is drawn."""
_THIN = 0.13
"""For ``follow_thin``: a crack goes on where its heat is above this."""
_STRONGEST = 0.005
"""Share of the pixels that is read for the verdict: a thin crack has no more."""
_TILE_PX = 1024
_HALO_PX = 160
"""Of what a tile sees beside itself: more than half of the surroundings, and what heat reaches."""
_TRACED = 0.005
"""Heat that comes to no more than 0.08, where ``measurement`` ends a crack, whatever the pixels."""


def crack_likeness(
    pixels: Pixels, cells: tuple[int, int], trace: Trace | None = None
) -> FloatArray:
    """How much each pixel looks like one of a crack, whatever the evidence there.

    Needs no pixel labels: what looks like a crack is darker than its surroundings, the bottom of a
    dark valley or what ``trace`` says, and no long straight line. With a trace, what is dark counts
    only as far as there is some of it.

    ``pixels`` is uint8 RGB (height, width, 3); ``cells`` are the rows and columns of the heat, a
    cell for ``STRIDE`` pixels of what the network saw; ``trace`` is of the same look, None where
    there is no tracer. Lines are looked for at 384 px on the photo's shorter side, or as finely as
    the network looked if that is more; a smaller photo is taken as it is. Returns float32 in [0, 1]
    of the size that lines were looked for at.
    """
    small = _seen_for(pixels, cells)
    traced = None if trace is None else upsample_heat(trace.astype(np.float32), small.shape[:2])
    return _likeness(small, straight_lines(small), traced)


def prominence(likeness: FloatArray) -> float:
    """How much a photo's most crack-like places stand out from the rest of it, in log-odds.

    Those of the mean of the strongest half per cent of ``likeness``, float32 in [0, 1], less those
    of the mean of the strongest half: a rough wall looks a little like a crack all over. 0 to 12.5.
    """
    sizes = [max(1, round(share * likeness.size)) for share in (_STRONGEST, 0.5)]
    ordered = np.partition(likeness, [-size for size in sizes], axis=None)
    means = [(255 * float(ordered[-size:].mean(dtype=np.float64)) + 0.5) / 256 for size in sizes]
    strongest, rest = (math.log(mean / (1 - mean)) for mean in means)
    return strongest - rest


def refine_heat(
    pixels: Pixels,
    heat: FloatArray,
    trace: Trace | None = None,
    likeness: FloatArray | None = None,
) -> FloatArray:
    """Heat that follows the crack: ``heat**0.3`` times ``crack_likeness``.

    The product, in [0, 1], is spread over the colours by ``product**2 / (product**2 + 0.46**2)``,
    which changes no order. With a trace, heat is first carried along cracks: see ``_carry``. Where
    no heat reaches nothing is drawn, whatever it looks like.

    ``pixels`` and ``trace`` are as for ``crack_likeness``, and ``likeness`` is what that gives,
    where it is at hand; ``heat`` is float32 (rows, columns) in [0, 1]. Returns float32 in [0, 1] of
    the size that lines were looked for at; ``upsample_heat`` brings it to the photo's.
    """
    if likeness is None:
        likeness = crack_likeness(pixels, heat.shape, trace)
    return _refine(upsample_heat(heat, likeness.shape), likeness, carried=trace is not None)


def raise_faint(heat: FloatArray) -> FloatArray:
    """The refined heat of a photo that is called cracked, so that a faint crack is drawn, too.

    The odds of all heat, ``heat / (1 - heat)``, are multiplied by what lets 0.2 % of the pixels
    reach 0.36, by 4 at most; where they do without, ``heat`` is returned as it is. That changes no
    order. float32 (rows, columns) in [0, 1] in and out.
    """
    strongest = float(np.quantile(heat, 1 - _FAINT_SHARE))
    if strongest >= _FAINT_HEAT:
        return heat
    wanted = _FAINT_HEAT / (1 - _FAINT_HEAT)
    odds = min(_MOST_ODDS, wanted * (1 - strongest) / max(strongest, 1e-6))
    return _multiply_odds(heat, odds)


def show_hottest(heat: FloatArray) -> FloatArray:
    """The refined heat of a photo that a search calls cracked: where most of it is, it is drawn.

    Where no heat reaches 0.28 the odds of all of it are multiplied by what lets the most do so.
    That changes no order. float32 (rows, columns) in [0, 1] in and out.
    """
    most = float(heat.max())
    if not 0 < most < _SEEN_HEAT:
        return heat
    return _multiply_odds(heat, _SEEN_HEAT / (1 - _SEEN_HEAT) * (1 - most) / most)


def follow_thin(heat: FloatArray) -> FloatArray:
    """The refined heat of a photo that is surely cracked, drawn on where a crack gets thin.

    The odds of what ``hysteresis`` finds down to 0.13 are raised so much that all of it is drawn.
    float32 (rows, columns) in [0, 1] in and out.
    """
    odds = DISPLAY_THRESHOLD / (1 - DISPLAY_THRESHOLD) * (1 - _THIN) / _THIN
    followed, drawn = heat.copy(), hysteresis(heat, _THIN)
    followed[drawn] = _multiply_odds(heat[drawn], odds)
    return followed


def hysteresis(heat: FloatArray, low: float) -> NDArray[np.bool_]:
    """Where heat is drawn, and from there on as long as it stays above ``low``.

    That is, all connected pieces above ``low`` that reach ``DISPLAY_THRESHOLD`` somewhere (Canny
    1986, https://doi.org/10.1109/TPAMI.1986.4767851). float32 (rows, columns) in, bool of the same
    shape out.
    """
    # scikit-image's own takes a gigabyte more for a photo of 60 megapixels.
    count, pieces = cv2.connectedComponents((heat > low).view(np.uint8))
    drawn = np.zeros(count, np.bool_)
    drawn[pieces[heat >= DISPLAY_THRESHOLD]] = True
    found: NDArray[np.bool_] = drawn[pieces]
    return found


def _multiply_odds(heat: FloatArray, factor: float) -> FloatArray:
    raised: FloatArray = np.float32(factor) * heat
    odds_and_one = raised - heat
    odds_and_one += 1
    raised /= odds_and_one
    return raised


def refine_scales(
    pixels: Pixels,
    coarsest: FloatArray,
    heats: Sequence[FloatArray],
    traces: Sequence[Trace] = (),
) -> FloatArray:
    """The heat of a photo that was searched at several scales, refined at each of them.

    ``pixels`` is uint8 RGB (height, width, 3); ``coarsest`` is the refined heat of the photo as a
    whole; ``heats`` are those of the finer scales, from the coarsest of them to the finest, as for
    ``refine_heat``, and so are ``traces``, one for each or none at all. Each place has the most
    that any scale gives it: a wide crack is seen whole from afar, a hairline from near. Straight
    lines are those of the photo as a whole, for from near any crack has straight pieces. Returns
    float32 in [0, 1] of the size of the finest scale.

    The finer scales are done in tiles, and where there is no heat not at all.
    """
    refined = coarsest
    lines = straight_lines(_shrunk(pixels, coarsest.shape))
    of_scales: Sequence[Trace | None] = traces or [None] * len(heats)
    for heat, trace in zip(heats, of_scales, strict=True):
        at_scale = _seen_for(pixels, heat.shape)
        coarser, size = refined, at_scale.shape[:2]
        refined = np.empty(size, np.float32)
        for tile, seen in _tiles(size):
            refined[tile] = _part(coarser, size, tile)
            heat_seen = _part(heat, size, seen)
            if heat_seen.max() > _TRACED:
                lines_seen = _part(lines, size, seen)
                trace_seen = None if trace is None else _part(trace, size, seen)
                alike = _likeness(at_scale[seen], lines_seen, trace_seen, _FINE_RIDGE_FULL)
                found = _refine(heat_seen, alike, carried=trace is not None)
                inner = tuple(
                    slice(a.start - b.start, a.stop - b.start)
                    for a, b in zip(tile, seen, strict=True)
                )
                np.maximum(refined[tile], found[inner], out=refined[tile])
    return refined


def _seen_for(pixels: Pixels, cells: tuple[int, ...]) -> Pixels:
    """The photo at the size that lines are looked for at."""
    shortest, longest = sorted(pixels.shape[:2])
    finest = STRIDE * min(cells)
    shrink = 1.0
    if shortest > max(_SIDE_PX, finest + STRIDE - 1):
        shrink = max(_SIDE_PX, finest) / shortest
    shrink = min(shrink, _STRIP * STRIDE * max(cells) / longest)
    if shrink == 1:
        return pixels
    height, width = (max(1, round(side * shrink)) for side in pixels.shape[:2])
    return _shrunk(pixels, (height, width))


def _shrunk(pixels: Pixels, size: tuple[int, ...]) -> Pixels:
    height, width = size
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _likeness(
    pixels: Pixels,
    lines: FloatArray,
    trace: FloatArray | None,
    ridge_full: float = _RIDGE_FULL,
) -> FloatArray:
    """All of one size; ``trace`` in [0, 255]."""
    # Mortar, brick and paint are lit in at least one channel; the inside of a crack is in none.
    red, green, blue = cv2.split(pixels)
    brightness = np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)
    ridges: FloatArray = np.sqrt(dark_ridges(brightness, ridge_full))
    dark = darkness(brightness)
    if trace is not None:
        trace = trace / np.float32(255)
        ridges = (1 - _TRACE_SHARE) * ridges + _TRACE_SHARE * trace
        dark *= np.minimum(trace / _TRACED_ENOUGH, 1)
    likeness = (1 - _RIDGE_SHARE) * dark + _RIDGE_SHARE * ridges
    likeness *= 1 - _JOINT_WEIGHT * lines
    return likeness


def _refine(heat: FloatArray, likeness: FloatArray, carried: bool) -> FloatArray:
    """Both of one size."""
    if carried:
        heat = _carry(heat, likeness)
    refined: FloatArray = (likeness * heat**_HEAT_POWER) ** 2
    return refined / (refined + _MIDDLE**2)


def _carry(heat: FloatArray, likeness: FloatArray) -> FloatArray:
    """Heat that reaches 32 px along what looks like a crack: seen in one place, all of it is meant.

    A geodesic dilation (Vincent 1993, https://doi.org/10.1109/83.217222): each step takes the most
    of a pixel and its eight neighbours, but no more than ``likeness**1.5`` where that is more than
    the pixel had. All float32 (rows, columns) in [0, 1].
    """
    ceiling = np.maximum(heat, likeness**_REACH_POWER)
    neighbours = np.ones((3, 3), np.uint8)
    for _ in range(_REACH_PX):
        heat = np.minimum(cv2.dilate(heat, neighbours), ceiling)
    return heat


_Region = tuple[slice, slice]


def _tiles(size: tuple[int, int]) -> Iterator[tuple[_Region, _Region]]:
    """Tiles of about one size, and what each has to see for it."""
    rows, columns = (
        [slice(*ends) for ends in pairwise(side * n // count for n in range(count + 1))]
        for side, count in ((side, -(-side // _TILE_PX)) for side in size)
    )
    for tile in product(rows, columns):
        seen = tuple(
            slice(max(0, part.start - _HALO_PX), min(part.stop + _HALO_PX, side))
            for part, side in zip(tile, size, strict=True)
        )
        yield tile, (seen[0], seen[1])


def _part(values: FloatArray | Trace, size: tuple[int, int], region: _Region) -> FloatArray:
    """``upsample_heat(values, size)[region]``, and no more of it."""
    crop, offsets, scales = [], [], []
    for side, have, want in zip(region, values.shape, size, strict=True):
        scale = have / want
        first = (side.start + 0.5) * scale - 0.5
        start = max(0, math.floor(first) - 1)
        # OpenCV takes no more than 32,767 of them, and a photo may be a strip of any length.
        crop.append(slice(start, math.ceil((side.stop + 0.5) * scale) + 1))
        offsets.append(first - start)
        scales.append(scale)
    part = cv2.warpAffine(
        values[tuple(crop)],
        np.array([[scales[1], 0, offsets[1]], [0, scales[0], offsets[0]]]),
        (region[1].stop - region[1].start, region[0].stop - region[0].start),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(part, np.float32)


def darkness(brightness: Pixels) -> FloatArray:
    """How much darker each pixel is than its surroundings, as a share of theirs.

    uint8 (height, width) in, float32 of the same shape in [0, 1] out. The surroundings are the
    median over half of the shorter side, at most 192 px: that is the wall's own brightness, even
    inside a crack as wide as a hand. Beyond the border the wall is taken to go on getting darker or
    brighter as it does inside, so that the dark corners of a photo are no cracks.
    """
    height, width = brightness.shape
    step = min(min(height, width) / 2, _SURROUNDINGS_PX) / _WINDOW_CELLS
    cells = max(2, round(width / step)), max(2, round(height / step))
    coarse = cv2.resize(brightness, cells, interpolation=cv2.INTER_AREA)
    margin = _WINDOW_CELLS // 2
    padded = np.pad(coarse.astype(np.int16), margin, mode="reflect", reflect_type="odd")
    window = np.clip(padded, 0, 255).astype(np.uint8)
    median = cv2.medianBlur(window, _WINDOW_CELLS)[margin:-margin, margin:-margin]
    around = cv2.resize(median.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    darker = 1 - (brightness.astype(np.float32) + _BLACK) / (around + _BLACK)
    return _smoothed(np.clip(darker, 0, 1))


def dark_ridges(brightness: Pixels, full: float = _RIDGE_FULL) -> FloatArray:
    """How much each pixel is the bottom of a dark valley, at the width where it is most.

    The larger eigenvalue of the Hessian of scale space, with Lindeberg's normalisation for ridges
    (Lindeberg 1998, https://doi.org/10.1023/A:1008097225773, gamma 3/4), as a share of ``full``.
    uint8 (height, width) in, float32 of the same shape in [0, 1] out.
    """
    strongest = np.zeros(brightness.shape, np.float32)
    for sigma in _RIDGE_SIGMAS_PX:
        scaled = cv2.GaussianBlur(brightness.astype(np.float32), (0, 0), sigma)
        xx, yy, xy = (
            cv2.Sobel(scaled, -1, *order, ksize=3) / 4 for order in ((2, 0), (0, 2), (1, 1))
        )
        larger = (xx + yy) / 2 + cv2.magnitude((xx - yy) / 2, xy)
        strongest = np.maximum(strongest, larger * sigma**1.5)
    return _smoothed(np.clip(strongest / full, 0, 1))


def straight_lines(pixels: Pixels) -> FloatArray:
    """How much each pixel belongs to a long straight line, such as a joint or an edge.

    Segments are those of Grompone von Gioi et al. 2012 (https://doi.org/10.5201/ipol.2012.gjmr-lsd).
    uint8 RGB (height, width, 3) in, float32 (height, width) in [0, 1] out.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    found = cv2.createLineSegmentDetector().detect(grey)[0]
    segments = np.zeros((0, 4)) if found is None else np.reshape(found, (-1, 4))
    lengths = np.hypot(segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1])
    shortest, longest = _JOINT_PX
    lines = np.zeros(grey.shape, np.float32)
    for index in np.argsort(lengths):
        if lengths[index] > shortest:
            x0, y0, x1, y1 = np.rint(segments[index]).astype(int).tolist()
            strength = min(float(lengths[index]) / longest, 1.0)
            cv2.line(lines, (x0, y0), (x1, y1), strength, _JOINT_WIDTH_PX)
    return _smoothed(lines)


def _smoothed(values: FloatArray) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), 1.0), np.float32)
