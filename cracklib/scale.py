"""From pixels to millimetres, and the class of a width."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from cracklib.errors import ScaleError
from cracklib.types import Pixels

MARKER_DICTIONARY = "DICT_4X4_50"
"""OpenCV's name of the ArUco markers that are looked for. Few large cells read from afar, and of 50
markers none is easily mistaken for a piece of wall."""
_MAX_SLANT = 1.2
_MIN_MARKER_SIDE_PX = 16.0

WIDTH_CLASSES: tuple[tuple[float, str], ...] = (
    (0.1, "hairline, under 0.1 mm"),
    (1.0, "fine, up to 1 mm"),
    (5.0, "up to 5 mm"),
    (15.0, "up to 15 mm"),
    (25.0, "up to 25 mm"),
    (math.inf, "over 25 mm"),
)
"""Categories 0 to 5 of BRE Digest 251 (Building Research Establishment, Assessment of damage in
low-rise buildings): the largest width in millimetres, and what it is called here."""
WIDTH_CLASS_NOTE = (
    "Classes follow the crack widths of BRE Digest 251, by the widest place measured in the photo. "
    "They are an indication of width, not an opinion on the structure: cause, movement and number "
    "of cracks count as much, and only someone who has seen the building can judge them."
)


@dataclass(frozen=True)
class Scale:
    """How large a pixel is, in millimetres, on a wall seen square on. Raises ``ScaleError``."""

    mm_per_px: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mm_per_px) and self.mm_per_px > 0):
            raise ScaleError(
                f"A scale is a number of millimetres per pixel above 0, not {self.mm_per_px:g}. "
                "Measure something in the photo: its length in mm over its length in pixels."
            )


def scale_from_points(a: tuple[float, float], b: tuple[float, float], distance_mm: float) -> Scale:
    """From two points (x, y), in pixels of the photo, that are ``distance_mm`` apart.

    Raises ``ScaleError`` where the points are less than 2 px apart or the distance is not above 0.
    """
    distance_px = math.dist(a, b)
    if distance_px < 2:
        raise ScaleError(
            f"The two points are {distance_px:.1f} px apart, too near to measure by. "
            "Choose two that are far apart, the ends of a brick or a ruler."
        )
    _check_mm(distance_mm, "The distance between the points")
    return Scale(distance_mm / distance_px)


def scale_from_marker(pixels: Pixels, side_mm: float) -> Scale:
    """From the printed ArUco markers (Garrido-Jurado et al. 2014) in a photo, uint8 RGB.

    ``side_mm`` is the side of a marker's black square; of several the median counts. Raises
    ``ScaleError`` where there is none, or it is seen so much at an angle (sides that differ by
    over 20 %) that no one scale holds.
    """
    _check_mm(side_mm, "The marker's side")
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, MARKER_DICTIONARY))
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    corners, _, _ = cv2.aruco.ArucoDetector(dictionary, parameters).detectMarkers(grey)
    sides_px = [
        np.hypot(*(quad.reshape(4, 2) - np.roll(quad.reshape(4, 2), 1, axis=0)).T)
        for quad in corners
    ]
    sides_px = [sides for sides in sides_px if sides.min() >= _MIN_MARKER_SIDE_PX]
    if not sides_px:
        raise ScaleError(
            f"No ArUco marker of {MARKER_DICTIONARY} was found in the photo. Expected one, "
            f"flat on the wall, at least {_MIN_MARKER_SIDE_PX:.0f} px wide, with a white rim "
            "around its black square. Print one, go nearer, or give millimetres per pixel instead."
        )
    sides = sorted(sides_px, key=np.mean)[len(sides_px) // 2]
    if sides.max() > _MAX_SLANT * sides.min():
        raise ScaleError(
            f"The marker is seen at an angle: its sides are {sides.min():.0f} to "
            f"{sides.max():.0f} px, so no one scale holds. Photograph the wall square on."
        )
    return Scale(side_mm / float(sides.mean()))


def render_marker(side_px: int = 600) -> Pixels:
    """A marker to print, uint8 RGB, whose black square is ``side_px`` wide, with its white rim."""
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, MARKER_DICTIONARY))
    marker = cv2.aruco.generateImageMarker(dictionary, 0, side_px)
    rim = side_px // 4
    framed = cv2.copyMakeBorder(marker, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=255)
    return np.repeat(framed[..., None], 3, axis=2)


def width_class(width_mm: float) -> str:
    """What a width is called after BRE Digest 251; see ``WIDTH_CLASS_NOTE``.

    A hairline is under 0.1 mm; the other limits belong to the class they end.
    """
    if width_mm < WIDTH_CLASSES[0][0]:
        return WIDTH_CLASSES[0][1]
    return next(name for largest, name in WIDTH_CLASSES[1:] if width_mm <= largest)


def _check_mm(length_mm: float, what: str) -> None:
    if not (math.isfinite(length_mm) and length_mm > 0):
        raise ScaleError(f"{what} must be a number of millimetres above 0, not {length_mm:g}.")
