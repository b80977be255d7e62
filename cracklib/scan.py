"""A large photo searched at its own resolution, tile by tile, at several scales.

VGG16's base is fully convolutional, so it can be run densely over a picture of any size (Sermanet
et al. 2014, https://arxiv.org/abs/1312.6229). A cell of its last map sees no more than
``HALO_PX`` beyond itself: a tile with so much around it gives exactly what the whole would.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from cracklib.architecture import STRIDE
from cracklib.classifier import Classifier
from cracklib.config import INPUT_SIZE
from cracklib.overlay import upsample_heat
from cracklib.preprocess import (
    brighten,
    large_input_size,
    light_gain,
    preprocess_pixels,
    resize_to_input,
)
from cracklib.tracer import PIXELS_TO_A_CELL
from cracklib.types import FloatArray, Pixels, Trace

TILE_PX = 1024
"""Side of what a tile gives, at most. Smaller tiles see more of their neighbours, larger ones take
more memory and keep others waiting for longer."""
HALO_PX = 96
"""The receptive field of block5_conv3 is 196 px, 90 on either side of a cell; in whole cells. A
tracer on it sees up to 58 px more, which change no more than 2 of its 255 steps."""


class Span(NamedTuple):
    """One side of a tile: the cells it gives, and the pixels the network sees for them."""

    first: int
    last: int
    start_px: int
    stop_px: int

    @property
    def given(self) -> slice:
        """Where its cells are in the whole map."""
        return slice(self.first, self.last)

    @property
    def seen(self) -> slice:
        """Where its pixels are in the whole picture."""
        return slice(self.start_px, self.stop_px)


class Tile(NamedTuple):
    """A part of the picture at one of the scales, which are numbered from the coarsest."""

    scale: int
    rows: Span
    columns: Span

    @property
    def seen_px(self) -> int:
        """How many pixels the network sees for it: what its time is proportional to."""
        return (self.rows.stop_px - self.rows.start_px) * (
            self.columns.stop_px - self.columns.start_px
        )


def scan_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """The sizes that a photo of ``size`` (height, width) is searched at, the coarsest first.

    Its own, half of it, a quarter, and so on for as long as a scale has at least twice the area
    that one forward pass sees of a large photo. All but the photo's own are whole cells. Empty
    where one forward pass sees about all there is.
    """
    seen = large_input_size(size)
    if seen is None:
        return []
    sizes: list[tuple[int, int]] = []
    factor = 1
    while size[0] * size[1] >= 2 * seen[0] * seen[1] * factor**2:
        # Two cells: weights that average block5_pool have one for both.
        rows, columns = (max(2, round(side / factor / STRIDE)) for side in size)
        sizes.insert(0, (rows * STRIDE, columns * STRIDE) if factor > 1 else size)
        factor *= 2
    return sizes


def plan_spans(side_px: int, stride: int) -> list[Span]:
    """One side of a picture cut into spans of about equal length, none over ``TILE_PX``.

    Spans start at whole cells, so that every tile pools the same pixels together as the whole.
    """
    cells = side_px // stride
    count = max(1, -(-cells * stride // TILE_PX))
    edges = [cells * number // count for number in range(count + 1)]
    return [
        Span(
            first,
            last,
            max(0, first * stride - HALO_PX),
            side_px if last == cells else min(side_px, last * stride + HALO_PX),
        )
        for first, last in pairwise(edges)
    ]


class Scan:
    """A search under way. It goes on by ``step``, and can be left at any time.

    ``evidence`` has, from the coarsest scale to the photo's own, the class activation map: float32
    (rows, columns), a cell for ``stride`` pixels of that scale, and ``traces``, where there is a
    tracer, its trace; both are whole once ``finished``.
    ``done_px`` and ``total_px`` count the pixels that the network sees, ``seconds`` the time of all
    steps. No more than one tile is ever held as the network's input, and no feature map beyond a
    tile's.
    """

    def __init__(self, classifier: Classifier, pixels: Pixels) -> None:
        self.sizes = scan_sizes(pixels.shape[:2])
        stride = classifier.stride
        self.evidence = [
            np.zeros((height // stride, width // stride), np.float32)
            for height, width in self.sizes
        ]
        self.traces: list[Trace] = []
        self._tiles = [
            Tile(scale, rows, columns)
            for scale, (height, width) in enumerate(self.sizes)
            for rows in plan_spans(height, stride)
            for columns in plan_spans(width, stride)
        ]
        self.total_px = sum(tile.seen_px for tile in self._tiles)
        self.done_px = 0
        self.seconds = 0.0
        self._classifier = classifier
        self._pixels = pixels
        once = large_input_size(pixels.shape[:2]) or INPUT_SIZE
        self._gain = light_gain(resize_to_input(pixels, once))
        self._scaled: Pixels | None = None

    @property
    def finished(self) -> bool:
        """Whether every tile was seen."""
        return not self._tiles

    def step(self) -> None:
        """See the next tile: one forward pass, on up to 1,216 x 1,216 pixels."""
        start = time.perf_counter()
        tile = self._tiles[0]
        rows, columns = tile.rows, tile.columns
        seen = self._at_scale(tile.scale)[rows.seen, columns.seen]
        look = self._classifier.for_search.look(preprocess_pixels(brighten(seen, self._gain)))
        stride = self._classifier.stride
        top, left = (span.first - span.start_px // stride for span in (rows, columns))
        self.evidence[tile.scale][rows.given, columns.given] = look.evidence[
            top : top + rows.last - rows.first, left : left + columns.last - columns.first
        ]
        if look.trace is not None:
            self._keep(look.trace, tile)
        self.done_px += tile.seen_px
        del self._tiles[0]
        if self.finished:
            self.release_memory()
        self.seconds += time.perf_counter() - start

    def _keep(self, trace: Trace, tile: Tile) -> None:
        """Put in its place what a tile gives of the trace."""
        size = self.sizes[tile.scale]
        if len(self.traces) == tile.scale:
            cells = [-(-side // PIXELS_TO_A_CELL) for side in size]
            self.traces.append(np.zeros(cells, np.uint8))
        whole = self.traces[tile.scale]
        stride, spans = self._classifier.stride, (tile.rows, tile.columns)
        top, left = (span.first * stride // PIXELS_TO_A_CELL for span in spans)
        above, before = (span.start_px // PIXELS_TO_A_CELL for span in spans)
        inner = trace[top - above :, left - before :]
        # What lies beyond what the tile gives is written again by the tiles that follow.
        whole[top : top + inner.shape[0], left : left + inner.shape[1]] = inner

    def release_memory(self) -> None:
        """Give back what the tiles made the engine allocate; for who leaves before the end."""
        self._classifier.release_memory()

    def _at_scale(self, scale: int) -> Pixels:
        height, width = self.sizes[scale]
        if self._pixels.shape[:2] == (height, width):
            return self._pixels
        if self._scaled is None or self._scaled.shape[:2] != (height, width):
            self._scaled = cv2.resize(self._pixels, (width, height), interpolation=cv2.INTER_AREA)
        return self._scaled


def join_scales(maps: Sequence[FloatArray]) -> FloatArray:
    """At each place the most that any scale says, float32 of the size of the last, finest map."""
    joined = maps[0]
    for finer in maps[1:]:
        joined = np.maximum(upsample_heat(joined, finer.shape), finer)
    return joined
