"""What a network sees in training: crops, colour changes, mosaics, and pairs with a rendered crack.

A ``View`` is a plan for one picture; ``plan_views`` lists those of one epoch and ``make_view``
makes one from its plan. Every plan carries its seed, so a picture is the same whenever and in
whatever order it is made.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cracklib.architecture import STRIDE
from cracklib.config import INPUT_SIZE, LARGE_INPUT_SIDE_PX
from cracklib.dataset import LabelledFile
from cracklib.photo import read_photo
from cracklib.preprocess import brighten, light_gain, resize_to_input
from cracklib.synthesis import (
    graft_crack,
    join_surfaces,
    render_crack,
    render_lines,
    render_wall,
    tilt,
)
from cracklib.types import FloatArray, Pixels

NO_CRACK, CRACK = 0, 1

PAIRS_ON_WALLS = 0.3
"""Share of the pairs whose wall is rendered too; the others use uncracked photos."""
PAIRS_OF_TWO = 0.25
"""Share of the pairs on photos that show two of them, meeting in an edge."""
WIDE_PAIRS_OF_TWO = 0.5
"""The same of wide pairs."""
GRAFTED = 0.4
"""Share of the pairs whose crack is taken from a cracked photo, where it can be, and not drawn."""
DONORS = ("concrete", "slab")
"""Sources of plain surfaces, whose cracks can be told from all else."""
CROPS_TO_CHOOSE_OF = 4
"""Crops that are looked at of a photo, to find its hardest."""
DRAWN_AT_PX = 320
"""Photos are shrunk to this before a crack is drawn on them: finer cracks would not be seen."""

WIDE_SIZE = (LARGE_INPUT_SIDE_PX, LARGE_INPUT_SIDE_PX)


@dataclass(frozen=True)
class View:
    """A picture to be made.

    ``whole``: the photo as served; ``plain``: the photo moved and flipped a little; ``photo``: a
    crop with other colours; ``mosaic``: four or nine photos as one; ``pair``: one or two uncracked
    photos, or with no ``files`` a rendered wall, that shares its ``seed`` with another view and
    differs from it in the crack alone, which is that of ``donor`` if there is one; ``wide``: such a
    pair seen from further off, as a large photo is.
    """

    kind: Literal["whole", "plain", "photo", "mosaic", "pair", "wide"]
    label: int
    files: tuple[LabelledFile, ...]
    seed: int
    donor: LabelledFile | None = None


@dataclass(frozen=True)
class Mix:
    """How many views an epoch has.

    Every source and class gives as many views as it has photos, but at least ``per_class_min`` and
    at most ``per_class_max``; ``pairs`` and ``mosaics`` come on top, and ``hard`` crops of
    uncracked photos that the run's starting weights take for cracks. ``wide_pairs`` and
    ``wide_mosaics`` are seen as large photos are.
    """

    per_class_min: int
    per_class_max: int
    pairs: int
    mosaics: int
    hard: int = 0
    wide_pairs: int = 0
    wide_mosaics: int = 0


UNKNOWN = -1
"""In ``Picture.truth``: nobody knows whether this pixel is cracked."""


class Picture(NamedTuple):
    """A view made: ``pixels`` uint8 RGB (224, 224, 3), and ``truth`` int8 (224, 224), which says of
    each pixel whether a crack is there: ``NO_CRACK``, ``CRACK`` or ``UNKNOWN``. Wide views have 336
    pixels a side.
    """

    pixels: Pixels
    truth: NDArray[np.int8]


def plan_photos(
    files: Sequence[LabelledFile], kind: Literal["whole", "plain", "photo"], seed: Sequence[int]
) -> list[View]:
    """Every photo once, as views of ``kind``."""
    rng = np.random.default_rng(seed)
    return [View(kind, file.label, (file,), _seed(rng)) for file in files]


def plan_views(files: Sequence[LabelledFile], mix: Mix, seed: Sequence[int]) -> list[View]:
    """The views of one epoch seen at the usual size, in no particular order."""
    rng = np.random.default_rng(seed)
    cells = _by_source(files)
    views = []
    for cell in cells.values():
        count = min(max(len(cell), mix.per_class_min), mix.per_class_max)
        views += [View("photo", f.label, (f,), _seed(rng)) for f in _draw_evenly(cell, count, rng)]
    views += _plan_mosaics(cells, mix.mosaics, 2, rng)
    return views + _plan_pairs("pair", cells, mix.pairs, rng)


def plan_wide_views(files: Sequence[LabelledFile], mix: Mix, seed: Sequence[int]) -> list[View]:
    """The views of one epoch that are seen as large photos are, in no particular order."""
    rng = np.random.default_rng(seed)
    cells = _by_source(files)
    views = _plan_mosaics(cells, mix.wide_mosaics, 3, rng)
    return views + _plan_pairs("wide", cells, mix.wide_pairs, rng)


def plan_crops(files: Sequence[LabelledFile], mix: Mix, seed: Sequence[int]) -> list[list[View]]:
    """For every uncracked photo the crops that the hardest may be chosen of."""
    rng = np.random.default_rng(seed)
    return [
        [View("photo", NO_CRACK, (file,), _seed(rng)) for _ in range(CROPS_TO_CHOOSE_OF)]
        for (_, label), cell in _by_source(files).items()
        if label == NO_CRACK
        for file in _draw_evenly(cell, min(len(cell), mix.per_class_max), rng)
    ]


def _by_source(files: Sequence[LabelledFile]) -> dict[tuple[str, int], list[LabelledFile]]:
    cells: dict[tuple[str, int], list[LabelledFile]] = defaultdict(list)
    for file in files:
        cells[file.source, file.label].append(file)
    return cells


def _plan_mosaics(
    cells: dict[tuple[str, int], list[LabelledFile]],
    count: int,
    side: int,
    rng: np.random.Generator,
) -> list[View]:
    """``side`` x ``side`` uncracked photos of any source; in every second view one is cracked."""
    whole = {label: [c for (_, lab), c in cells.items() if lab == label] for label in (0, 1)}
    views = []
    for number in range(count):
        drawn = [_draw(whole[NO_CRACK], rng) for _ in range(side**2)]
        label = number % 2
        if label == CRACK:
            drawn[int(rng.integers(len(drawn)))] = _draw(whole[CRACK], rng)
        views.append(View("mosaic", label, tuple(drawn), _seed(rng)))
    return views


def _plan_pairs(
    kind: Literal["pair", "wide"],
    cells: dict[tuple[str, int], list[LabelledFile]],
    count: int,
    rng: np.random.Generator,
) -> list[View]:
    uncracked = [cell for (_, label), cell in cells.items() if label == NO_CRACK]
    donors = [cells[source, CRACK] for source in DONORS if (source, CRACK) in cells]
    of_two = PAIRS_OF_TWO if kind == "pair" else WIDE_PAIRS_OF_TWO
    views = []
    for _ in range(count):
        shown = 0 if rng.random() < PAIRS_ON_WALLS else 2 if rng.random() < of_two else 1
        base = tuple(_draw(uncracked, rng) for _ in range(shown))
        donor = _draw(donors, rng) if donors and rng.random() < GRAFTED else None
        shared = _seed(rng)
        views += [View(kind, label, base, shared, donor) for label in (NO_CRACK, CRACK)]
    return views


def make_view(view: View) -> Picture:
    """The picture of ``view``. Raises ``PhotoError``."""
    rng = np.random.default_rng(view.seed)
    photos = [read_photo(file.path).pixels for file in view.files]
    if view.kind == "mosaic":
        pixels, truth = _mosaic(photos, [file.label for file in view.files], rng)
        return Picture(_recolour(pixels, rng), truth)
    if view.kind in ("pair", "wide"):
        return _make_pair_half(view, photos, rng)
    if view.kind == "whole":
        pixels = resize_to_input(photos[0])
    elif view.kind == "plain":
        pixels = _shift_a_little(photos[0], rng)
    else:
        pixels = _recolour(_close_up(photos[0], view.label, rng), rng)
    return Picture(pixels, _truth_of(view.label, INPUT_SIZE))


def make_input(view: View, side_px: int) -> tuple[Pixels, NDArray[np.int8]]:
    """The picture of ``view`` as the network sees it at ``side_px`` pixels a side, and its cells.

    uint8 RGB (side, side, 3) and, of the feature map's cells, what ``crack_cells`` says. Raises
    ``PhotoError``.
    """
    picture = make_view(view)
    pixels = resize_to_input(picture.pixels, (side_px, side_px))
    return brighten(pixels, light_gain(pixels)), crack_cells(picture.truth, side_px // STRIDE)


def crack_cells(truth: NDArray[np.int8], side: int) -> NDArray[np.int8]:
    """Where a feature map should see a crack, int8 (side, side), from ``Picture.truth``.

    A cell is cracked where at least a fiftieth of its pixels are. Cells beside a cracked one are
    unknown, like those with unknown pixels: their receptive fields hold the crack too.
    """

    def share(part: NDArray[np.bool_]) -> FloatArray:
        size = (side, side)
        return np.asarray(cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA))

    cracked = share(truth == CRACK)
    cells = np.full((side, side), NO_CRACK, np.int8)
    cells[cv2.dilate(cracked, np.ones((3, 3))) > 0] = UNKNOWN
    cells[share(truth == UNKNOWN) > 0] = UNKNOWN
    cells[cracked >= 0.02] = CRACK
    return cells


def _truth_of(label: int, size: tuple[int, int]) -> NDArray[np.int8]:
    """What is known of the pixels of a photo that only its label is known of."""
    return np.full(size, NO_CRACK if label == NO_CRACK else UNKNOWN, np.int8)


def _make_pair_half(view: View, photos: list[Pixels], rng: np.random.Generator) -> Picture:
    for_wall, for_lines, for_crack, for_colour = rng.spawn(4)
    wide = view.kind == "wide"
    size = WIDE_SIZE if wide else INPUT_SIZE
    pixels = _wide_base(photos, for_wall) if wide else _base(photos, for_wall)
    with_lines = for_lines.random() < 0.45
    lines_last = for_lines.random() < 0.5
    if with_lines and not lines_last:
        pixels = render_lines(pixels, for_lines)
    truth = _truth_of(NO_CRACK, size)
    # The crack is drawn at the photo's own resolution: enlarged, it is as soft as what is around.
    if view.label == CRACK:
        donor = read_photo(view.donor.path).pixels if view.donor else None
        pixels, mask = _crack_visibly(pixels, donor, for_crack)
        covered = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        truth[covered > 0.3] = CRACK
    if with_lines and lines_last:
        pixels = render_lines(pixels, for_lines)
    return Picture(_recolour(resize_to_input(pixels, size), for_colour), truth)


def _base(photos: list[Pixels], rng: np.random.Generator) -> Pixels:
    """What a pair shows beside its crack: a rendered wall, a photo, or two that meet in an edge."""
    if not photos:
        side = int(rng.choice((112, 160, 224, 320)))
        return render_wall(rng, (side, side))
    shown = [_shrink(_cut(photo, rng, 0.4), DRAWN_AT_PX) for photo in photos]
    shown = [tilt(pixels, rng) if rng.random() < 0.4 else pixels for pixels in shown]
    if len(shown) == 1:
        return shown[0]
    size = shown[0].shape[1::-1]
    second = cv2.resize(shown[1], size, interpolation=cv2.INTER_AREA)
    return join_surfaces(shown[0], np.asarray(second, np.uint8), rng)


def _wide_base(photos: list[Pixels], rng: np.random.Generator) -> Pixels:
    """``_base`` from further off: photos go on beyond their borders, mirrored."""
    if not photos:
        return render_wall(rng, WIDE_SIZE)
    shown = [spread(photo, WIDE_SIZE, rng) for photo in photos]
    shown = [tilt(pixels, rng) if rng.random() < 0.6 else pixels for pixels in shown]
    return shown[0] if len(shown) == 1 else join_surfaces(shown[0], shown[1], rng)


def spread(pixels: Pixels, size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """A part, ``size`` (height, width), of the endless surface that ``pixels`` mirrors into.

    Shown at 0.35 to 1 times its size, and as much smaller as it is larger than the part.
    """
    scale = rng.uniform(0.35, 1.0) * min(1.0, max(size) / max(pixels.shape[:2]))
    small = cv2.resize(_flip(pixels, rng), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    at = rng.integers(0, 2 * max(small.shape[:2]), 2)
    rows, columns = (
        _mirrored(start + np.arange(side), length)
        for start, side, length in zip(at, size, small.shape[:2], strict=True)
    )
    return np.ascontiguousarray(small[np.ix_(rows, columns)])


def _mirrored(at: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    back_and_forth = at % (2 * length)
    return np.minimum(back_and_forth, 2 * length - 1 - back_and_forth)


def _shrink(pixels: Pixels, side_px: int) -> Pixels:
    """At most ``side_px`` on the longer side."""
    scale = side_px / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    smaller = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8)


def _crack_visibly(
    pixels: Pixels, donor: Pixels | None, rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.bool_]]:
    """A crack that can be seen, and its mask: drawn again where it drowns in what is around."""
    grey = pixels.mean(axis=2, dtype=np.float32)
    grain = float((grey - cv2.GaussianBlur(grey, (0, 0), 2)).std())
    for attempt in range(6):
        grafted = graft_crack(pixels, donor, rng) if donor is not None and attempt < 2 else None
        width_px = None if attempt < 4 else 4.0 * attempt - 10
        cracked, mask = grafted or render_crack(pixels, rng, width_px=width_px)
        change = np.abs(cracked.mean(axis=2) - grey)[mask]
        if change.size > min(0.002 * grey.size, 100) and change.mean() > 10 + 0.7 * grain:
            break
    return cracked, mask


def _draw_evenly(
    files: list[LabelledFile], count: int, rng: np.random.Generator
) -> list[LabelledFile]:
    """``count`` of ``files``, none drawn twice before all are drawn once."""
    order = [files[index] for index in rng.permutation(len(files))]
    return (order * (count // len(files) + 1))[:count]


def _draw(cells: list[list[LabelledFile]], rng: np.random.Generator) -> LabelledFile:
    cell = cells[int(rng.integers(len(cells)))]
    return cell[int(rng.integers(len(cell)))]


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**63))


def _shift_a_little(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Rotation to 20 degrees, shift and zoom to a tenth, left-right flip; edges repeat."""
    height, width = INPUT_SIZE
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), rng.uniform(-20, 20), rng.uniform(0.9, 1.1)
    )
    turn[:, 2] += rng.uniform(-0.1, 0.1, 2) * (width, height)
    moved = cv2.warpAffine(
        resize_to_input(pixels), turn, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return _flip(np.asarray(moved, np.uint8), rng, upright=True)


def _close_up(pixels: Pixels, label: int, rng: np.random.Generator) -> Pixels:
    """A crop at the input size, some seen at an angle."""
    # Cutting more from a cracked photo could cut the crack away and leave its label.
    cropped = _crop(pixels, rng, 0.4 if label == NO_CRACK else 0.7)
    return tilt(cropped, rng) if rng.random() < 0.15 else cropped


def _crop(pixels: Pixels, rng: np.random.Generator, smallest: float) -> Pixels:
    """A crop of ``smallest`` to 1 of each side, its aspect changed a little, at the input size."""
    return resize_to_input(_cut(pixels, rng, smallest))


def _cut(pixels: Pixels, rng: np.random.Generator, smallest: float) -> Pixels:
    height, width = pixels.shape[:2]
    share = rng.uniform(smallest, 1.0)
    stretch = np.exp(rng.uniform(-0.2, 0.2))
    rows = max(16, round(height * min(1.0, share * stretch)))
    columns = max(16, round(width * min(1.0, share / stretch)))
    top = int(rng.integers(height - rows + 1))
    left = int(rng.integers(width - columns + 1))
    return _flip(pixels[top : top + rows, left : left + columns], rng)


def _flip(pixels: Pixels, rng: np.random.Generator, *, upright: bool = False) -> Pixels:
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    if not upright and rng.random() < 0.5:
        pixels = np.rot90(pixels, int(rng.integers(4)))
    return np.ascontiguousarray(pixels)


def _mosaic(
    photos: list[Pixels], labels: list[int], rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.int8]]:
    """Photos in a grid of uneven rows and columns: cracks seen small, among what is none."""
    side = math.isqrt(len(photos))
    size = INPUT_SIZE if side == 2 else WIDE_SIZE
    canvas = np.empty((*size, 3), np.uint8)
    truth = np.empty(size, np.int8)
    rows, columns = (_divide(length, side, rng) for length in size)
    parts = itertools.product(rows, columns)
    for photo, label, part in zip(photos, labels, parts, strict=True):
        target = canvas[part]
        truth[part] = _truth_of(label, target.shape[:2])
        target[:] = cv2.resize(
            _crop(photo, rng, 0.75),
            (target.shape[1], target.shape[0]),
            interpolation=cv2.INTER_AREA,
        )
    return canvas, truth


def _divide(length: int, parts: int, rng: np.random.Generator) -> list[slice]:
    """``parts`` that fill ``length``, their borders moved by up to a fifth of a part."""
    cuts = (np.arange(1, parts) + rng.uniform(-0.2, 0.2, parts - 1)) * length / parts
    ends = [0, *np.rint(cuts).astype(int).tolist(), length]
    return [slice(start, end) for start, end in itertools.pairwise(ends)]


def _recolour(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Light, colour, sharpness, grain and compression as other cameras and days would have them."""
    x = pixels.astype(np.float32) / 255
    x = np.power(x, np.float32(np.exp(rng.normal(0, 0.25))))
    # Medians, which a crack hardly changes: the halves of a pair are lit alike.
    middle = np.median(x)
    x = (x - middle) * np.float32(np.exp(rng.normal(0, 0.2))) + middle
    if rng.random() < 0.3:
        x = x[..., rng.permutation(3)]
    # Walls have any colour and light any strength; most photos to learn from are of pale grey ones.
    tint = rng.normal(0, 0.3 if rng.random() < 0.5 else 0.06, 3)
    gain = np.exp(rng.normal(-0.3, 0.45) + tint)
    darkest, brightest = np.outer((0.15, 0.8), 1 / np.maximum(np.median(x, axis=(0, 1)), 0.01))
    x *= np.clip(gain, np.minimum(darkest, 1), brightest).astype(np.float32)
    # Half of them in grey, as the second of the looks at a photo.
    grey = x.mean(axis=2, keepdims=True)
    saturation = 0.0 if rng.random() < 0.5 else np.exp(rng.normal(0, 0.3))
    x = grey + (x - grey) * np.float32(saturation)
    if rng.random() < 0.4:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.4:
        x += rng.standard_normal(x.shape, np.float32) * np.float32(rng.uniform(0.005, 0.05))
    pixels = np.clip(x * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        _, compressed = cv2.imencode(".jpg", pixels[..., ::-1], quality)
        pixels = np.asarray(cv2.imdecode(compressed, cv2.IMREAD_COLOR_RGB), np.uint8)
    return pixels
