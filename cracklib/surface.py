"""Whether a photo shows a surface like those trained on, read from a middle layer of the network.

The last layers know cracks and have forgotten what tells a cat from a wall; ``STATISTICS_BLOCK``
still does. A logistic regression on how much each of its channels varies over the photo, fitted by
``weights/fit_surface.py``, is as good as anything tried there (weights/DIARY.md).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cracklib.architecture import STATISTICS_BLOCK
from cracklib.config import SURFACE_READOUT
from cracklib.errors import WeightsError
from cracklib.types import FloatArray
from cracklib.weights import Weights, layers_sha256


@dataclass(frozen=True)
class SurfaceReadout:
    """A logistic regression: log-odds that a photo shows no surface that the model knows.

    ``kernel`` has a number for each channel of the layer. The readout belongs to the layers whose
    hash (``weights.layers_sha256``) is ``layers_sha256`` and means nothing with any other.
    ``data`` maps a source to how many pictures were fitted on.
    """

    layers_sha256: str
    kernel: tuple[float, ...]
    bias: float
    data: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.kernel, self.bias))):
            raise ValueError("kernel and bias must be finite")

    def log_odds(self, deviations: FloatArray) -> float:
        """Of ``deviations``, float32 (channels,), as an engine's ``describe`` gives them.

        Above 0 the photo shows something else. Their root is taken, for they are all sizes.
        """
        return float(np.sqrt(deviations) @ np.asarray(self.kernel, np.float32) + self.bias)

    def is_known(self, deviations: FloatArray) -> bool:
        """Whether the photo of these deviations shows a surface that the model knows."""
        return self.log_odds(deviations) <= 0

    def to_json(self) -> str:
        """The readout as ``read_readout`` reads it."""
        return json.dumps(asdict(self)) + "\n"


def read_readout(path: Path) -> SurfaceReadout:
    """The readout in a file of ``SurfaceReadout.to_json``. Raises ``WeightsError``."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return SurfaceReadout(**values | {"kernel": tuple(map(float, values["kernel"]))})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"Can't use {path} ({error}). Expected what weights/fit_surface.py writes, which comes "
            "with the repository; fetch it again, or delete it to do without."
        ) from error


def find_readout(weights: Weights) -> SurfaceReadout | None:
    """The bundled readout if it belongs to ``weights``: another's would tell nonsense.

    Raises ``WeightsError``.
    """
    if not SURFACE_READOUT.exists():
        return None
    readout = read_readout(SURFACE_READOUT)
    own = layers_sha256(weights, STATISTICS_BLOCK)
    return readout if readout.layers_sha256 == own else None
