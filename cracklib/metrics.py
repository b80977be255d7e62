"""How good verdicts, probabilities and heatmaps are. NumPy and SciPy only.

A crack is the positive class. Heatmaps are scored against masks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, maximum_filter
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.stats import binomtest, norm, rankdata

from cracklib.types import FloatArray

OVERALL = "overall"
"""Name of the row that pools the photos of all sources."""

CALIBRATION_BINS = 15
HEAT_THRESHOLDS = 1_000
POINTING_MARGIN_PX = 15
TOLERANCE_PX = 2
TEMPERATURE_BOUNDS = (0.05, 20.0)

_Doubles = NDArray[np.float64]
_RESAMPLES = 1_000
_CHUNK = 1_000_000
"""Values of resamples held at a time: 8 MB."""
_Z = float(norm.ppf(0.975))
_NEXT = 1e-9
"""How near to a measured AUC the ends of its interval are looked for."""
_TOLERANCE_DISC = (
    np.hypot(*np.mgrid[-TOLERANCE_PX : TOLERANCE_PX + 1, -TOLERANCE_PX : TOLERANCE_PX + 1])
    <= TOLERANCE_PX
)


@dataclass(frozen=True)
class Estimate:
    """A metric and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CalibrationError:
    """A calibration error, and what it would be, 95 times in 100, by chance alone: if the
    probabilities were exactly right, of as many photos.

    Few photos have one whatever the probabilities, so it is not ``value`` that tells them wrong but
    a ``value`` above ``chance_high``.
    """

    value: float
    chance_low: float
    chance_high: float


@dataclass(frozen=True)
class ClassificationMetrics:
    """Quality of the verdicts and probabilities on ``photos`` photos, ``cracks`` of them cracked.

    ``calibration_error`` is in [0, 1], best 0, as is ``false_alarm_rate``, the share of uncracked
    photos called cracked; of the rest 1 is best. Photos of one class have only an accuracy, a
    recall or false-alarm rate, and a calibration error; where nothing is called cracked there is
    no precision. What is undefined is None.
    """

    photos: int
    cracks: int
    accuracy: Estimate | None
    balanced_accuracy: Estimate | None
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None
    auc: Estimate | None
    false_alarm_rate: Estimate | None
    calibration_error: CalibrationError

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; estimates are tables of their fields or None."""
        return asdict(self)


@dataclass(frozen=True)
class HeatmapMetrics:
    """Quality of the heatmaps on ``photos`` photos with masks.

    ``pxap`` is the pixel average precision, ``f1`` and ``iou`` are those at ``threshold``, the heat
    at which both are best, and ``pointing`` is the pointing game's hit rate. ``tolerant_f1``, at a
    threshold of its own, forgives 2 px; all else is exact.
    """

    photos: int
    pxap: float | None
    f1: float | None
    iou: float | None
    threshold: float | None
    pointing: float | None
    tolerant_f1: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure_classification(
    labels: ArrayLike, probabilities: ArrayLike, threshold: float
) -> ClassificationMetrics:
    """All metrics of probabilities of a crack against labels (1 crack, 0 none), with intervals.

    A photo is called cracked where its probability reaches ``threshold``. The AUC is the
    Mann-Whitney statistic, ties counting half. Intervals are 95 %: of shares of photos Wilson's
    (1927), of the balanced accuracy those of its two rates put together (Newcombe 1998,
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C873::AID-SIM779%3E3.0.CO;2-I,
    method 10), of F1 that of the share that it is a function of, hits among the photos that are or
    are called cracked, and of the AUC Newcombe's (2006, https://doi.org/10.1002/sim.2324,
    method 5); all stay wide where few photos are all told right.

    The calibration error is equation 3 of Guo et al. 2017 (https://arxiv.org/abs/1706.04599) for
    the probability of a crack: 15 bins of equal width over [0, 1], in each the mean probability
    against the share of cracks. What it would be by chance is seen by drawing labels from the
    probabilities (consistency resampling, Bröcker and Smith 2007,
    https://doi.org/10.1175/WAF993.1). Raises ``ValueError`` for no photos or values out of range.
    """
    y, p = _checked(labels, probabilities)
    called = p >= threshold
    accuracy, found, alarms = (_share(part) for part in (called == y, called[y], called[~y]))
    balanced = f1 = None
    if found and alarms:
        balanced = Estimate(
            value := (found.value + 1 - alarms.value) / 2,
            value - math.hypot(found.value - found.low, alarms.high - alarms.value) / 2,
            value + math.hypot(found.high - found.value, alarms.value - alarms.low) / 2,
        )
        if hits := _share((y & called)[y | called]):
            f1 = Estimate(*(2 * share / (1 + share) for share in astuple(hits)))
    return ClassificationMetrics(
        photos=len(y),
        cracks=int(y.sum()),
        accuracy=accuracy,
        balanced_accuracy=balanced,
        # Of one class alone, precision and F1 would say nothing but which class it is.
        precision=_share(y[called]) if balanced else None,
        recall=found,
        f1=f1,
        auc=_auc(y, p),
        false_alarm_rate=alarms,
        calibration_error=_calibration_error(y, p),
    )


def measure_by_source(
    labels: ArrayLike,
    probabilities: ArrayLike,
    sources: Sequence[str],
    threshold: float,
) -> dict[str, ClassificationMetrics]:
    """``measure_classification`` of each source, sorted by name, then of all photos pooled."""
    y, p, names = np.asarray(labels), np.asarray(probabilities), np.asarray(sources)
    parts = {str(name): names == name for name in np.unique(names)}
    parts[OVERALL] = np.ones(len(names), bool)
    return {
        name: measure_classification(y[part], p[part], threshold) for name, part in parts.items()
    }


def measure_auc_gain(labels: ArrayLike, before: ArrayLike, after: ArrayLike) -> Estimate | None:
    """The AUC of the probabilities ``after`` less that of ``before``, with a 95 % interval.

    Both are of the same photos, and the interval is of the same resamples of them (the percentile
    bootstrap, Efron 1979, paired), so what makes a photo hard for both does not widen it. None for
    one class alone, and where no resample differs: of photos that both tell apart without a
    mistake, nothing is learnt. Raises ``ValueError`` as ``measure_classification`` does.
    """
    y, first = _checked(labels, before)
    _, second = _checked(labels, after)
    if y.all() or not y.any():
        return None
    gains = np.concatenate(
        [
            _weighted_aucs(y, second, weights) - _weighted_aucs(y, first, weights)
            for weights in _bootstrap(len(y))
        ]
    )
    low, high = np.nanquantile(gains, (0.025, 0.975))
    if np.ptp(gains[~np.isnan(gains)]) == 0:
        return None
    every = np.ones((1, len(y)))
    [gain] = _weighted_aucs(y, second, every) - _weighted_aucs(y, first, every)
    return Estimate(float(gain), float(low), float(high))


class RocCurve(NamedTuple):
    """Points of the receiver operating characteristic, from (0, 0) to (1, 1), for straight lines
    between them: the area under those is the AUC.
    """

    false_alarm_rate: _Doubles
    recall: _Doubles


class PrecisionRecallCurve(NamedTuple):
    """Points from recall 0 to 1, for steps that hold each ``precision`` back to the recall before:
    the area under those is the average precision.
    """

    recall: _Doubles
    precision: _Doubles


class ReliabilityCurve(NamedTuple):
    """The bins of the calibration error that hold photos: how many, the mean of their
    probabilities, and the share of them that is cracked.
    """

    photos: NDArray[np.intp]
    probability: _Doubles
    cracked: _Doubles


def roc_curve(labels: ArrayLike, probabilities: ArrayLike) -> RocCurve:
    """The false-alarm rate and recall at every threshold.

    Raises ``ValueError`` for photos of one class alone and as ``measure_classification`` does.
    """
    tp, fp = _counts_by_threshold(labels, probabilities)
    return RocCurve(fp / fp[-1], tp / tp[-1])


def precision_recall_curve(labels: ArrayLike, probabilities: ArrayLike) -> PrecisionRecallCurve:
    """The recall and precision at every threshold.

    Where nothing is called cracked there is no precision; the first point takes that of the next.
    Raises ``ValueError`` as ``roc_curve`` does.
    """
    tp, fp = _counts_by_threshold(labels, probabilities)
    precision = tp[1:] / (tp + fp)[1:]
    return PrecisionRecallCurve(tp / tp[-1], np.concatenate([precision[:1], precision]))


def reliability_curve(labels: ArrayLike, probabilities: ArrayLike) -> ReliabilityCurve:
    """Probabilities against how often they come true (Guo et al. 2017, figure 1).

    Raises ``ValueError`` as ``measure_classification`` does.
    """
    y, p = _checked(labels, probabilities)
    bins = _calibration_bins(p)
    photos = np.bincount(bins)
    filled = photos > 0
    sums = (np.bincount(bins, values)[filled] for values in (p, y))
    return ReliabilityCurve(photos[filled], *(part / photos[filled] for part in sums))


def _counts_by_threshold(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Hits and false alarms at thresholds above all probabilities and at each, highest first."""
    y, p = _checked(labels, probabilities)
    if y.all() or not y.any():
        raise ValueError("a curve needs photos of both classes")
    _, group = np.unique(-p, return_inverse=True)
    tp, fp = (np.cumsum(np.bincount(group, part)).astype(np.intp) for part in (y, ~y))
    return np.concatenate([[0], tp]), np.concatenate([[0], fp])


def _bootstrap(photos: int) -> Iterator[_Doubles]:
    """How often each photo counts in each resample: float64 (some of the resamples, photos)."""
    rng = np.random.default_rng(0)
    even = np.full(photos, 1 / photos)
    for rows in _chunks(photos):
        yield rng.multinomial(photos, even, rows).astype(float)


def _chunks(photos: int) -> Iterator[int]:
    """How many resamples of so many photos to make at a time."""
    most = max(1, _CHUNK // photos)
    for start in range(0, _RESAMPLES, most):
        yield min(most, _RESAMPLES - start)


def _share(outcomes: NDArray[np.bool_]) -> Estimate | None:
    """The share of ``outcomes`` that are true, with Wilson's interval; None of no outcomes."""
    if not outcomes.size:
        return None
    found = binomtest(int(outcomes.sum()), outcomes.size)
    interval = found.proportion_ci(method="wilson")
    return Estimate(float(found.statistic), float(interval.low), float(interval.high))


def _auc(y: NDArray[np.bool_], p: _Doubles) -> Estimate | None:
    """See ``measure_classification``; None for one class alone."""
    cracks, sound = int(y.sum()), int((~y).sum())
    pairs = cracks * sound
    if not pairs:
        return None
    value = float(rankdata(p)[y].sum() - cracks * (cracks + 1) / 2) / pairs
    others = (cracks + sound) / 2 - 1

    def excess(auc: float) -> float:
        """By how much ``auc`` is further from the value than its own standard error allows."""
        spread = 1 + others * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        return abs(value - auc) - _Z * math.sqrt(auc * (1 - auc) * spread / pairs)

    return Estimate(
        value,
        brentq(excess, 0, value - _NEXT) if value > _NEXT else 0.0,
        brentq(excess, value + _NEXT, 1) if value < 1 - _NEXT else 1.0,
    )


def _weighted_aucs(y: NDArray[np.bool_], p: _Doubles, weights: _Doubles) -> _Doubles:
    """The AUC with each row of ``weights`` (resamples, photos); NaN where a class has none."""
    order = np.argsort(p, kind="stable")
    tie_starts = np.flatnonzero(np.diff(p[order], prepend=-1.0))
    weights = weights[:, order]
    cracked, sound = (
        np.add.reduceat(weights * part, tie_starts, axis=1) for part in (y[order], ~y[order])
    )
    below = np.cumsum(sound, axis=1) - sound
    pairs = cracked.sum(axis=1) * sound.sum(axis=1)
    with np.errstate(invalid="ignore"):
        aucs: _Doubles = (cracked * (below + sound / 2)).sum(axis=1) / pairs
    return aucs


def _calibration_error(y: NDArray[np.bool_], p: _Doubles) -> CalibrationError:
    """See ``measure_classification``."""
    in_bin = _calibration_bins(p)[:, None] == np.arange(CALIBRATION_BINS)

    def errors(labels: NDArray[np.bool_]) -> _Doubles:
        # |B| |acc(B) - conf(B)| of a bin is |sum of (label - probability)| over its photos.
        gaps: _Doubles = np.abs((labels - p) @ in_bin).sum(axis=-1) / len(p)
        return gaps

    rng = np.random.default_rng(0)
    drawn = [errors(rng.random((rows, len(p))) < p) for rows in _chunks(len(p))]
    low, high = np.quantile(np.concatenate(drawn), (0.025, 0.975))
    return CalibrationError(float(errors(y)), float(low), float(high))


def _calibration_bins(probabilities: _Doubles) -> NDArray[np.intp]:
    """The bin, from 0, of each probability; bins are closed above."""
    bins = np.ceil(probabilities * CALIBRATION_BINS).astype(np.intp) - 1
    return np.maximum(bins, 0)


def balanced_weights(labels: ArrayLike, sources: Sequence[str]) -> _Doubles:
    """float64 (photos,) of sum 1: every source counts alike, and in it every class."""
    y, names = np.asarray(labels).astype(bool), np.asarray(sources)
    weights = np.zeros(len(y))
    for name in np.unique(names):
        classes = [part for part in ((names == name) & y, (names == name) & ~y) if part.any()]
        for part in classes:
            weights[part] = 1 / (part.sum() * len(classes))
    weights /= weights.sum()
    return weights


def fit_temperature(
    logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """The temperature that, dividing the logits, gives the lowest negative log-likelihood.

    Guo et al. 2017, section 4.2 (https://arxiv.org/abs/1706.04599). ``logits`` is (photos, 2),
    ``labels`` index its columns, ``weights`` say how much each photo counts (without them, all
    alike). The result is in [0.05, 20]; it nears an end where there is no optimum, as when every
    photo is judged right.
    """
    z = np.asarray(logits, np.float64)
    y = np.asarray(labels, np.intp)
    if z.shape != (len(y), 2) or not len(y):
        raise ValueError(f"logits must be (photos, 2) for {len(y)} labels, not {z.shape}")
    rows = np.arange(len(y))
    margins = z[rows, y] - z[rows, 1 - y]
    w = np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)

    def loss(log_t: float) -> float:
        return float(w @ np.logaddexp(0.0, -margins / np.exp(log_t)))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURE_BOUNDS), method="bounded")
    return float(np.exp(found.x))


def fit_line(
    scores: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    given: ArrayLike = 0.0,
) -> tuple[float, float]:
    """(slope, offset) for which ``slope * score + offset + given``, log-odds, has the least loss.

    Platt 1999, with targets a little inside 0 and 1 as he has them, so that the fit is finite where
    the classes don't overlap. ``scores``, ``labels`` (0 or 1), ``weights`` and ``given`` are
    (photos,). The slope is at least 0.001.
    """
    x, y = np.asarray(scores, np.float64), np.asarray(labels, np.intp)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)
    counts = np.bincount(y, minlength=2)
    targets = np.where(y == 1, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))

    def loss(line: _Doubles) -> float:
        log_odds = np.exp(line[0]) * x + line[1] + np.asarray(given, np.float64)
        return float(w @ (np.logaddexp(0.0, log_odds) - targets * log_odds))

    found = minimize(
        loss, (0.0, -float(x.mean())), bounds=((np.log(0.001), np.log(1000)), (None, None))
    )
    return float(np.exp(found.x[0])), float(found.x[1])


class HeatmapTally:
    """Counts over photos from which heatmap metrics are read; small however many photos it saw.

    Pixels of all photos are pooled. A pixel is called crack where its heat reaches the threshold,
    for each of the 1,000 thresholds 0, 0.001, ..., 0.999.
    """

    def __init__(self) -> None:
        self.photos = 0
        self._cracked = np.zeros(HEAT_THRESHOLDS, np.int64)
        self._clean = np.zeros(HEAT_THRESHOLDS, np.int64)
        self._near = np.zeros(HEAT_THRESHOLDS, np.int64)
        self._reached = np.zeros(HEAT_THRESHOLDS, np.int64)
        self._pointed = 0
        self._hits = 0.0

    def add(self, heat: FloatArray, mask: NDArray[np.bool_]) -> None:
        """Count one photo: ``heat`` in [0, 1] and ``mask`` (True = crack), both (height, width)."""
        if heat.shape != mask.shape or heat.ndim != 2:
            raise ValueError(f"heat {heat.shape} and mask {mask.shape} must be of one size")
        if not (heat.min() >= 0.0 and heat.max() <= 1.0):
            raise ValueError(f"heat must be in [0, 1], not {heat.min()} to {heat.max()}")
        level = np.minimum((heat * HEAT_THRESHOLDS).astype(np.intp), HEAT_THRESHOLDS - 1)
        self._cracked += np.bincount(level[mask], minlength=HEAT_THRESHOLDS)
        self._clean += np.bincount(level[~mask], minlength=HEAT_THRESHOLDS)
        self.photos += 1
        if mask.any():
            distance = distance_transform_edt(~mask)
            pointed = distance <= POINTING_MARGIN_PX
            self._hits += float(pointed[heat == heat.max()].mean())
            self._pointed += 1
            near = level[distance <= TOLERANCE_PX]
            self._near += np.bincount(near, minlength=HEAT_THRESHOLDS)
            hottest_around = maximum_filter(level, footprint=_TOLERANCE_DISC)
            self._reached += np.bincount(hottest_around[mask], minlength=HEAT_THRESHOLDS)

    def __add__(self, other: HeatmapTally) -> HeatmapTally:
        """The tally of the photos of both."""
        total = HeatmapTally()
        for name in vars(total):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    def metrics(self) -> HeatmapMetrics:
        """The metrics of the photos so far.

        PxAP is the sum over thresholds, from the highest, of precision times gain in recall (Choe
        et al. 2020, https://arxiv.org/abs/2001.07437, equation 3). The pointing game counts a hit
        where the hottest pixel lies within 15 px of the mask (Zhang et al. 2016,
        https://arxiv.org/abs/1608.00507); of several equally hot pixels, the share that does. The
        tolerant F1 is of the share of called pixels that lie within 2 px of the mask and the share
        of the mask's that lie within 2 px of a called one, as crack papers have it (Zou et al.
        2012, https://doi.org/10.1016/j.patrec.2011.11.004).
        """
        tp = np.cumsum(self._cracked[::-1])
        called = tp + np.cumsum(self._clean[::-1])
        cracked = int(self._cracked.sum())
        if not cracked:
            return HeatmapMetrics(self.photos, None, None, None, None, None, None)
        precision = tp / np.maximum(called, 1)
        pxap = float(precision @ np.diff(tp, prepend=0)) / cracked
        iou = tp / (called + cracked - tp)
        best = int(np.argmax(iou))
        near_precision = np.cumsum(self._near[::-1]) / np.maximum(called, 1)
        near_recall = np.cumsum(self._reached[::-1]) / cracked
        both = np.maximum(near_precision + near_recall, np.finfo(float).tiny)
        return HeatmapMetrics(
            photos=self.photos,
            pxap=pxap,
            f1=float(2 * tp[best] / (called[best] + cracked)),
            iou=float(iou[best]),
            threshold=(HEAT_THRESHOLDS - 1 - best) / HEAT_THRESHOLDS,
            pointing=self._hits / self._pointed,
            tolerant_f1=float((2 * near_precision * near_recall / both).max()),
        )


def _checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.bool_], _Doubles]:
    y, p = np.asarray(labels), np.asarray(probabilities, np.float64)
    if y.shape != p.shape or y.ndim != 1 or not y.size:
        raise ValueError(f"one label a probability, and at least one: got {y.shape} and {p.shape}")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must be in [0, 1]")
    return y.astype(bool), p
