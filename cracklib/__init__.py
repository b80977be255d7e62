"""Says whether a wall photo is cracked, how sure it is, and where.

>>> import cracklib
>>> inspection = cracklib.inspect("wall.jpg")  # doctest: +SKIP
>>> inspection.verdict, inspection.probability  # doctest: +SKIP
('crack', 0.97)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cracklib.errors import (
    CrackError,
    DatasetError,
    DownloadError,
    MeasuredError,
    PhotoError,
    ScaleError,
    TrainingError,
    WeightsError,
)
from cracklib.types import Photo

if TYPE_CHECKING:
    from cracklib.measurement import measure_cracks
    from cracklib.photo import decode_photo
    from cracklib.pipeline import Inspection, Inspector, inspect

__all__ = [
    "CrackError",
    "DatasetError",
    "DownloadError",
    "Inspection",
    "Inspector",
    "MeasuredError",
    "Photo",
    "PhotoError",
    "ScaleError",
    "TrainingError",
    "WeightsError",
    "decode_photo",
    "inspect",
    "measure_cracks",
]

_LAZY = {
    "Inspection": "cracklib.pipeline",
    "Inspector": "cracklib.pipeline",
    "decode_photo": "cracklib.photo",
    "inspect": "cracklib.pipeline",
    "measure_cracks": "cracklib.measurement",
}


def __getattr__(name: str) -> Any:
    """Import the image libraries when they are first needed (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module 'cracklib' has no attribute '{name}'")
    return getattr(import_module(_LAZY[name]), name)
