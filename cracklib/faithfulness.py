"""Does a map show what the verdict rests on? Take the hottest pixels away and see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cracklib.types import FloatArray, Pixels

STEPS = 20
_BLUR_SHARE = 0.08
"""Sigma of the blur that takes a pixel's place, as a share of the photo's shorter side."""


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How the probability of a crack follows the hottest pixels of a map.

    ``shares`` are shares of the pixels, from 0 to 1; ``deletion`` and ``insertion`` the
    probabilities when the hottest so many are taken away from the photo, and when only they are
    left of it. ``drop`` is the share of the probability that is lost when each pixel is left to the
    degree that it is hot, in [0, 1]. All float64.
    """

    shares: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    drop: float

    @property
    def deletion_area(self) -> float:
        """The area under the deletion curve, in [0, 1]: the lower, the more faithful."""
        return float(np.trapezoid(self.deletion, self.shares))

    @property
    def insertion_area(self) -> float:
        """The area under the insertion curve, in [0, 1]: the higher, the more faithful."""
        return float(np.trapezoid(self.insertion, self.shares))


def measure_faithfulness(
    probability_of: Callable[[Pixels], float],
    pixels: Pixels,
    heat: FloatArray,
    steps: int = STEPS,
) -> Faithfulness:
    """Deletion and insertion curves, and the drop, of ``heat`` as a map of ``pixels``.

    Petsiuk et al. 2018, section 4.1 (https://arxiv.org/abs/1806.07421), and Chattopadhay et al.
    2018, equation 21 (https://arxiv.org/abs/1710.11063), whose mean over photos is the average
    drop. What is taken away is replaced by the blurred photo in all three: a flat patch would have
    edges of its own, and edges look like cracks. Pixels of equal heat go in a random order that is
    always the same.

    ``probability_of`` is called ``2 * steps + 1`` times with uint8 RGB of the photo's size;
    ``pixels`` is uint8 RGB (height, width, 3), ``heat`` float32 (height, width) in [0, 1]. Raises
    ``ValueError`` where their sizes differ.
    """
    if heat.shape != pixels.shape[:2]:
        raise ValueError(f"heat {heat.shape} must have the photo's size {pixels.shape[:2]}")
    blurred = cv2.GaussianBlur(pixels, (0, 0), max(1.0, _BLUR_SHARE * min(heat.shape)))
    shuffled = np.random.default_rng(0).permutation(heat.size)
    order = shuffled[np.argsort(-heat.ravel()[shuffled], kind="stable")]
    rank = np.argsort(order).reshape(heat.shape)

    def mixed(kept: NDArray[np.floating]) -> float:
        share = kept.astype(np.float32)[..., np.newaxis]
        return probability_of(
            np.rint(blurred + share * (pixels.astype(np.float32) - blurred)).astype(np.uint8)
        )

    shares = np.linspace(0, 1, steps + 1)
    hottest = [rank < round(share * heat.size) for share in shares]
    whole, nothing = probability_of(pixels), probability_of(blurred)
    deletion = [whole, *(mixed(~hot) for hot in hottest[1:-1]), nothing]
    insertion = [nothing, *(mixed(hot) for hot in hottest[1:-1]), whole]
    drop = max(0.0, whole - mixed(heat)) / max(whole, np.finfo(float).tiny)
    return Faithfulness(shares, np.array(deletion), np.array(insertion), drop)
