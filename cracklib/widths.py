"""The width of a crack from the darkness of its profile, to fractions of a pixel.

A photo is blurred by the lens and averaged over each pixel, so a thin crack shows as a grey line
wider than itself, and its mask says little. Yet light adds up: the darkness summed across a crack
is its width times its contrast, however blurred. So a width is measured in linear light, as area
under the profile over contrast; the profile is taken for a bar convolved with a Gaussian, as Steger
(1998, An unbiased detector of curvilinear structures) has it.

What is darkness, and not just another brick, is told by morphology: the closing of a profile fills
valleys up to a length and keeps all edges (the black top-hat, Meyer 1979), so mortar beside a crack
does not count as its rim, and a dark joint nearby not as its floor.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, grey_closing, median_filter
from scipy.special import ndtr

from cracklib.centreline import Branch, Mask, Points, sample
from cracklib.types import FloatArray, Pixels

BLUR_PX = 0.8
"""Usual blur of a photo, standard deviation: lens, pixel and interpolation together."""
_BLUR_SPREAD = 0.35
CONTRAST = 0.85
"""Usual contrast of a crack: little of the light that enters it comes back."""
_CONTRAST_SPREAD = 0.25
"""The spreads are standard deviations of the natural logarithm."""
_MIN_CONTRAST = 0.05
"""Where the profile is fainter there is nothing to integrate; the mask's width is taken."""

_STEP_PX = 0.5
_STEP_SHARE = 0.02
"""Of the half width, where that is more: a shadow wide as the photo must not take all memory."""
_ALONG_PX = 4.0
"""Profiles are averaged along the crack with this standard deviation."""
_FLANK_PX = 3.0
"""What a worn mask and blur may leave of the crack outside the mask, on either side."""
_STEADY_PX = 31
"""Points, about 1 px apart, of whose widths the median is taken: a crack opens and closes slowly,
but where it crosses a joint or an edge is chipped, up to half of these are another thing's.
"""
_TAIL = 0.25
"""The crack ends where it is no darker than this share of its darkest."""

_SRGB = np.arange(256) / 255
_LINEAR = np.where(_SRGB <= 0.04045, _SRGB / 12.92, ((_SRGB + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def to_light(pixels: Pixels) -> FloatArray:
    """Relative luminance (IEC 61966-2-1, Rec. 709), float32 (height, width) in [0, 1].

    Unlike pixel values it adds up: a pixel half covered is half as bright.
    """
    light = np.zeros(pixels.shape[:2], np.float32)
    for channel, weight in enumerate(_LUMINANCE):
        light += np.float32(weight) * _LINEAR[pixels[..., channel]]
    return light


def measure_widths(light: FloatArray, mask: Mask, branch: Branch) -> NDArray[np.float64]:
    """The width in pixels at each point of a branch, float (n,).

    ``light`` is from ``to_light``, ``mask`` of the same size; the mask says where the crack is, the
    light how wide. Where the crack is no darker than its sides, the width is the mask's.
    """
    normals = _normals(branch.points)
    half = np.maximum(gaussian_filter1d(branch.half_widths, _ALONG_PX), 1.0)[:, None]
    step_px = max(_STEP_PX, _STEP_SHARE * half.max())
    reach = np.ceil((2 * half.max() + 3 * _FLANK_PX) / step_px)
    offsets = np.arange(-reach, reach + 1) * step_px
    across = offsets[:, None] * normals[:, None]

    rough = _profile(light, branch.points[:, None] + across, offsets, half)
    # The mask's middle is not the crack's: averaged askew, a thin line would look wide.
    shift = np.clip(gaussian_filter1d(rough.middle, _ALONG_PX)[:, None], -half, half)
    points = branch.points + shift * normals
    profile = _profile(light, points[:, None] + across, offsets, half)

    masked = sample(mask, points[:, None] + across)
    widths = (masked * _around_centre(masked >= 0.25, offsets)).sum(axis=1) * step_px
    seen = (profile.depth >= _MIN_CONTRAST) & (profile.area > 0)
    widths[seen] = _unblurred(profile.area[seen], profile.depth[seen])
    return np.asarray(median_filter(widths, size=_STEADY_PX, mode="reflect"))


class _Profile(NamedTuple):
    """Of each point: the area under the darkness, its depth, and the offset of its middle."""

    area: NDArray[np.float64]
    depth: NDArray[np.float64]
    middle: NDArray[np.float64]


def _profile(
    light: FloatArray,
    across: NDArray[np.float64],
    offsets: NDArray[np.float64],
    half: NDArray[np.float64],
) -> _Profile:
    """Darkness, as a share of the light beside the crack, ``across`` it (n, offsets, 2)."""
    profiles = gaussian_filter1d(sample(light, across), _ALONG_PX, axis=0)
    step_px = offsets[1] - offsets[0]
    darkness = 1 - profiles / np.maximum(_base(profiles, half, step_px), 1e-3)
    near = np.where(np.abs(offsets) <= half, darkness, -np.inf)
    peak = near.max(axis=1, keepdims=True)
    darkest = offsets[near.argmax(axis=1)][:, None]
    crack = darkness * _around_centre(darkness >= _TAIL * peak, offsets - darkest)
    total = crack.sum(axis=1)
    middle = (crack * offsets).sum(axis=1) / np.maximum(total, 1e-6)
    middle = np.clip(middle, offsets[0], offsets[-1])
    area = total * step_px
    # A wide crack is uneven inside: its depth is the mean of its middle, not one dark spot's.
    core = area / np.maximum(peak[:, 0], _MIN_CONTRAST) / 6
    within = np.abs(offsets - middle[:, None]) <= np.maximum(core, 0.6 * step_px)[:, None]
    return _Profile(area, (darkness * within).sum(axis=1) / within.sum(axis=1), middle)


def _unblurred(area: NDArray[np.float64], depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Widths of bars of unknown contrast that were blurred by an unknown Gaussian.

    Of the triples of width, contrast and blur that explain both ``area`` and ``depth``, the one is
    taken whose blur and contrast are the most usual. Wide bars leave no choice; thin ones do, of
    the pixel or so that their blur is wide.
    """
    ratios, apparent, depths = _blurred_bars()
    blurs = np.geomspace(0.2, 4.0, 80)
    ratio = np.interp(area[:, None] / depth[:, None] / blurs, apparent, ratios)
    contrasts = depth[:, None] / np.interp(ratio, ratios, depths)
    unusual = (np.log(blurs / BLUR_PX) / _BLUR_SPREAD) ** 2
    unusual = unusual + (np.log(contrasts / CONTRAST) / _CONTRAST_SPREAD) ** 2
    unusual[contrasts > 1.0] += 1e3
    return np.asarray((blurs * ratio)[np.arange(len(ratio)), unusual.argmin(axis=1)])


@cache
def _blurred_bars() -> tuple[NDArray[np.float64], ...]:
    """Bars of contrast 1 under a Gaussian of deviation 1: their widths; the area under the profile,
    out to ``_TAIL`` of its depth, over the depth; the depth.
    """
    ratios = np.geomspace(1e-2, 400, 600)
    step = 0.01
    # The profile is that of an edge from the middle of a wide bar on.
    past = np.arange(-6, 6, step)
    apparent = []
    for ratio in ratios:
        at = np.clip(past + ratio / 2, 0, None)
        profile = ndtr(at + ratio / 2) - ndtr(at - ratio / 2)
        depth = 2 * ndtr(ratio / 2) - 1
        inside = max(0.0, ratio / 2 - 6)
        edge = profile[(profile >= _TAIL * depth) & (past + ratio / 2 >= 0)].sum() * step
        apparent.append(2 * (inside + edge / depth))
    return ratios, np.array(apparent), 2 * ndtr(ratios / 2) - 1


def _base(profiles: NDArray[np.float64], half: NDArray[np.float64], step_px: float) -> Points:
    """The light there would be without the crack: each profile with its valleys filled that are no
    longer than the mask is wide and ``_FLANK_PX`` on either side.
    """
    base = np.empty_like(profiles)
    lengths = 2 * np.ceil((half[:, 0] + _FLANK_PX) / step_px).astype(int) + 1
    for length in np.unique(lengths):
        rows = lengths == length
        base[rows] = grey_closing(profiles[rows], size=(1, length), mode="nearest")
    return base


def _around_centre(within: Mask, offsets: NDArray[np.float64]) -> Mask:
    """Each row's unbroken run of ``within`` around offset 0."""
    within = within | (np.abs(offsets) <= _STEP_PX)
    right = np.logical_and.accumulate(within | (offsets < 0), axis=1)
    left = np.logical_and.accumulate((within | (offsets > 0))[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(left & right)


def _normals(points: Points) -> Points:
    tangents = np.gradient(points, axis=0)
    if len(points) > 4:
        tangents = gaussian_filter1d(tangents, 2.0, axis=0)
    tangents /= np.maximum(np.hypot(*tangents.T), 1e-9)[:, None]
    return np.stack([-tangents[:, 1], tangents[:, 0]], axis=1)
