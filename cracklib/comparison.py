"""A new model against the current one, photo by photo: on held-out photos and on the check set."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, MutableMapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from cracklib.check_set import CHECK_SET
from cracklib.dataset import find_labelled
from cracklib.errors import DatasetError, PhotoError
from cracklib.metrics import (
    ClassificationMetrics,
    Estimate,
    measure_auc_gain,
    measure_classification,
)
from cracklib.photo import read_photo
from cracklib.pipeline import Inspector
from cracklib.types import Photo, Progress
from cracklib.weights import ModelCard

Side = Literal["current", "new"]
SIDES: tuple[Side, Side] = ("current", "new")

Change = Literal["better", "perhaps better", "as good", "perhaps worse", "worse"]

Scores = MutableMapping[str, tuple[float, float]]

SIGNIFICANT_P = 0.05
FILE_NAME = "comparison.json"


@dataclass(frozen=True)
class ComparedModel:
    """One of the two models, from its card."""

    name: str
    sha256: str
    threshold: float

    @classmethod
    def of(cls, card: ModelCard) -> ComparedModel:
        """The model that ``card`` describes."""
        return cls(card.name, card.sha256, card.verdict_threshold)


@dataclass(frozen=True)
class ComparedPhoto:
    """A photo's label and the probability of a crack that each model gave it.

    ``name`` is that of a check picture, or the path of a held-out photo under ``val/``.
    """

    name: str
    label: int
    current: float
    new: float

    def probability(self, side: Side) -> float:
        """What the model on ``side`` gave."""
        return self.current if side == "current" else self.new


@dataclass(frozen=True)
class PairedScores:
    """Both models on the same ``photos``, which are of both classes."""

    photos: tuple[ComparedPhoto, ...]
    current_threshold: float
    new_threshold: float

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each photo is cracked."""
        return np.array([photo.label for photo in self.photos], bool)

    def probabilities(self, side: Side) -> NDArray[np.float64]:
        """What the model on ``side`` gave each photo."""
        return np.array([photo.probability(side) for photo in self.photos])

    def called(self, side: Side) -> NDArray[np.bool_]:
        """Whether the model on ``side``, at its own threshold, calls each photo cracked."""
        threshold = self.current_threshold if side == "current" else self.new_threshold
        return self.probabilities(side) >= threshold

    @cached_property
    def metrics(self) -> dict[Side, ClassificationMetrics]:
        """The quality of each model at its own threshold."""
        thresholds = (self.current_threshold, self.new_threshold)
        return {
            side: measure_classification(self.labels, self.probabilities(side), threshold)
            for side, threshold in zip(SIDES, thresholds, strict=True)
        }

    @cached_property
    def auc_gain(self) -> Estimate | None:
        """AUC of the new model less that of the current one, with its paired interval."""
        return measure_auc_gain(
            self.labels, self.probabilities("current"), self.probabilities("new")
        )

    def cell(self, side: Side, cracked: bool, called: bool) -> list[ComparedPhoto]:
        """The photos of one cell of the confusion matrix, most wrong first."""
        inside = (self.labels == cracked) & (self.called(side) == called)
        photos = [photo for photo, is_inside in zip(self.photos, inside, strict=True) if is_inside]
        return sorted(photos, key=lambda photo: -abs(photo.label - photo.probability(side)))

    @cached_property
    def gained(self) -> int:
        """Photos that the new model has right and the current one wrong."""
        return int((self._right("new") & ~self._right("current")).sum())

    @cached_property
    def lost(self) -> int:
        """Photos that the current model has right and the new one wrong."""
        return int((self._right("current") & ~self._right("new")).sum())

    @cached_property
    def p_value(self) -> float:
        """Chance of verdicts that differ so unevenly if both models were equally good.

        McNemar's test (1947), exact and two-sided: of the photos that one model alone has right,
        each would be either's with probability 1/2.
        """
        differing = self.gained + self.lost
        return float(binomtest(self.gained, differing).pvalue) if differing else 1.0

    @property
    def change(self) -> Change:
        """What became of the verdicts; "perhaps" where it could well be chance."""
        if self.gained == self.lost:
            return "as good"
        if self.p_value < SIGNIFICANT_P:
            return "better" if self.gained > self.lost else "worse"
        return "perhaps better" if self.gained > self.lost else "perhaps worse"

    def explain(self) -> str:
        """What the verdicts' test found, in one sentence."""
        if not self.gained + self.lost:
            return "Each photo that was right is still right, and each that was wrong still wrong."
        chance = (
            "chance alone would seldom do this"
            if self.p_value < SIGNIFICANT_P
            else "this could well be chance"
        )
        gains = (
            "1 photo is now right that was wrong"
            if self.gained == 1
            else f"{self.gained or 'No'} photos are now right that were wrong"
        )
        return f"{gains}, {self.lost or 'none'} the other way: {chance} ({_p_text(self.p_value)})."

    def _right(self, side: Side) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = self.called(side) == self.labels
        return right


@dataclass(frozen=True)
class Comparison:
    """What both models gave each held-out photo and each picture of the check set.

    ``unreadable`` has the message of every photo that was left out.
    """

    current: ComparedModel
    new: ComparedModel
    held_out: tuple[ComparedPhoto, ...]
    check: tuple[ComparedPhoto, ...]
    unreadable: tuple[str, ...] = ()

    @cached_property
    def on_held_out(self) -> PairedScores:
        """The models on the photos of the person who trained the new one."""
        return PairedScores(self.held_out, self.current.threshold, self.new.threshold)

    @cached_property
    def on_check_set(self) -> PairedScores:
        """The models on the check set."""
        return PairedScores(self.check, self.current.threshold, self.new.threshold)

    @property
    def recommends_new(self) -> bool:
        """Whether to go on with the new model: not where it is worse on the held-out photos, even
        perhaps, or on the check set without being better on those.
        """
        yours, ours = self.on_held_out.change, self.on_check_set.change
        return yours == "better" or ("worse" not in yours and ours != "worse")

    def explain(self) -> str:
        """Both changes in a few words: "Better on your walls, worse on ours."."""
        yours, ours = self.on_held_out.change, self.on_check_set.change
        if yours == ours == "as good":
            return "As good as before, on your walls and on ours."
        if yours == ours:
            return f"{yours.capitalize()} on your walls and on ours."
        yours_text, ours_text = (
            "as good as before" if change == "as good" else change for change in (yours, ours)
        )
        return f"{yours_text.capitalize()} on your walls, {ours_text} on ours."


def compare(
    data: Path,
    current: Inspector,
    new: Inspector,
    progress: Progress | None = None,
    scores: Scores | None = None,
) -> Comparison:
    """Look with both models at the photos of ``data``/val and at the check set.

    Photos that can't be read are left out and listed. ``scores`` takes what is found as it is
    found, by name; given again, it lets a comparison that was cut short go on. Raises
    ``DatasetError`` where there are no held-out photos, or none of a class can be read.
    """
    scores = {} if scores is None else scores
    files = find_labelled(data / "val")
    total = len(files) + len(CHECK_SET)
    held_out, check, unreadable = [], [], []

    def look(name: str, label: int, read: Callable[[], Photo]) -> ComparedPhoto:
        if name not in scores:
            photo = read()
            scores[name] = (current.inspect(photo).probability, new.inspect(photo).probability)
        return ComparedPhoto(name, label, *scores[name])

    for done, file in enumerate(files, start=1):
        name = file.path.relative_to(data / "val").as_posix()
        try:
            held_out.append(look(name, file.label, partial(read_photo, file.path)))
        except PhotoError as error:
            unreadable.append(str(error))
        if progress:
            progress(done, total)
    if len({photo.label for photo in held_out}) < 2:
        raise DatasetError(
            f"The models can't be compared: of the {len(files)} held-out photos, "
            f"{len(unreadable)} can't be read, and none is left of one class. The first: "
            f"{unreadable[0]}"
        )
    for done, picture in enumerate(CHECK_SET, start=len(files) + 1):
        check.append(look(picture.name, int(picture.cracked), picture.render))
        if progress:
            progress(done, total)
    return Comparison(
        ComparedModel.of(current.card),
        ComparedModel.of(new.card),
        tuple(held_out),
        tuple(check),
        tuple(unreadable),
    )


def save_comparison(comparison: Comparison, folder: Path) -> None:
    """Write ``FILE_NAME`` in ``folder``, whole or not at all. Raises ``OSError``."""
    text = json.dumps(asdict(comparison), ensure_ascii=False)
    # A name of its own each time: two pages of one session may get here at once.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as unfinished:
        path = Path(unfinished) / FILE_NAME
        path.write_text(text, encoding="utf-8")
        path.replace(folder / FILE_NAME)


def load_comparison(folder: Path) -> Comparison | None:
    """What ``save_comparison`` wrote in ``folder``; None where there is nothing of use, for one on
    another release's check set can't be shown.
    """
    try:
        found = _from_dict(json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    of_this = [photo.name for photo in found.check] == [picture.name for picture in CHECK_SET]
    return found if of_this else None


def _from_dict(values: dict[str, Any]) -> Comparison:
    return Comparison(
        current=ComparedModel(**values["current"]),
        new=ComparedModel(**values["new"]),
        held_out=tuple(ComparedPhoto(**photo) for photo in values["held_out"]),
        check=tuple(ComparedPhoto(**photo) for photo in values["check"]),
        unreadable=tuple(values["unreadable"]),
    )


def _p_text(p_value: float) -> str:
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.{3 if p_value < 0.1 else 2}f}"
