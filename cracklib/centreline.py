"""The centreline of a crack: a mask thinned to lines one pixel wide, told apart into branches.

Coordinates are (x, y) in pixels from the mask's upper left corner; the centre of the first pixel is
(0.5, 0.5).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates
from skimage.morphology import skeletonize

Points = NDArray[np.float64]
"""(n, 2), as (x, y)."""
Mask = NDArray[np.bool_]

_SPUR_HALF_WIDTHS = 2.0
_SPUR_PX = 3.0
"""A bump of the crack's edge makes the thinned line fork; a fork no longer than this is none."""
_SMOOTHING_PX = 3.0
"""Standard deviation. A line of whole pixels is up to 8 % longer than what it follows."""

Path = list[int]


class Branch(NamedTuple):
    """A line between two ends or junctions: ``points`` about 1 px apart; ``half_widths`` float
    (n,), the distance in pixels from each to the mask's edge; whether the start and the end are
    free, not junctions.
    """

    points: Points
    half_widths: NDArray[np.float64]
    free_start: bool
    free_end: bool


@dataclass(frozen=True, eq=False)
class Centreline:
    """The branches of one crack.

    ``forks`` is how many lines leave the crack's own at its junctions: 0 for a line or a ring, 1
    for a T or Y, 2 for an X.
    """

    branches: tuple[Branch, ...]
    forks: int

    @property
    def length_px(self) -> float:
        """Of all branches together."""
        return sum(polyline_length(branch.points) for branch in self.branches)


def thin(mask: Mask) -> Mask:
    """A mask, bool (height, width), thinned to lines one pixel wide (Zhang and Suen 1984)."""
    return np.asarray(skeletonize(np.pad(mask, 1))[1:-1, 1:-1])


def trace_centreline(mask: Mask) -> Centreline:
    """Thin a mask of one crack, bool (height, width), and trace what is left.

    Forks no longer than the crack is wide are dropped; free ends, which thinning wears down, are
    carried on to the mask's edge.
    """
    padded = np.pad(mask, 1)
    distance = cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    pixels, neighbours = _pixel_graph(np.pad(thin(mask), 1))
    half_widths = distance[pixels[:, 1], pixels[:, 0]]
    paths, closed = _trace(neighbours)
    paths = _without_spurs(paths, pixels, half_widths)
    degree = _degrees(paths)
    branches = []
    for path in [*paths, *closed]:
        loop = path[0] == path[-1]
        points = _smooth(pixels[path].astype(float), loop=loop and degree[path[0]] <= 2)
        free_start, free_end = (not loop and degree[path[end]] == 1 for end in (0, -1))
        if free_end:
            points = _reach_edge(points, padded, half_widths[path[-1]])
        if free_start:
            points = _reach_edge(points[::-1], padded, half_widths[path[0]])[::-1]
        points = resample(points)
        # The distance is to the centre of the first pixel outside, half a pixel past the edge.
        to_edge = sample(distance, points + 0.5) - 0.5
        # The padding of 1 and the pixel's centre at 0.5 leave half a pixel.
        branches.append(Branch(points - 0.5, np.maximum(to_edge, 0.5), free_start, free_end))
    forks = sum(ends - 2 for ends in degree.values() if ends > 2)
    return Centreline(tuple(branches), forks)


def polyline_length(points: Points) -> float:
    """Sum of the distances between successive points."""
    return float(np.hypot(*np.diff(points, axis=0).T).sum())


def resample(points: Points, step_px: float = 1.0) -> Points:
    """The same line with its points evenly ``step_px`` apart, or a little more; ends are kept."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    even = np.linspace(0, at[-1], max(2, int(at[-1] / step_px) + 1))
    return np.stack([np.interp(even, at, points[:, axis]) for axis in (0, 1)], axis=1)


def sample(image: NDArray[np.generic], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilinear values of one channel at ``points`` (..., 2); past the border it stays the same."""
    at = np.moveaxis(points[..., ::-1] - 0.5, -1, 0)
    values: NDArray[np.float64] = map_coordinates(image, at, np.float64, order=1, mode="nearest")
    return values


def _pixel_graph(skeleton: Mask) -> tuple[NDArray[np.intp], list[list[int]]]:
    """Pixels (n, 2) as (x, y), and for each the numbers of those it touches.

    Two that touch at a corner only count as touching where no third one joins them, and of four in
    a square two don't touch, so that a junction has no ring in it.
    """
    rows, columns = np.nonzero(skeleton)
    number = np.full(skeleton.shape, -1)
    number[rows, columns] = np.arange(len(rows))
    neighbours: list[list[int]] = [[] for _ in rows]
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        # A thinned, padded mask never touches the border.
        there = number[rows + down, columns + right]
        touching = there >= 0
        if down and right:
            touching &= number[rows + down, columns] < 0
            touching &= number[rows, columns + right] < 0
        elif right:
            touching &= (number[rows - 1, columns] < 0) | (number[rows - 1, columns + 1] < 0)
        for a, b in zip(np.flatnonzero(touching), there[touching], strict=True):
            neighbours[a].append(int(b))
            neighbours[b].append(int(a))
    return np.stack([columns, rows], axis=1), neighbours


def _trace(neighbours: list[list[int]]) -> tuple[list[Path], list[Path]]:
    """The paths between pixels with other than two neighbours, and the rings without any."""
    paths, walked = [], set()
    for start, around in enumerate(neighbours):
        for first in around if len(around) != 2 else ():
            if (start, first) in walked:
                continue
            path = _walk(neighbours, start, first)
            walked |= {(path[0], path[1]), (path[-1], path[-2])}
            paths.append(path)
    on_paths = {pixel for path in paths for pixel in path}
    rings = []
    for start, around in enumerate(neighbours):
        if len(around) == 2 and start not in on_paths:
            rings.append(_walk(neighbours, start, around[0]))
            on_paths.update(rings[-1])
    return paths, rings


def _walk(neighbours: list[list[int]], start: int, first: int) -> Path:
    path = [start, first]
    while len(neighbours[path[-1]]) == 2 and path[-1] != start:
        a, b = neighbours[path[-1]]
        path.append(b if a == path[-2] else a)
    return path


def _without_spurs(
    paths: list[Path], pixels: NDArray[np.intp], half_widths: NDArray[np.floating]
) -> list[Path]:
    while True:
        degree = _degrees(paths)
        at_junction: dict[int, list[Path]] = defaultdict(list)
        for path in paths:
            ends = sorted((path[0], path[-1]), key=lambda pixel: degree[pixel])
            if degree[ends[0]] == 1 and degree[ends[1]] > 2:
                limit = _SPUR_HALF_WIDTHS * half_widths[ends[1]] + _SPUR_PX
                if polyline_length(pixels[path].astype(float)) <= limit:
                    at_junction[ends[1]].append(path)
        spurs = set()
        for junction, found in at_junction.items():
            found.sort(key=len)
            # A star of short arms keeps its two longest.
            spare = len(found) if len(found) < degree[junction] else len(found) - 2
            spurs |= {id(path) for path in found[:spare]}
        if not spurs:
            return paths
        paths = _joined([path for path in paths if id(path) not in spurs])


def _joined(paths: list[Path]) -> list[Path]:
    """Paths that meet at what is no junction any more become one."""
    degree = _degrees(paths)
    waiting, joined = list(paths), []
    while waiting:
        path = waiting.pop()
        for towards in (path, path[::-1]):
            node = towards[-1]
            meets = (p for p in waiting if degree[node] == 2 and node in (p[0], p[-1]))
            if other := next(meets, None):
                waiting.remove(other)
                waiting.append(towards + (other if other[0] == node else other[::-1])[1:])
                break
        else:
            joined.append(path)
    return joined


def _degrees(paths: list[Path]) -> Counter[int]:
    return Counter(path[end] for path in paths for end in (0, -1))


def _smooth(points: Points, *, loop: bool) -> Points:
    """Gaussian smoothing along the line, ends held in place."""
    if len(points) < 3:
        return points
    reach = int(4 * _SMOOTHING_PX)
    if loop:
        ring = gaussian_filter1d(points[:-1], _SMOOTHING_PX, axis=0, mode="wrap")
        return np.concatenate([ring, ring[:1]])
    padded = np.pad(points, ((reach, reach), (0, 0)), "reflect", reflect_type="odd")
    smooth: Points = gaussian_filter1d(padded, _SMOOTHING_PX, axis=0)[reach:-reach]
    return smooth


def _reach_edge(points: Points, mask: Mask, half_width: float) -> Points:
    """The line carried on past its last point, in its direction, to the mask's edge."""
    back = points[-min(len(points), int(2 * half_width) + 6)]
    towards = points[-1] - back
    towards /= max(np.hypot(*towards), 1e-9)
    reach = np.arange(0.25, 2 * half_width + 3, 0.25)
    beyond = points[-1] + reach[:, None] * towards
    inside = sample(mask, beyond + 0.5) >= 0.5
    count = len(reach) if inside.all() else int(np.argmin(inside))
    return np.concatenate([points, beyond[count - 1 : count]]) if count else points
