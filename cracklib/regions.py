"""The cracks of a photo as regions: where each runs, how long and how wide it is.

Coordinates are (x, y) in the photo's pixels from its upper left corner, x to the right and y down;
the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours

from cracklib.centreline import Branch, Centreline, Mask, Points, thin, trace_centreline
from cracklib.types import FloatArray, Pixels
from cracklib.widths import measure_widths, to_light

_MIN_LENGTH_PX = 12.0
_MIN_LENGTH_SHARE = 0.01
"""Of the photo's longer side. Shorter regions are specks."""
_BRIDGE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
"""Gaps of up to 6 px are where the mask lost the crack, not where it ends."""
_OUTLINE_TOLERANCE_PX = 0.3
_MIN_ELONGATION = 2.0


@dataclass(frozen=True, eq=False)
class CrackRegion:
    """One crack.

    ``outline`` is float (n, 2), a closed polygon (first point = last), ``holes`` those within it;
    ``centreline`` one float (n, 2) line a branch, and ``widths_px`` float (n,) the width at each of
    its points. ``mean_width_px`` and ``max_width_px`` leave out ends and junctions.
    ``orientation_deg`` is in [0, 180): 0 is level, 90 upright, 45 rises to the right; None where
    no direction prevails. ``branches`` counts the lines that leave the crack's own: 0 for a line
    or a ring, 1 for a T. ``area_px`` is length times mean width, ``share`` that of the photo's area
    in [0, 1]: the outline, which follows the heat, holds more.
    ``evidence`` is the mean of the heat on the region, in [0, 1].
    """

    outline: Points
    holes: tuple[Points, ...]
    centreline: tuple[Points, ...]
    widths_px: tuple[NDArray[np.float64], ...]
    length_px: float
    mean_width_px: float
    max_width_px: float
    orientation_deg: float | None
    branches: int
    area_px: float
    share: float
    evidence: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x, y, width, height) of the outline, in pixels."""
        x, y = self.outline.min(axis=0)
        width, height = self.outline.max(axis=0) - (x, y)
        return float(x), float(y), float(width), float(height)


def find_regions(pixels: Pixels, mask: Mask, evidence: FloatArray) -> tuple[CrackRegion, ...]:
    """Measure every crack of a mask, the most striking first: by length times evidence.

    ``pixels`` is the photo, uint8 RGB (height, width, 3); ``mask`` bool and ``evidence`` float32 in
    [0, 1], both (height, width). The mask says where cracks are; how wide they are is measured in
    the photo (see ``widths``). Pieces less than a few pixels apart are one crack, and what is
    shorter than 12 px or a hundredth of the photo's longer side is none.

    Raises ``ValueError`` where the sizes differ.
    """
    size = pixels.shape[:2]
    if mask.shape != size or evidence.shape != size:
        raise ValueError(f"photo {size}, mask {mask.shape}, evidence {evidence.shape} differ")
    grown = cv2.dilate(mask.astype(np.uint8), _BRIDGE)
    closed = cv2.erode(grown, _BRIDGE)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
    least_px = max(_MIN_LENGTH_PX, _MIN_LENGTH_SHARE * max(size))
    regions = []
    for number in range(1, count):
        left, top, width, height, _ = stats[number].tolist()
        if np.hypot(width, height) < least_px:
            continue
        margin = int(min(width, height) / 2) + 20
        rows = slice(max(0, top - margin), top + height + margin)
        columns = slice(max(0, left - margin), left + width + margin)
        window = rows, columns
        one = _in_one_piece(closed[window] > 0, labels[window] == number)
        centreline = trace_centreline(one)
        if centreline.length_px < least_px:
            continue
        corner = np.array([columns.start, rows.start], float)
        regions.append(
            _measure(pixels[window], one, evidence[window], centreline, corner, mask.size)
        )
    return tuple(sorted(regions, key=lambda r: r.length_px * r.evidence, reverse=True))


def _measure(
    pixels: Pixels,
    mask: Mask,
    evidence: FloatArray,
    centreline: Centreline,
    corner: NDArray[np.float64],
    photo_area_px: int,
) -> CrackRegion:
    """The region in a window of the photo whose upper left corner is ``corner``."""
    light = to_light(pixels)
    widths = tuple(measure_widths(light, mask, branch) for branch in centreline.branches)
    sound = np.concatenate(
        [
            values[_away_from_ends(branch)]
            for branch, values in zip(centreline.branches, widths, strict=True)
        ]
    )
    if len(sound) == 0:
        sound = np.concatenate(widths)
    outline, holes = _outlines(mask)
    area_px = centreline.length_px * float(sound.mean())
    return CrackRegion(
        outline=outline + corner,
        holes=tuple(hole + corner for hole in holes),
        centreline=tuple(branch.points + corner for branch in centreline.branches),
        widths_px=widths,
        length_px=centreline.length_px,
        mean_width_px=float(sound.mean()),
        max_width_px=float(sound.max()),
        orientation_deg=_orientation(np.concatenate([b.points for b in centreline.branches])),
        branches=centreline.forks,
        area_px=area_px,
        share=area_px / photo_area_px,
        evidence=float(evidence[mask].mean()),
    )


def _in_one_piece(closed: Mask, grown: Mask) -> Mask:
    """The pieces of ``closed`` within ``grown``, joined along its middle."""
    joined = (closed | thin(grown)) & grown
    _, labels, stats, _ = cv2.connectedComponentsWithStats(joined.astype(np.uint8), connectivity=8)
    return np.asarray(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())


def _away_from_ends(branch: Branch) -> NDArray[np.bool_]:
    """Which points of a branch have nothing but its two sides beside them."""
    along = np.arange(len(branch.points))
    # Beside a square end the nearest edge is the end itself: as far off as the end is along.
    after = along > branch.half_widths * (1 if branch.free_start else 1.5)
    before = along[::-1] > branch.half_widths * (1 if branch.free_end else 1.5)
    return np.asarray(after & before)


def _outlines(mask: Mask) -> tuple[Points, list[Points]]:
    """The polygon around a mask of one piece, and those around its holes."""
    contours = find_contours(np.pad(mask, 1).astype(np.float32), 0.5, fully_connected="high")
    rings = [
        # Rows and columns to x and y; the padding of 1, and the pixel's centre at 0.5.
        approximate_polygon(contour, _OUTLINE_TOLERANCE_PX)[:, ::-1] - 0.5
        for contour in contours
    ]
    rings.sort(key=lambda ring: float(np.ptp(ring[:, 0])), reverse=True)
    return rings[0], rings[1:]


def _orientation(points: Points) -> float | None:
    centred = points - points.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred)
    if variances[1] < _MIN_ELONGATION**2 * variances[0]:
        return None
    x, y = axes[:, 1]
    return float(np.degrees(np.arctan2(-y, x)) % 180)
