"""The model measured on a folder of photos, as ``python -m cracklib evaluate`` does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cracklib.config import LABELS
from cracklib.dataset import LabelledFile, MaskedFile, find_labelled, find_masked
from cracklib.errors import DatasetError, PhotoError
from cracklib.metrics import (
    OVERALL,
    ClassificationMetrics,
    HeatmapMetrics,
    HeatmapTally,
    measure_by_source,
)
from cracklib.photo import read_photo
from cracklib.report import render_classification, render_heatmaps
from cracklib.types import Progress

if TYPE_CHECKING:
    from cracklib.pipeline import Inspector

_File = TypeVar("_File", LabelledFile, MaskedFile)


@dataclass(frozen=True)
class Evaluation:
    """What a model scored on a folder, by source: ``verdicts``, or the other two.

    ``heatmaps`` is of the plain class activation maps, ``refined`` of the maps that follow the
    crack. ``probabilities`` has those of the photos behind ``verdicts``, by source and label.
    ``unreadable`` has the message of every photo that was left out.
    """

    model: str
    sha256: str
    verdict_threshold: float
    verdicts: Mapping[str, ClassificationMetrics] = field(default_factory=dict)
    heatmaps: Mapping[str, HeatmapMetrics] = field(default_factory=dict)
    refined: Mapping[str, HeatmapMetrics] = field(default_factory=dict)
    probabilities: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    unreadable: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        left_out = ("heatmaps", "refined") if self.verdicts else ("verdicts", "probabilities")
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    def __str__(self) -> str:
        if self.verdicts:
            parts = [
                f"Verdicts of {self.model}, cracked from probability {self.verdict_threshold:.3f}",
                render_classification(self.verdicts),
            ]
        else:
            parts = [
                f"Heatmaps of {self.model} against masks",
                f"Class activation maps\n{render_heatmaps(self.heatmaps)}",
                f"Refined to the crack\n{render_heatmaps(self.refined)}",
            ]
        if self.unreadable:
            parts.append("\n".join([f"Left out ({len(self.unreadable)}):", *self.unreadable]))
        return "\n\n".join(parts)


def evaluate_folder(
    folder: Path, inspector: Inspector, progress: Progress | None = None
) -> Evaluation:
    """Measure verdicts where ``folder`` holds crack/ and no_crack/, else heatmaps against masks.

    Photos that can't be read are left out and listed. Raises ``DatasetError`` where the folder has
    neither layout or no photo can be read.
    """
    has = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if has.intersection(LABELS):
        return _evaluate_verdicts(find_labelled(folder), inspector, progress)
    if has.intersection(("photos", "masks")):
        return _evaluate_heatmaps(find_masked(folder), inspector, progress)
    raise DatasetError(
        f"Nothing to evaluate in {folder}: expected a folder that holds crack/ and no_crack/ "
        "(labelled photos), or photos/ and masks/ (photos with the mask of their crack). "
        "Of a folder to train from, give its val/."
    )


def _evaluate_verdicts(
    files: Sequence[LabelledFile], inspector: Inspector, progress: Progress | None
) -> Evaluation:
    seen: list[tuple[int, float, str]] = []

    def look(file: LabelledFile) -> None:
        seen.append((file.label, inspector.inspect(file.path).probability, file.source))

    unreadable = _look_at_each(files, look, progress)
    labels, probabilities, sources = zip(*seen, strict=True)
    card = inspector.card
    by_source: dict[str, dict[str, list[float]]] = {}
    for label, probability, source in sorted(seen, key=lambda photo: photo[2]):
        by_source.setdefault(source, {name: [] for name in LABELS})[LABELS[label]].append(
            probability
        )
    return Evaluation(
        card.name,
        card.sha256,
        card.verdict_threshold,
        verdicts=measure_by_source(labels, probabilities, sources, card.verdict_threshold),
        probabilities=by_source,
        unreadable=unreadable,
    )


def _evaluate_heatmaps(
    files: Sequence[MaskedFile], inspector: Inspector, progress: Progress | None
) -> Evaluation:
    plain: defaultdict[str, HeatmapTally] = defaultdict(HeatmapTally)
    refined: defaultdict[str, HeatmapTally] = defaultdict(HeatmapTally)

    def look(file: MaskedFile) -> None:
        mask = read_photo(file.mask)
        inspection = inspector.inspect(file.photo)
        if mask.size != inspection.photo.size:
            raise PhotoError(
                f"{file.photo.name} is {inspection.photo.size} pixels (height, width), its mask "
                f"{mask.size}. Give a mask of the photo's size."
            )
        cracked = mask.pixels.min(axis=2) >= 128
        if cracked.all() or (mask.pixels.any() and not cracked.any()):
            what = "is white all over" if cracked.all() else "has no white in it and is not black"
            raise PhotoError(
                f"The mask of {file.photo.name} {what}. Give one that is 255 (white) where the "
                "crack is and 0 (black, not transparent) everywhere else."
            )
        plain[file.source].add(inspection.heatmap, cracked)
        refined[file.source].add(inspection.refined, cracked)

    unreadable = _look_at_each(files, look, progress)
    card = inspector.card
    return Evaluation(
        card.name,
        card.sha256,
        card.verdict_threshold,
        heatmaps=_by_source(plain),
        refined=_by_source(refined),
        unreadable=unreadable,
    )


def _by_source(tallies: Mapping[str, HeatmapTally]) -> dict[str, HeatmapMetrics]:
    found = {source: tallies[source].metrics() for source in sorted(tallies)}
    found[OVERALL] = sum(tallies.values(), HeatmapTally()).metrics()
    return found


def _look_at_each(
    files: Sequence[_File], look: Callable[[_File], None], progress: Progress | None
) -> list[str]:
    """Messages of the photos that ``look`` could not read."""
    unreadable = []
    for done, file in enumerate(files, start=1):
        try:
            look(file)
        except PhotoError as error:
            unreadable.append(str(error))
        if progress:
            progress(done, len(files))
    if len(unreadable) == len(files):
        raise DatasetError(
            f"None of the {len(files)} photos could be evaluated; the first: {unreadable[0]}"
        )
    return unreadable
