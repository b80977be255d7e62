"""The cracks that an inspection found, measured."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cracklib.config import DISPLAY_THRESHOLD
from cracklib.pipeline import Inspection
from cracklib.regions import CrackRegion, find_regions

_SURROUNDINGS_PX = 12.0
_MIN_DARKNESS = 12.0


def crack_mask(inspection: Inspection) -> NDArray[np.bool_]:
    """Where the photo is cracked, bool of its (height, width): where there is evidence for a crack
    and the photo is darker than around by 12 of 255 grey levels.
    """
    grey = cv2.cvtColor(inspection.photo.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    darkness = cv2.GaussianBlur(grey, (0, 0), _SURROUNDINGS_PX) - grey
    return np.asarray((inspection.heatmap >= DISPLAY_THRESHOLD) & (darkness >= _MIN_DARKNESS))


def measure_cracks(inspection: Inspection) -> tuple[CrackRegion, ...]:
    """The cracks of an inspected photo, the most striking first; see ``find_regions``."""
    return find_regions(inspection.photo.pixels, crack_mask(inspection), inspection.heatmap)
