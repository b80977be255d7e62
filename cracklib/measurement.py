"""The cracks that an inspection found, measured."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cracklib.config import DISPLAY_THRESHOLD
from cracklib.pipeline import Inspection
from cracklib.regions import CrackRegion, find_regions

_TRACE_HEAT = 0.08


def crack_mask(inspection: Inspection) -> NDArray[np.bool_]:
    """Where the photo is cracked, bool of its (height, width).

    Where refined heat is drawn, and from there on as long as it stays above ``_TRACE_HEAT``
    (hysteresis, Canny 1986): a crack goes on where it is thinner than elsewhere.
    """
    refined = inspection.refined
    # scikit-image's own takes a gigabyte more for a photo of 60 megapixels.
    traced = (refined > _TRACE_HEAT).view(np.uint8)
    count, pieces = cv2.connectedComponents(traced, connectivity=4)
    drawn = np.zeros(count, np.bool_)
    drawn[pieces[refined > DISPLAY_THRESHOLD]] = True
    mask: NDArray[np.bool_] = drawn[pieces]
    return mask


def measure_cracks(inspection: Inspection) -> tuple[CrackRegion, ...]:
    """The cracks of an inspected photo, the most striking first; see ``find_regions``."""
    return find_regions(inspection.photo.pixels, crack_mask(inspection), inspection.refined)
