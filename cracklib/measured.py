"""What was measured of the bundled model: the files that the Model page is drawn from.

``weights/measure`` writes them. Each names the sha256 of the weights that it was measured with, and
is read for that model alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cracklib.check_set import CheckPicture, check_pictures
from cracklib.config import LABELS, WEIGHTS_DIR
from cracklib.errors import MeasuredError
from cracklib.metrics import HeatmapMetrics

MEASURED_DIR = WEIGHTS_DIR / "measured"
VERDICTS_FILE, HEATMAPS_FILE, RENDERED_FILE = "verdicts.json", "heatmaps.json", "rendered.json"

_Contents = TypeVar("_Contents")


@dataclass(frozen=True, eq=False)
class Scores:
    """Photos of one source: ``labels`` bool (n,), True for cracked, and the ``probabilities`` of a
    crack that the model gave them, float (n,).
    """

    labels: NDArray[np.bool_]
    probabilities: NDArray[np.float64]

    def counts(self, threshold: float) -> dict[tuple[bool, bool], int]:
        """The confusion matrix: photos by (is cracked, is called so from ``threshold`` on)."""
        called = self.probabilities >= threshold
        return {
            (cracked, call): int(((self.labels == cracked) & (called == call)).sum())
            for cracked in (True, False)
            for call in (True, False)
        }


@dataclass(frozen=True, eq=False)
class MeasuredVerdicts:
    """Of ``python -m cracklib evaluate`` on labelled photos, by source: ``metrics`` as in a card's
    ``quality``, with the row that pools all, and the ``scores`` they were computed from.
    """

    threshold: float
    metrics: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, Scores]


@dataclass(frozen=True)
class MeasuredHeatmap:
    """How well one map follows the cracks of one source. ``part`` is the half of the photos."""

    source: str
    part: str
    heat_map: str
    metrics: HeatmapMetrics


@dataclass(frozen=True)
class MeasuredHeatmaps:
    """Of ``benchmarks.refined_heat``. ``painted`` is the mean share of uncracked photos on which
    heat is drawn, in [0, 1], by source and map.
    """

    heatmaps: Sequence[MeasuredHeatmap]
    painted: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class RenderedPhoto:
    """A rendered picture and the probability of a crack that the model gave it."""

    picture: CheckPicture
    probability: float


@dataclass(frozen=True)
class MeasuredRendered:
    """Of ``benchmarks.rendered_walls``."""

    threshold: float
    photos: Sequence[RenderedPhoto]

    def worst(self, *, cracked: bool) -> list[RenderedPhoto]:
        """Those that are misjudged, most wrong first: cracks missed, or false alarms."""
        wrong = [
            photo
            for photo in self.photos
            if photo.picture.cracked == cracked and (photo.probability >= self.threshold) != cracked
        ]
        return sorted(wrong, key=lambda photo: photo.probability, reverse=not cracked)

    def by_wall(self) -> dict[str, Scores]:
        """The pictures of each kind of wall."""
        walls = dict.fromkeys(photo.picture.wall for photo in self.photos)
        return {
            wall: Scores(
                np.array([p.picture.cracked for p in self.photos if p.picture.wall == wall]),
                np.array([p.probability for p in self.photos if p.picture.wall == wall]),
            )
            for wall in walls
        }


def read_verdicts(sha256: str) -> MeasuredVerdicts:
    """The verdicts measured with the weights of that hash.

    Raises ``MeasuredError`` where there are none, here as below.
    """
    return _read(VERDICTS_FILE, sha256, _to_verdicts)


def read_heatmaps(sha256: str) -> MeasuredHeatmaps:
    """The heatmaps measured with the weights of that hash."""
    return _read(HEATMAPS_FILE, sha256, _to_heatmaps)


def read_rendered(sha256: str) -> MeasuredRendered:
    """The rendered walls measured with the weights of that hash."""
    return _read(RENDERED_FILE, sha256, _to_rendered)


def heatmaps_to_dict(measured: MeasuredHeatmaps) -> dict[str, Any]:
    """As ``read_heatmaps`` has it, but for the hash."""
    return asdict(measured)


def rendered_to_dict(measured: MeasuredRendered) -> dict[str, Any]:
    """As ``read_rendered`` has it, but for the hash."""
    return {
        "verdict_threshold": measured.threshold,
        "photos": [
            {
                "number": photo.picture.number,
                "cracked": photo.picture.cracked,
                "probability": photo.probability,
            }
            for photo in measured.photos
        ],
    }


def write_measured(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``values``, which name the ``sha256`` of the weights. Raises ``MeasuredError``."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MeasuredError(
            f"Can't write {path} ({error.strerror}). Name a file in a folder that can be written "
            "to."
        ) from error


def _read(
    name: str, sha256: str, to_contents: Callable[[Mapping[str, Any]], _Contents]
) -> _Contents:
    path = MEASURED_DIR / name
    where = f"{path.parent.name}/{name}"
    cure = "Run 'weights/measure DATA', with DATA the labelled photos, to measure it."
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        measured_with = str(values["sha256"])
        contents = to_contents(values)
    except FileNotFoundError as error:
        raise MeasuredError(
            f"This has not been measured: {where} is not beside the weights. {cure}"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MeasuredError(
            f"What was measured can't be read: {where} is damaged, or of another version "
            f"({type(error).__name__}: {error}). {cure}"
        ) from error
    if measured_with != sha256:
        raise MeasuredError(
            f"What {where} holds was measured with another model, {measured_with[:8]}…, and says "
            f"nothing about this one, {sha256[:8]}…. {cure}"
        )
    return contents


def _to_verdicts(values: Mapping[str, Any]) -> MeasuredVerdicts:
    scores = {}
    for source, by_label in values["probabilities"].items():
        parts = [np.array(by_label[label], np.float64) for label in LABELS]
        labels = np.repeat([False, True], [len(part) for part in parts])
        scores[source] = Scores(labels, np.concatenate(parts))
    return MeasuredVerdicts(float(values["verdict_threshold"]), dict(values["verdicts"]), scores)


def _to_heatmaps(values: Mapping[str, Any]) -> MeasuredHeatmaps:
    heatmaps = [
        MeasuredHeatmap(**(entry | {"metrics": HeatmapMetrics(**entry["metrics"])}))
        for entry in values["heatmaps"]
    ]
    return MeasuredHeatmaps(heatmaps, dict(values["painted"]))


def _to_rendered(values: Mapping[str, Any]) -> MeasuredRendered:
    photos = []
    for entry in values["photos"]:
        sound_and_cracked = check_pictures(range(entry["number"], entry["number"] + 1))
        photos.append(
            RenderedPhoto(sound_and_cracked[bool(entry["cracked"])], float(entry["probability"]))
        )
    return MeasuredRendered(float(values["verdict_threshold"]), photos)
