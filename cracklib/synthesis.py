"""Rendered cracks, walls and look-alikes: training pairs, practice sets and sample photos.

``render_crack`` draws a crack on an uncracked photo, ``graft_crack`` puts one there that was taken
from another photo, ``render_wall`` renders an uncracked wall from nothing, ``render_lines`` things
on a photo that are thin and dark yet no crack. All composite alike, so that a network can tell them
apart only by shape. ``tilt`` and ``join_surfaces`` make scenes of close-ups. Every picture follows
from the random generator given: same seed, same picture.
"""

from __future__ import annotations

import itertools
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import Voronoi, cKDTree

from cracklib.types import FloatArray, Pixels

CrackKind = Literal["single", "branching", "stepped", "map", "opened"]
CRACK_KINDS: tuple[CrackKind, ...] = get_args(CrackKind)

WallKind = Literal["plaster", "concrete", "brick", "stone", "tile", "planks"]
WALL_KINDS: tuple[WallKind, ...] = get_args(WallKind)

LineKind = Literal["wire", "joints", "branch", "edge", "shadow", "stain", "text", "plants"]
LINE_KINDS: tuple[LineKind, ...] = get_args(LineKind)

Size = tuple[int, int]

_SUPERSAMPLING = 4
_REFERENCE_PX = 224
"""Widths are given for a photo of this side and grow with the photo."""
_NEAR_CELLS = 9
"""How far from its drawn ends a crack along edges may begin and end, in cells of its search."""
_DONOR_PX = 512
"""The longer side that a donor is reduced to: enough, and OpenCV can take a median over a third."""


class Stroke(NamedTuple):
    """A line to draw: ``points`` float (n, 2) as (x, y), ``widths`` float (n,), both in pixels."""

    points: NDArray[np.float64]
    widths: NDArray[np.float64]


def render_crack(
    pixels: Pixels,
    rng: np.random.Generator,
    kind: CrackKind | None = None,
    width_px: float | None = None,
) -> tuple[Pixels, NDArray[np.bool_]]:
    """Draw a crack on a photo.

    ``kind`` is drawn if not given; "opened" is a joint that has come open, a short dark gap along
    bricks or stones. ``width_px`` is the widest opening, in pixels of a photo 224 px on its shorter
    side (drawn from 0.7 to 25, mostly narrow, if not given; of "opened" from 1.5 to 9). Returns
    uint8 RGB of the photo's size and the mask, bool (height, width), of the pixels the crack covers
    by at least a third.
    """
    size = pixels.shape[:2]
    kind = kind or CRACK_KINDS[rng.choice(len(CRACK_KINDS), p=(0.24, 0.19, 0.23, 0.09, 0.25))]
    opened = kind == "opened"
    if width_px is None and opened:
        width_px = float(np.exp(rng.uniform(np.log(1.5), np.log(9))))
    elif width_px is None:
        width_px = float(np.exp(np.log(0.7) + np.log(36) * rng.beta(1.1, 1.4)))
        width_px *= 0.5 if kind == "map" else 1.0
    width = max(width_px, 0.5) * min(size) / _REFERENCE_PX
    coverage = _draw(
        _crack_strokes(rng, pixels, kind, width),
        size,
        rng,
        raggedness=rng.uniform(0.1, 0.5) * width**0.7,
    )
    if rng.random() < 0.3:
        coverage *= _smooth_step(_noise(rng, size, min(size) / 4), -1.0, -0.4)
    light = rng.random() < (0.0 if opened else 0.08)
    chips = rng.random() < (0.1 if opened else 0.4)
    chipped = _chip(pixels, coverage, rng, width) if chips else pixels
    return _engrave(chipped, coverage, rng, width, light=light), coverage >= 1 / 3


def graft_crack(
    pixels: Pixels, donor: Pixels, rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.bool_]] | None:
    """Take the crack of ``donor``, a close-up of a plain surface, and put it on a photo.

    A crack is taken as the factor by which it darkens what is around it, turned, stretched, scaled
    and laid over ``pixels``; there it fades out where the donor ended. Returns as ``render_crack``
    does, or None where no single long dark line stands out from ``donor``.
    """
    scale = min(1.0, _DONOR_PX / max(donor.shape[:2]))
    reduced = cv2.resize(donor, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    factor = _crack_factor(np.asarray(reduced, np.uint8))
    if factor is None:
        return None
    height, width = size = pixels.shape[:2]
    side = float(np.exp(rng.uniform(np.log(0.35), np.log(1.5)))) * min(size)
    # Enlarged further, it would be softer than what is around.
    scales = min(side / min(factor.shape), 1.3) * np.exp(rng.uniform(-0.2, 0.2, 2))
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag(scales * rng.choice((-1, 1), 2))
    middle = np.array(factor.shape[::-1]) / 2
    at = rng.uniform(0.2, 0.8, 2) * (width, height)
    moved = np.column_stack([matrix, at - matrix @ middle])
    placed = cv2.warpAffine(1 - factor, moved, (width, height))
    depth = np.clip(placed * rng.uniform(0.7, 1.4), 0, 0.95)
    return _to_pixels(pixels * (1 - depth)[..., None]), depth > 0.12


def tilt(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The surface seen at an angle, uint8 RGB of the same size, mirrored beyond its border."""
    height, width = pixels.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = corners + rng.uniform(-0.1, 0.1, (4, 2)) * (width, height)
    far = rng.uniform(0.0, 0.7)
    # The far edge, any of the four, is drawn together, so that more of the surface shows there.
    edge = int(rng.integers(4))
    a, b = edge, (edge + 1) % 4
    middle = (seen[a] + seen[b]) / 2
    seen[[a, b]] += far * 0.5 * (middle - seen[[a, b]])
    matrix = cv2.getPerspectiveTransform(corners, seen.astype(np.float32))
    border = cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpPerspective(pixels, matrix, (width, height), borderMode=border))


def join_surfaces(first: Pixels, second: Pixels, rng: np.random.Generator) -> Pixels:
    """Two surfaces of one size that meet: a corner, a kerb, steps, a wall above its pavement.

    uint8 RGB (height, width, 3). Each has its own light; along the edge runs a shadow, or nothing.
    """
    height, width = size = first.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.25)
    along = np.cos(angle) * (columns - width / 2) + np.sin(angle) * (rows - height / 2)
    along += rng.uniform(0, 0.006) * min(size) * _noise(rng, size, min(size) / 8)
    if rng.random() < 0.25:
        tread, riser = rng.uniform(0.12, 0.35, 2) * min(size)
        phase = np.mod(along + rng.uniform(0, 1) * min(size), tread + riser)
        share = _smooth_step(phase - tread, -0.7, 0.7) * _smooth_step(tread + riser - phase, 0, 1.4)
        to_edge = np.minimum(np.abs(phase - tread), np.minimum(phase, tread + riser - phase))
    else:
        to_edge = along - rng.uniform(-0.35, 0.35) * min(size)
        share = _smooth_step(to_edge, -0.7, 0.7)
    light = rng.uniform(0.45, 1.0, 2)
    light /= light.max()
    lit = first * light[0] * (1 - share)[..., None] + second * light[1] * share[..., None]
    reach = float(np.exp(rng.uniform(np.log(0.004), np.log(0.12)))) * min(size)
    shadow = np.exp(-np.abs(to_edge) / reach) * rng.choice((0.0, rng.uniform(0.2, 0.8)))
    return _to_pixels(lit * (1 - shadow)[..., None])


def render_lines(pixels: Pixels, rng: np.random.Generator, kind: LineKind | None = None) -> Pixels:
    """Draw what has lines but no crack: cables, joints, a branch, edges, shadow, stains, text,
    plants.
    """
    size = pixels.shape[:2]
    side = min(size)
    kind = kind or LINE_KINDS[rng.integers(len(LINE_KINDS))]
    width = float(np.exp(rng.uniform(np.log(0.8), np.log(6.0)))) * side / _REFERENCE_PX
    if kind == "shadow":
        shade = _smooth_step(
            _noise(rng, size, side / rng.uniform(0.5, 2)), 0, rng.uniform(0.02, 0.3)
        )
        return _to_pixels(pixels * (1 - rng.uniform(0.2, 0.6) * shade[..., None]))
    if kind == "edge":
        return _fold(pixels, rng, width)
    if kind == "stain":
        return _stain(pixels, rng)
    if kind == "plants":
        return _plants(pixels, rng)
    if kind == "text":
        layer = np.zeros(size, np.uint8)
        for _ in range(rng.integers(1, 4)):
            letters = "".join(chr(code) for code in rng.integers(48, 91, rng.integers(3, 12)))
            at = (int(rng.uniform(-0.1, 0.6) * size[1]), int(rng.uniform(0.1, 1.0) * size[0]))
            scale = float(rng.uniform(0.4, 2.5) * side / _REFERENCE_PX)
            cv2.putText(
                layer, letters, at, int(rng.integers(0, 8)), scale, 255, max(1, round(width / 2)),
                cv2.LINE_AA,
            )  # fmt: skip
        coverage = (layer / 255).astype(np.float32)
        return _engrave(pixels, coverage, rng, width, light=rng.random() < 0.5)
    strokes = {"wire": _wires, "joints": _joint_lines, "branch": _branch}[kind](rng, size, width)
    coverage = _draw(strokes, size, rng, raggedness=0.0)
    return _engrave(pixels, coverage, rng, width, light=rng.random() < 0.3)


def render_wall(rng: np.random.Generator, size: Size, kind: WallKind | None = None) -> Pixels:
    """Render an uncracked wall, uint8 RGB of ``size``, seen under a random angle and light."""
    kind = kind or WALL_KINDS[rng.integers(len(WALL_KINDS))]
    side = min(size)
    if kind in ("plaster", "concrete"):
        cells = np.zeros(size, np.int32)
        to_joint = np.full(size, np.inf, np.float32)
        joint_px = 1.0
    else:
        cells, to_joint, joint_px = _layout(rng, size, kind)
    base = _wall_colour(rng, kind)
    tones = 1 + rng.uniform(0.03, 0.16) * rng.standard_normal((int(cells.max()) + 1, 1))
    tints = 1 + 0.03 * rng.standard_normal((len(tones), 3))
    surface = base * (tones * tints)[cells]

    grain = np.zeros(size, np.float32)
    for cell_px, weight in ((side / 3, 0.3), (side / 12, 0.3), (side / 50, 0.4), (1.2, 0.6)):
        grain += weight * _noise(rng, size, cell_px)
    surface *= 1 + rng.uniform(0.02, 0.1) * grain[..., None]

    ragged = to_joint + joint_px * rng.uniform(0, 0.35) * _noise(rng, size, joint_px * 2)
    joint = 1 - _smooth_step(ragged, 0.35 * joint_px, 0.65 * joint_px)
    mortar = (base.mean() * rng.uniform(0.25, 1.4) + rng.uniform(-8, 8, 3)) * (1 + 0.08 * grain)[
        ..., None
    ]
    wall = surface + (mortar - surface) * joint[..., None]
    wall *= 1 + _relief(rng, joint, strength=0.35)[..., None]
    if kind == "stone" or rng.random() < 0.3:
        dome = 1 - np.exp(-to_joint / (rng.uniform(1, 4) * joint_px))
        wall *= (1 - rng.uniform(0, 0.5) * (1 - dome))[..., None]
    if rng.random() < 0.15:
        moss = _smooth_step(_noise(rng, size, side / 5) - to_joint / (2 * joint_px), -0.5, 0.5)
        green = rng.uniform((40, 55, 20), (90, 110, 50)) * (1 + 0.2 * grain)[..., None]
        wall += (green - wall) * (moss * rng.uniform(0.4, 0.9))[..., None]

    dirt = _smooth_step(_noise(rng, size, side / rng.uniform(1.5, 8)), 0.2, 1.8)
    stain = np.array([1.0, rng.uniform(0.9, 1.1), rng.uniform(0.75, 1.0)])
    wall *= 1 - rng.uniform(0, 0.5) * dirt[..., None] * (1.6 - stain)
    wall *= 1 + rng.uniform(0, 0.25) * _noise(rng, size, side * 1.5)[..., None]
    return _to_pixels(wall)


# ---------------------------------------------------------------- cracks: where the lines run


def _crack_strokes(
    rng: np.random.Generator, pixels: Pixels, kind: CrackKind, width: float
) -> list[Stroke]:
    height, breadth = size = pixels.shape[:2]
    if kind == "map":
        return _map_strokes(rng, size, width)
    side = min(size)
    share = rng.uniform(0.02, 0.98, 2)
    across = rng.random() < 0.5
    if across:
        share[rng.integers(2)] = rng.choice((-0.02, 1.02))
    start = share * (breadth, height)
    towards = rng.uniform(0.25, 0.75, 2) * (breadth, height) - start
    angle = np.arctan2(towards[1], towards[0]) + rng.normal(0, 0.3)
    length = max(12 * width, (1.5 if across else rng.uniform(0.3, 1.2)) * side)
    if kind == "opened":
        length = max(6 * width, rng.uniform(0.12, 0.6) * side)
    # Wide cracks look straighter: their edges can't follow every grain.
    calm = 1 / (1 + 15 * width / side)
    end = start + length * np.array([np.cos(angle), np.sin(angle)])
    course = rng.random()
    if kind == "opened":
        points = _weakest_path(rng, pixels, start, end, rng.uniform(3.0, 5.0), width, edges=True)
    elif kind == "stepped" and course < 0.15:
        points = _staircase(rng, start, end, pitch=rng.uniform(0.06, 0.22) * side)
    elif kind == "stepped" and course < 0.65:
        points = _weakest_path(rng, pixels, start, end, rng.uniform(2.0, 3.5), width, edges=True)
    elif kind == "stepped" or course < 0.5:
        pull = rng.uniform(1.0, 2.5) if kind == "stepped" else rng.uniform(0.0, 1.0)
        points = _weakest_path(rng, pixels, start, end, pull, leg_px=2 * width)
    else:
        points = _fracture(rng, start, end, roughness=calm * rng.uniform(0.05, 0.25))
    strokes = [Stroke(points, _crack_widths(rng, len(points), width))]
    if kind == "branching":
        for _ in range(rng.integers(1, 6)):
            strokes.append(_fork(rng, strokes[rng.integers(len(strokes))], angle, length))
    return strokes


def _fracture(
    rng: np.random.Generator,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    roughness: float,
) -> NDArray[np.float64]:
    """A broken line by midpoint displacement (Fournier et al. 1982), 2 px a step."""
    points = np.array([start, end])
    while np.hypot(*(points[1] - points[0])) > 2 and len(points) < 2000:
        steps = np.diff(points, axis=0)
        normals = np.stack([-steps[:, 1], steps[:, 0]], axis=1)
        middles = points[:-1] + steps / 2 + normals * rng.normal(0, roughness, (len(steps), 1))
        woven = np.empty((len(points) + len(middles), 2))
        woven[::2], woven[1::2] = points, middles
        points = woven
        roughness *= 0.85
    return points


def _weakest_path(
    rng: np.random.Generator,
    pixels: Pixels,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    pull: float,
    leg_px: float,
    *,
    edges: bool = False,
) -> NDArray[np.float64]:
    """The cheapest way across ground of random strength that is weak along the photo's own lines.

    ``pull`` is how much a line, a joint above all, draws the crack to it; 0 is not at all.
    ``leg_px`` is the shortest piece that keeps its direction. With ``edges`` the weak places are
    the borders of bricks, tiles and stones, where they come away from their mortar: the way keeps
    to them closely, from the strongest near ``start`` to the strongest near ``end``.
    """
    height, breadth = pixels.shape[:2]
    step_px = max(height, breadth) / (144 if edges else 72)
    rows, columns = (max(2, round(side / step_px)) for side in (height, breadth))
    grey = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA).mean(axis=2)
    if edges:
        soft = cv2.GaussianBlur(grey, (0, 0), 0.8)
        lines = np.hypot(cv2.Sobel(soft, -1, 1, 0), cv2.Sobel(soft, -1, 0, 1))
    else:
        lines = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 3))
    lines = np.clip(lines / (lines.std() + 2.0), 0, 2)
    strength = _noise(rng, (rows, columns), 2.5) + _noise(rng, (rows, columns), 9)
    cost = np.exp(rng.uniform(0.2, 0.6) * strength - pull * lines)

    number = np.arange(rows * columns).reshape(rows, columns)
    everything, before, after = slice(None), slice(None, -1), slice(1, None)
    steps = []
    for (r0, c0), (r1, c1), distance in (
        ((everything, before), (everything, after), 1.0),
        ((before, everything), (after, everything), 1.0),
        ((before, before), (after, after), 2**0.5),
        ((before, after), (after, before), 2**0.5),
    ):
        weight = distance * (cost[r0, c0] + cost[r1, c1]) / 2
        steps.append((number[r0, c0].ravel(), number[r1, c1].ravel(), weight.ravel()))
    a, b, weights = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    graph = coo_array((weights, (a, b)), shape=(number.size, number.size)).tocsr()

    inside = np.array([columns - 1, rows - 1])

    def node_near(place: NDArray[np.float64]) -> int:
        x, y = np.clip(np.rint(place), 0, inside).astype(int)
        if not edges:
            return int(number[y, x])
        near = tuple(slice(max(0, at - _NEAR_CELLS), at + _NEAR_CELLS + 1) for at in (y, x))
        return int(number[near].ravel()[lines[near].argmax()])

    first, last = (node_near(point / step_px) for point in (start, end))
    _, previous = dijkstra(graph, directed=False, indices=first, return_predecessors=True)
    path = [int(last)]
    while path[-1] != first:
        path.append(int(previous[path[-1]]))
    every = 2 if edges else int(rng.integers(2, 5))
    knots = [*path[: -1 : max(every, int(leg_px / step_px))], path[-1]]
    at = np.array([(node % columns, node // columns) for node in knots]) + 0.5
    corners = (at + rng.uniform(-0.4, 0.4, at.shape)) * step_px
    if len(corners) < 2:
        return _fracture(rng, start, end, 0.1)
    rough = rng.uniform(0.05, 0.2) / (1 + 8 * leg_px / max(height, breadth))
    return np.concatenate([_fracture(rng, p, q, rough) for p, q in itertools.pairwise(corners)])


def _staircase(
    rng: np.random.Generator,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    pitch: float,
) -> NDArray[np.float64]:
    """Alternating level and upright runs, as a crack takes along the joints of masonry."""
    corners = [start]
    rise = pitch * np.sign(end[1] - start[1] or 1.0)
    run = pitch * rng.uniform(0.8, 2.5) * np.sign(end[0] - start[0] or 1.0)
    while len(corners) < 40 and np.hypot(*(corners[-1] - start)) < np.hypot(*(end - start)):
        step = (run * rng.choice((0.5, 1.0)), 0.0) if len(corners) % 2 else (0.0, rise)
        corners.append(corners[-1] + step)
    rough = rng.uniform(0.03, 0.12)
    legs = [_fracture(rng, a, b, rough) for a, b in itertools.pairwise(corners)]
    return np.concatenate(legs)


def _fork(rng: np.random.Generator, parent: Stroke, angle: float, length: float) -> Stroke:
    at = int(rng.uniform(0.1, 0.9) * len(parent.points))
    turn = angle + rng.choice((-1, 1)) * rng.uniform(0.3, 1.3)
    reach = rng.uniform(0.12, 0.5) * length
    end = parent.points[at] + reach * np.array([np.cos(turn), np.sin(turn)])
    points = _fracture(rng, parent.points[at], end, roughness=rng.uniform(0.1, 0.3))
    widest = parent.widths[at] * rng.uniform(0.4, 0.85)
    return Stroke(
        points, _crack_widths(rng, len(points), widest) * np.linspace(1, 0.3, len(points))
    )


def _map_strokes(rng: np.random.Generator, size: Size, width: float) -> list[Stroke]:
    """Map cracking: the ridges of a Voronoi diagram, some missing, each broken."""
    count = int(np.exp(rng.uniform(np.log(8), np.log(150))))
    width = min(width, 0.25 * min(size) / count**0.5)
    cells = Voronoi(rng.uniform(-0.2, 1.2, (count, 2)) * (size[1], size[0]))
    keep = rng.uniform(0.6, 1.0)
    strokes = []
    for a, b in cells.ridge_vertices:
        if a < 0 or rng.random() > keep:
            continue
        start, end = cells.vertices[a], cells.vertices[b]
        if np.hypot(*(end - start)) < max(size):
            points = _fracture(rng, start, end, roughness=0.12)
            strokes.append(Stroke(points, _crack_widths(rng, len(points), width, taper=False)))
    return strokes


def _crack_widths(
    rng: np.random.Generator, count: int, widest: float, *, taper: bool = True
) -> NDArray[np.float64]:
    along = np.linspace(0, 1, count)
    widths = np.full(count, widest)
    for spacing in (40, 8):
        knots = rng.uniform(0.45, 1.0, max(3, count // spacing))
        widths = widths * np.interp(along, np.linspace(0, 1, len(knots)), knots) ** 0.7
    if taper:
        widths = widths * np.clip(8 * np.minimum(along + 0.03, 1.03 - along), 0.15, 1)
    return widths


def _crack_factor(donor: Pixels) -> FloatArray | None:
    """By how much a crack darkens each pixel of ``donor``, float32 (height, width) in (0, 1].

    None where the dark pixels are not, for the most part, one long thin piece.
    """
    grey = donor.mean(axis=2)
    size = grey.shape
    around = cv2.medianBlur(np.asarray(grey, np.uint8), (min(size) // 3) | 1)
    factor = np.minimum(grey / np.maximum(around, 1), 1).astype(np.float32)
    dark = (cv2.GaussianBlur(factor, (0, 0), 0.8) < 0.82).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(dark)
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    area = int(stats[largest, cv2.CC_STAT_AREA])
    reach = max(stats[largest, cv2.CC_STAT_WIDTH], stats[largest, cv2.CC_STAT_HEIGHT])
    long = reach > 0.6 * min(size)
    alone = area > 0.6 * int(dark.sum()) and 0.002 < area / grey.size < 0.12
    if not (long and alone):
        return None
    near = cv2.dilate((pieces == largest).astype(np.float32), np.ones((5, 5)))
    strength = cv2.GaussianBlur(near, (0, 0), 1.2)
    rows = np.minimum(np.arange(size[0]), np.arange(size[0])[::-1])[:, None]
    columns = np.minimum(np.arange(size[1]), np.arange(size[1])[::-1])[None, :]
    strength *= _smooth_step(np.minimum(rows, columns) / min(size), 0.0, 0.15)
    return np.asarray(1 - (1 - factor) * strength, np.float32)


# ------------------------------------------------------- look-alikes: where their lines run


def _wires(rng: np.random.Generator, size: Size, width: float) -> list[Stroke]:
    strokes = []
    along = np.linspace(0, 1, 80)[:, None]
    for _ in range(rng.integers(1, 4)):
        a, b, c = rng.uniform(-0.2, 1.2, (3, 2)) * (size[1], size[0])
        middle = (a + c) / 2 + rng.choice((0.0, 0.15, 0.6)) * (b - (a + c) / 2)
        points = (1 - along) ** 2 * a + 2 * along * (1 - along) * middle + along**2 * c
        strokes.append(Stroke(points, np.full(len(points), width)))
    return strokes


def _joint_lines(rng: np.random.Generator, size: Size, width: float) -> list[Stroke]:
    """Straight lines of even width and spacing, in one direction or crossing at right angles."""
    angle = rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.15)
    centre = np.array([size[1], size[0]]) / 2
    reach = float(max(size))
    strokes = []
    for turn in (0.0, np.pi / 2)[: rng.integers(1, 3)]:
        along = np.array([np.cos(angle + turn), np.sin(angle + turn)])
        across = np.array([-along[1], along[0]])
        pitch = rng.uniform(0.15, 0.9) * min(size)
        count = int(rng.integers(1, 8))
        offset = rng.uniform(-0.5, 0.5) * pitch
        for index in range(count):
            at = centre + across * (offset + (index - count // 2) * pitch)
            points = np.linspace(at - along * reach, at + along * reach, 60)
            points = points + rng.normal(0, 0.1 * width, points.shape)
            strokes.append(Stroke(points, np.full(60, width)))
    return strokes


def _branch(rng: np.random.Generator, size: Size, width: float) -> list[Stroke]:
    """A twig: smooth, thick at the root and thin at the tips, its shoots leaning forward."""
    along = np.linspace(0, 1, 60)[:, None]
    root = rng.uniform(0, 1, 2) * (size[1], size[0])
    angle = rng.uniform(0, 2 * np.pi)
    strokes: list[Stroke] = []

    def grow(
        root: NDArray[np.float64], angle: float, length: float, thick: float, left: int
    ) -> None:
        tip = root + length * np.array([np.cos(angle), np.sin(angle)])
        bend = rng.normal(0, 0.12, 2) * length
        points = root + along * (tip - root) + (along * (1 - along)) * bend
        strokes.append(Stroke(points, thick * np.linspace(1, 0.35, 60)))
        for _ in range(rng.integers(2, 5) if left else 0):
            at = int(rng.uniform(0.2, 0.95) * 60)
            lean = angle + rng.choice((-1, 1)) * rng.uniform(0.35, 0.9)
            grow(points[at], lean, length * rng.uniform(0.25, 0.55), thick * 0.55, left - 1)

    grow(root, angle, rng.uniform(0.5, 1.1) * min(size), 1.5 * width, 2)
    return strokes


# --------------------------------------------------------------------------- walls


def _layout(
    rng: np.random.Generator, size: Size, kind: WallKind
) -> tuple[NDArray[np.int32], FloatArray, float]:
    """Per pixel, the number of its brick or stone and the distance in pixels to the next joint."""
    height, width = size
    side = min(size)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    tilt = rng.normal(0, 0.06) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi)
    x, y = columns - width / 2, rows - height / 2
    lean = rng.choice((0.15, 0.6))
    depth = 1 + (rng.normal(0, lean) * x + rng.normal(0, lean) * y) / side
    depth = np.clip(depth, 0.4, 2.5)
    u = (np.cos(tilt) * x - np.sin(tilt) * y) / depth + 10 * side
    v = (np.sin(tilt) * x + np.cos(tilt) * y) / depth + 10 * side
    waviness = rng.uniform(0, 0.012) * side
    u = u + waviness * _noise(rng, size, side / 6)
    v = v + waviness * _noise(rng, size, side / 6)

    pitch = float(np.exp(rng.uniform(np.log(0.07), np.log(0.5)))) * side
    joint_px = float(rng.uniform(0.03, 0.16)) * pitch
    if kind == "stone":
        grid = np.stack(np.meshgrid(np.arange(-40, 41), np.arange(-40, 41)), -1).reshape(-1, 2)
        seeds = (grid + rng.uniform(0.1, 0.45) * rng.standard_normal(grid.shape)) * pitch
        tree = cKDTree(seeds + 10 * side)
        distances, nearest = tree.query(np.stack([u.ravel(), v.ravel()], 1), k=2)
        gap = ((distances[:, 1] - distances[:, 0]) / 2).reshape(size).astype(np.float32)
        return nearest[:, 0].reshape(size).astype(np.int32), gap, joint_px

    ratio = {"brick": rng.uniform(2, 4), "tile": rng.choice((1.0, 1.0, 2.0)), "planks": 30.0}[kind]
    row = np.floor(v / pitch)
    shift = {"brick": 0.5, "tile": 0.0, "planks": 0.37}[kind]
    along = u / (pitch * ratio) + row * shift
    column = np.floor(along)
    to_row = np.minimum(v - row * pitch, (row + 1) * pitch - v)
    to_column = np.minimum(along - column, column + 1 - along) * pitch * ratio
    cells = (row.astype(np.int64) * 7919 + column.astype(np.int64) * 104729) % 997
    return cells.astype(np.int32), np.minimum(to_row, to_column), joint_px


def _wall_colour(rng: np.random.Generator, kind: WallKind) -> NDArray[np.float64]:
    bases: dict[WallKind, tuple[tuple[int, int, int], ...]] = {
        "plaster": ((205, 198, 186), (188, 170, 140), (170, 180, 184), (214, 206, 204)),
        "concrete": ((150, 148, 143), (120, 118, 115), (172, 168, 158)),
        "brick": ((158, 88, 66), (178, 112, 82), (120, 70, 58), (190, 160, 130), (140, 130, 125)),
        "stone": ((130, 125, 118), (150, 136, 112), (96, 96, 98), (160, 150, 140)),
        "tile": (
            (208, 204, 194),
            (170, 160, 146),
            (186, 118, 84),
            (110, 114, 120),
            (120, 150, 160),
        ),
        "planks": ((150, 112, 76), (112, 88, 68), (176, 150, 120)),
    }
    choices = bases[kind]
    colour = np.array(choices[rng.integers(len(choices))], float)
    return np.clip(colour * rng.uniform(0.6, 1.15) + rng.normal(0, 8, 3), 25, 245)


# ---------------------------------------------------------------- drawing and shading


def _draw(
    strokes: list[Stroke], size: Size, rng: np.random.Generator, raggedness: float
) -> FloatArray:
    """How much of each pixel the strokes cover, float32 (height, width) in [0, 1]."""
    scale = _SUPERSAMPLING
    height, width = size[0] * scale, size[1] * scale
    canvas = np.zeros((height, width), np.uint8)
    for points, widths in strokes:
        corners = np.round(points * scale).astype(np.int32)
        for a, b, thickness in zip(corners[:-1], corners[1:], widths[1:], strict=True):
            cv2.line(
                canvas, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 255,
                max(1, round(float(thickness) * scale)),
            )  # fmt: skip
    if raggedness > 0:
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        amplitude = raggedness * scale
        for share, cell_px in ((0.7, 6 * amplitude), (0.4, 1.5 * amplitude)):
            columns += share * amplitude * _noise(rng, (height, width), max(4.0, cell_px))
            rows += share * amplitude * _noise(rng, (height, width), max(4.0, cell_px))
        canvas = cv2.remap(canvas, columns, rows, cv2.INTER_LINEAR)
    coverage = cv2.resize(canvas, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(coverage / 255, np.float32)


def _chip(pixels: Pixels, coverage: FloatArray, rng: np.random.Generator, width: float) -> Pixels:
    """Break flakes off along the crack: a ragged band of another tone around it."""
    size = coverage.shape
    near = cv2.GaussianBlur(coverage, (0, 0), 0.5 + rng.uniform(0.5, 1.5) * width)
    near /= max(float(near.max()), 1e-6)
    ragged = near + 0.25 * _noise(rng, size, 2 + width) + 0.5 * _noise(rng, size, 6 + 4 * width)
    flake = _smooth_step(ragged, 0.5, 0.6) * (near > 0.05)
    tone = rng.uniform(0.75, 1.3) * (1 + 0.1 * _noise(rng, size, 2.0))
    shaded = pixels * (1 + ((tone - 1) * flake + _relief(rng, flake, 0.3)))[..., None]
    return _to_pixels(shaded)


def _fold(pixels: Pixels, rng: np.random.Generator, width: float) -> Pixels:
    """Straight edges between planes of other tones, as of corners, steps, frames and beams."""
    height, breadth = size = pixels.shape[:2]
    rows, columns = np.mgrid[0:height, 0:breadth].astype(np.float32)
    angle = rng.choice((0.0, np.pi / 2, rng.uniform(0, np.pi))) + rng.normal(0, 0.1)
    across = np.cos(angle) * (columns - breadth / 2) + np.sin(angle) * (rows - height / 2)
    across += rng.uniform(0, 0.01) * min(size) * _noise(rng, size, min(size) / 8)
    ends = np.sort(rng.uniform(-0.5, 0.5, rng.integers(1, 7))) * min(size)
    tones = rng.uniform(0.5, 1.3, len(ends) + 1).astype(np.float32)
    tones /= max(float(tones.max()), 1.0)
    shade = np.full(size, tones[0], np.float32)
    coverage = np.zeros(size, np.float32)
    for end, tone in zip(ends, tones[1:], strict=True):
        shade += (tone - shade) * _smooth_step(across - end, -0.7, 0.7)
        if rng.random() < 0.5:
            line = 1 - _smooth_step(np.abs(across - end), 0.5 * width, 0.5 * width + 1)
            coverage = np.maximum(coverage, line)
    folded = _to_pixels(pixels * shade[..., None])
    return _engrave(folded, coverage, rng, width, light=rng.random() < 0.3)


def _stain(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Damp, soot or lime: patches with a ragged rim, or runs down the wall."""
    size = pixels.shape[:2]
    side = min(size)
    streak = rng.uniform(3, 10) if rng.random() < 0.5 else 1.0
    spread = np.zeros(size, np.float32)
    for cell_px, weight in ((side / 2.5, 1.0), (side / 8, 0.5), (side / 25, 0.3)):
        tall = _noise(rng, (max(2, int(size[0] / streak)), size[1]), cell_px)
        spread += weight * cv2.resize(tall, size[::-1], interpolation=cv2.INTER_CUBIC)
    soft = rng.uniform(0.05, 0.8)
    patch = _smooth_step(spread, 0.3, 0.3 + soft)
    tint = rng.uniform(0.4, 1.4) * rng.uniform(0.85, 1.1, 3)
    return _to_pixels(pixels * (1 + (tint - 1) * patch[..., None] * rng.uniform(0.4, 1)))


def _plants(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Moss in patches, or leaves and blades of grass in clumps, each with its shadow."""
    height, width = size = pixels.shape[:2]
    side = min(size)
    green = rng.uniform((35, 50, 15), (120, 140, 70))
    if rng.random() < 0.5:
        grown = _noise(rng, size, side / 4) + 0.6 * _noise(rng, size, side / 25)
        cover = _smooth_step(grown, 0.6, 1.0) * rng.uniform(0.5, 1.0)
        tone = 1 + 0.25 * _noise(rng, size, 1.5)
        photo = pixels.astype(np.float32)
        return _to_pixels(photo + (green * tone[..., None] - photo) * cover[..., None])
    canvas = pixels.copy()
    clump = rng.uniform(0, 1, 2) * (width, height)
    for _ in range(rng.integers(10, 80)):
        at = clump + rng.normal(0, 0.2, 2) * side
        length = rng.uniform(0.02, 0.12) * side
        thick = length * rng.choice((0.08, 0.5))
        axes = (max(1, round(length)), max(1, round(thick)))
        angle = float(rng.uniform(0, 360))
        colour = green * rng.uniform(0.5, 1.4)
        for shift, paint in ((0.015 * side, colour * 0.25), (0.0, colour)):
            centre = (round(at[0] + shift), round(at[1] + shift))
            cv2.ellipse(canvas, centre, axes, angle, 0, 360, paint.tolist(), -1, cv2.LINE_AA)
    return np.asarray(canvas, np.uint8)


def _engrave(
    pixels: Pixels,
    coverage: FloatArray,
    rng: np.random.Generator,
    width: float,
    *,
    light: bool,
) -> Pixels:
    """Darken (or lighten) the covered pixels, and light the rim on one side."""
    photo = pixels.astype(np.float32)
    radius = int(3 * width + 5) | 1
    around = cv2.blur(photo, (radius, radius))
    tone = rng.uniform(1.25, 1.8) if light else rng.uniform(0.0, 0.65 if width < 3 else 0.45)
    rubble = rng.uniform(0, 0.5) * _noise(rng, coverage.shape, max(1.5, width / 3))
    fill = around * (tone * (1 + rubble))[..., None] + rng.normal(0, 6, 3)
    opacity = cv2.GaussianBlur(coverage, (0, 0), rng.uniform(0.3, 0.9)) * rng.uniform(0.75, 1.0)
    engraved = photo + (fill - photo) * opacity[..., None]
    rim = _relief(rng, coverage, strength=rng.uniform(0, 0.25))
    return _to_pixels(engraved * (1 + rim * (1 - coverage))[..., None])


def _relief(rng: np.random.Generator, height_map: FloatArray, strength: float) -> FloatArray:
    """Brightness change, about ±strength, of a height map lit from a random side."""
    angle = rng.uniform(0, 2 * np.pi)
    soft = cv2.GaussianBlur(height_map.astype(np.float32), (0, 0), 0.8)
    slope = np.cos(angle) * cv2.Sobel(soft, -1, 1, 0) + np.sin(angle) * cv2.Sobel(soft, -1, 0, 1)
    return np.asarray(np.clip(slope / 2, -1, 1) * strength, np.float32)


def _noise(rng: np.random.Generator, size: Size, cell_px: float) -> FloatArray:
    """Smooth noise of mean 0 and deviation about 1 whose features are ``cell_px`` wide."""
    rows = max(2, int(np.ceil(size[0] / cell_px)) + 1)
    columns = max(2, int(np.ceil(size[1] / cell_px)) + 1)
    coarse = rng.standard_normal((rows, columns), np.float32)
    smooth = cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32)


def _smooth_step(values: FloatArray, low: float, high: float) -> FloatArray:
    ramp = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)


def _to_pixels(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
