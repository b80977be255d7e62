"""The cracks that an inspection found, measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cracklib.config import DISPLAY_THRESHOLD
from cracklib.pipeline import Inspection
from cracklib.regions import CrackRegion, find_regions


def crack_mask(inspection: Inspection) -> NDArray[np.bool_]:
    """Where the photo is cracked, bool of its (height, width): where refined heat is drawn."""
    return np.asarray(inspection.refined >= DISPLAY_THRESHOLD)


def measure_cracks(inspection: Inspection) -> tuple[CrackRegion, ...]:
    """The cracks of an inspected photo, the most striking first; see ``find_regions``."""
    return find_regions(inspection.photo.pixels, crack_mask(inspection), inspection.refined)
