"""Pictures of measured cracks: the photo with all of them, or the photo's own pixels around one."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cracklib.centreline import Points
from cracklib.regions import CrackRegion
from cracklib.types import Pixels

_COLOUR, _CHOSEN_COLOUR = (255, 196, 0), (255, 64, 64)
_SUBPIXEL_BITS = 4
_MAX_ZOOM = 6.0
_MARGIN_PX = 24.0
_FONT_SCALE = 1.2


def render_region_view(
    pixels: Pixels, regions: Sequence[CrackRegion], chosen: int | None, max_side_px: int
) -> Pixels:
    """The photo with its cracks outlined and numbered from 1, uint8 RGB, no side over
    ``max_side_px``.

    With ``chosen``, an index into ``regions``, only what is around that crack is shown, enlarged up
    to six times, with its centreline; without, the whole photo.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = 0, 0, width, height
    if chosen is not None:
        x, y, box_width, box_height = regions[chosen].box
        margin = _MARGIN_PX + 0.1 * max(box_width, box_height)
        left, top = max(0, int(x - margin)), max(0, int(y - margin))
        right = min(width, int(np.ceil(x + box_width + margin)))
        bottom = min(height, int(np.ceil(y + box_height + margin)))
    zoom = min(max_side_px / max(right - left, bottom - top), _MAX_ZOOM)
    size = max(1, int((right - left) * zoom)), max(1, int((bottom - top) * zoom))
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_NEAREST
    view: Pixels = cv2.resize(pixels[top:bottom, left:right], size, interpolation=method)
    corner = np.array([left, top])
    for number, region in enumerate(regions):
        colour = _CHOSEN_COLOUR if number == chosen else _COLOUR
        rings = (region.outline, *region.holes)
        _draw(view, [(ring - corner) * zoom for ring in rings], colour)
        if number == chosen:
            lines = [(line - corner) * zoom for line in region.centreline]
            _draw(view, lines, (255, 255, 255))
        if chosen is None:
            at = (region.outline[region.outline[:, 1].argmin()] - corner) * zoom
            _write(view, str(number + 1), at, colour)
    return view


def _draw(view: Pixels, lines: Sequence[Points], colour: tuple[int, int, int]) -> None:
    # OpenCV's whole numbers are the centres of pixels.
    fixed = [np.rint((line - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32) for line in lines]
    cv2.polylines(view, fixed, False, colour, 2, cv2.LINE_AA, _SUBPIXEL_BITS)


def _write(view: Pixels, text: str, at: Points, colour: tuple[int, int, int]) -> None:
    height, width = view.shape[:2]
    font = cv2.FONT_HERSHEY_SIMPLEX
    (text_width, text_height), _ = cv2.getTextSize(text, font, _FONT_SCALE, 2)
    x = int(np.clip(at[0] + 4, 2, max(2, width - text_width - 2)))
    y = int(np.clip(at[1] - 4, text_height + 2, max(text_height + 2, height - 2)))
    for thickness, ink in ((8, (0, 0, 0)), (2, colour)):
        cv2.putText(view, text, (x, y), font, _FONT_SCALE, ink, thickness, cv2.LINE_AA)
