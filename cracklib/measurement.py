"""The cracks that an inspection found, measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.filters import apply_hysteresis_threshold

from cracklib.config import DISPLAY_THRESHOLD
from cracklib.pipeline import Inspection
from cracklib.regions import CrackRegion, find_regions

_TRACE_HEAT = 0.08


def crack_mask(inspection: Inspection) -> NDArray[np.bool_]:
    """Where the photo is cracked, bool of its (height, width).

    Where refined heat is drawn, and from there on as long as it stays above ``_TRACE_HEAT``
    (hysteresis, Canny 1986): a crack goes on where it is thinner than elsewhere.
    """
    mask = apply_hysteresis_threshold(inspection.refined, _TRACE_HEAT, DISPLAY_THRESHOLD)
    return np.asarray(mask, np.bool_)


def measure_cracks(inspection: Inspection) -> tuple[CrackRegion, ...]:
    """The cracks of an inspected photo, the most striking first; see ``find_regions``."""
    return find_regions(inspection.photo.pixels, crack_mask(inspection), inspection.refined)
