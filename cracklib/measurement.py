"""The cracks that an inspection found, measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cracklib.export import ExportedPhoto
from cracklib.pipeline import Inspection
from cracklib.refine import hysteresis
from cracklib.regions import CrackRegion, find_regions
from cracklib.scale import Scale

_TRACE_HEAT = 0.08


def crack_mask(inspection: Inspection) -> NDArray[np.bool_]:
    """Where the photo is cracked, bool of its (height, width).

    Where refined heat is drawn, and from there on as long as it stays above ``_TRACE_HEAT``: a
    crack goes on where it is thinner than elsewhere.
    """
    return hysteresis(inspection.refined, _TRACE_HEAT)


def measure_cracks(inspection: Inspection) -> tuple[CrackRegion, ...]:
    """The cracks of an inspected photo, the most striking first; see ``find_regions``."""
    return find_regions(inspection.photo.pixels, crack_mask(inspection), inspection.refined)


def exported_photo(inspection: Inspection, scale: Scale | None) -> ExportedPhoto:
    """What files with its cracks say of an inspected photo."""
    return ExportedPhoto(
        inspection.photo.name,
        inspection.photo.size,
        inspection.verdict,
        inspection.probability,
        inspection.model_sha256,
        inspection.doubts,
        scale,
    )
