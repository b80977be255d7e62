"""Where the evidence is: the class activation map, and the heat it is drawn as."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cracklib.types import FloatArray, HeatScale


def class_activation_map(
    feature_map: FloatArray, head_kernel: FloatArray, head_bias: FloatArray, temperature: float
) -> FloatArray:
    """Evidence for a crack at each place, in calibrated log-odds: float32 (rows, columns).

    Zhou et al. 2016, equation 2 (https://arxiv.org/abs/1512.04150), for the difference of the two
    classes: ``((w_crack - w_no_crack) . f(x, y) + b_crack - b_no_crack) / temperature``. Its mean
    is the log-odds of the photo's probability. It is the same difference whatever the verdict: "no
    crack" explained by its own weights would paint the clean wall.

    ``feature_map`` is float32 (rows, columns, channels), ``head_kernel`` (channels, 2) and
    ``head_bias`` (2,) in the order of ``config.LABELS``.
    """
    kernel = head_kernel[:, 1] - head_kernel[:, 0]
    bias = head_bias[1] - head_bias[0]
    evidence: FloatArray = (feature_map @ kernel + bias) / np.float32(temperature)
    return evidence


def class_maps(feature_map: FloatArray, head_kernel: FloatArray) -> FloatArray:
    """The class activation map of each class by itself, float32 (2, rows, columns).

    Zhou et al. 2016, equation 2, as it stands: ``w_c . f(x, y)``. Arguments as for
    ``class_activation_map``.
    """
    return np.ascontiguousarray(np.moveaxis(feature_map @ head_kernel, -1, 0))


def article_heat(class_map: FloatArray) -> FloatArray:
    """The map of one class over its own maximum, as the article draws it; float32 in [0, 1].

    So the hottest place of any photo is 1, whatever the evidence there.
    """
    most = float(class_map.max())
    return np.clip(class_map / most, 0, 1) if most > 0 else np.zeros_like(class_map)


class Windows(NamedTuple):
    """The windows of a map, each with the mean of its evidence.

    The mean over a window of the class activation map is what the head says of that window alone,
    up to what its border cells see beyond it; so all windows are read from one forward pass.
    ``strongest`` is the highest mean, ``spread`` the standard deviation of the means, and
    ``beside`` how many windows the map has room for side by side.
    """

    strongest: float
    spread: float
    beside: float

    def by_chance(self, once: float) -> float:
        """What is to be expected of the strongest for no more than being one of so many.

        That is, over the strongest of ``once`` windows: of n independent normal values, the highest
        is about ``sqrt(2 log n)`` standard deviations above their mean (Leadbetter et al. 1983,
        theorem 1.5.3).
        """
        few, many = (math.sqrt(2 * math.log(max(2.0, n))) for n in (once, self.beside))
        return self.spread * max(0.0, many - few)


def measure_windows(maps: Sequence[FloatArray], cells: int) -> Windows:
    """The windows of ``cells`` x ``cells`` of one map, or of several that are parts of one.

    A map with fewer cells on a side has windows of all of them.
    """
    means = np.concatenate([_window_means(evidence, cells).ravel() for evidence in maps])
    beside = sum(evidence.size for evidence in maps) / cells**2
    return Windows(float(means.max()), float(means.std()), beside)


def strongest_window(evidence: FloatArray, cells: int) -> float:
    """The highest mean evidence of any window of ``cells`` x ``cells``; see ``Windows``."""
    return float(_window_means(evidence, cells).max())


def _window_means(evidence: FloatArray, cells: int) -> NDArray[np.float64]:
    rows, columns = (min(cells, side) for side in evidence.shape)
    sums = np.pad(evidence.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    windows = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns]
    windows += sums[:-rows, :-columns]
    means: NDArray[np.float64] = windows / (rows * columns)
    return means


def to_heat(evidence: FloatArray, scale: HeatScale) -> FloatArray:
    """Evidence in log-odds on the fixed scale: 0 at ``scale.low`` and below, 1 at ``high`` and
    above. float32 of the same shape.
    """
    heat: FloatArray = (evidence - scale.low) / (scale.high - scale.low)
    return heat.clip(0.0, 1.0)
