"""Value objects that pass between the stages. Frozen, validated, NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["crack", "no_crack"]
Pixels = NDArray[np.uint8]
"""RGB pixels, shape (height, width, 3), values 0 to 255."""
FloatArray = NDArray[np.float32]
Trace = NDArray[np.uint8]
"""How much each place looks like a crack, (rows, columns), a cell for 2 pixels of what the network
saw; 255 is entirely. See ``tracer``."""
Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright RGB photo.

    ``pixels`` is uint8 of shape (height, width, 3) and is made read-only; ``name`` is what to call
    the photo in messages and file names (never a path to open).
    """

    pixels: Pixels
    name: str = "photo"

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(
                f"pixels must be uint8 (height, width, 3), "
                f"not {self.pixels.dtype} {self.pixels.shape}"
            )
        view = self.pixels.view()
        view.flags.writeable = False
        object.__setattr__(self, "pixels", view)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, eq=False)
class Look:
    """What one forward pass says of one photo.

    ``evidence`` is its class activation map in log-odds, float32 (rows, columns);
    ``known_surface`` is whether the photo looks like what was trained on, ``trace`` where it looks
    like a crack from near, and ``likeness`` how much each pixel then looks like one
    (``refine.crack_likeness``), and ``class_maps`` the map of each class by itself
    (``cam.class_maps``); each is None where nothing tells.
    """

    evidence: FloatArray
    known_surface: bool | None = None
    trace: Trace | None = None
    likeness: FloatArray | None = None
    class_maps: FloatArray | None = None


@dataclass(frozen=True)
class HeatScale:
    """Evidence, in calibrated log-odds, that is drawn as heat 0 (``low``) and heat 1 (``high``).

    Fitted once on validation photos and kept with the weights, so that one colour means one amount
    of evidence in every photo.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, not {self.low} and {self.high}")


@dataclass(frozen=True)
class SurfacePrior:
    """How what a photo shows changes the log-odds of a crack.

    ``offset`` is added where a photo is judged as a whole; a ``WindowScale`` has its own.
    ``deduction`` is taken off where it shows no surface that the model knows, for little else is
    ever cracked.
    """

    offset: float
    deduction: float

    def __post_init__(self) -> None:
        if not self.deduction >= 0:
            raise ValueError(f"deduction must be 0 or more, not {self.deduction}")


@dataclass(frozen=True)
class WindowScale:
    """How the strongest window of a large photo is read: ``slope * evidence + offset`` in log-odds.

    Of many windows one is always the strongest, in a sound wall too; fitted on validation photos
    set into larger pictures, so that more windows don't mean more false alarms (Platt 1999). A
    photo that is searched at its own resolution has yet more, of which the strongest would be
    stronger by chance alone: ``deduction`` times that is taken from the evidence. Without it, what
    a search finds has no say.
    """

    slope: float
    offset: float
    deduction: float | None = None

    def __post_init__(self) -> None:
        if not self.slope > 0:
            raise ValueError(f"slope must be above 0, not {self.slope}")
        if self.deduction is not None and not self.deduction >= 0:
            raise ValueError(f"deduction must be 0 or more, not {self.deduction}")
