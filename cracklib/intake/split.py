"""Labelled photos as a whole: which look the same, and which to validate on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cracklib import config
from cracklib.errors import DatasetError
from cracklib.types import Pixels, Verdict

Origin = Literal["zip", "upload", "link", "practice", "feedback"]


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo of a ``PhotoSet``, known by the SHA-256 ``digest`` of its file.

    ``name`` is to be shown, ``phash`` is its ``perceptual_hash``; photos of one ``scene``, where
    that is not empty, show the same wall.
    """

    digest: str
    suffix: str
    name: str
    label: Verdict
    origin: Origin
    phash: int
    n_bytes: int
    scene: str = ""


@dataclass(frozen=True)
class Split:
    """Photos to train on and photos to validate on."""

    train: list[LabelledPhoto]
    val: list[LabelledPhoto]


def perceptual_hash(pixels: Pixels) -> int:
    """64 bits that stay almost the same when a photo is scaled, saved again or made brighter.

    A bit says whether one of the 8 × 8 lowest frequencies (DCT) of the photo, grey and 32 px wide
    and high, is above their median (Zauner 2010, "Implementation and Benchmarking of Perceptual
    Image Hash Functions", section 3.2).
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    lowest = cv2.dct(small.astype(np.float32))[:8, :8]
    return int.from_bytes(np.packbits(lowest > np.median(lowest)).tobytes())


def find_near_duplicates(photos: Sequence[LabelledPhoto]) -> list[list[LabelledPhoto]]:
    """Groups of two or more photos that look the same, with whatever labels.

    Their perceptual hashes differ in at most ``config.NEAR_DUPLICATE_BITS``, from one to the next.
    Photos of a scene are left out: one wall with and without a crack is meant to look the same.
    """
    photos = [photo for photo in photos if not photo.scene]
    return [group for group in _group(photos, _alike(photos)) if len(group) > 1]


def split_photos(photos: Sequence[LabelledPhoto], seed: int = 0) -> Split:
    """Set ``config.VALIDATION_SHARE`` of each class aside for validation, chosen at random.

    Near-duplicates and photos of one scene stay together, so the share is kept as far as they
    allow. Which photos are chosen follows from ``seed`` and the photos, not from their order.

    Raises ``DatasetError`` where a class has fewer than ``config.MIN_PHOTOS_PER_CLASS`` photos, or
    so many alike that fewer than ``config.MIN_VALIDATION_PER_CLASS``, or over half, would be set
    aside.
    """
    counts = Counter(photo.label for photo in photos)
    _check_enough(counts)
    wanted = {
        label: max(config.MIN_VALIDATION_PER_CLASS, round(config.VALIDATION_SHARE * count))
        for label, count in counts.items()
    }
    photos = sorted(photos, key=lambda photo: photo.digest)
    groups = _group(photos, _alike(photos) + _of_one_scene(photos))
    order = np.random.default_rng(seed).permutation(len(groups))
    rest: list[list[LabelledPhoto]] = []
    val: list[LabelledPhoto] = []
    n_val: Counter[Verdict] = Counter()
    for group in (groups[i] for i in order):
        n_with = n_val + Counter(photo.label for photo in group)
        if all(n_with[label] <= wanted[label] for label in wanted):
            val += group
            n_val = n_with
        else:
            rest.append(group)
    # A class may have no group that is small enough for its share.
    for group in sorted(rest, key=len):
        labels = {photo.label for photo in group}
        if any(n_val[label] < config.MIN_VALIDATION_PER_CLASS for label in labels):
            val += group
            n_val += Counter(photo.label for photo in group)
            rest.remove(group)
    _check_validation(counts, n_val)
    return Split([photo for group in rest for photo in group], val)


def _alike(photos: Sequence[LabelledPhoto]) -> list[tuple[int, int]]:
    """Pairs of indices that join all photos alike: each hash to those after it, equal ones in a
    chain.
    """
    hashes, first, which = np.unique(
        np.array([photo.phash for photo in photos], np.uint64),
        return_index=True,
        return_inverse=True,
    )
    pairs = [(int(first[which[i]]), i) for i in range(len(photos))]
    for i in range(len(hashes) - 1):
        distances = np.bitwise_count(hashes[i] ^ hashes[i + 1 :])
        near = np.flatnonzero(distances <= config.NEAR_DUPLICATE_BITS) + i + 1
        pairs += [(int(first[i]), int(first[j])) for j in near]
    return pairs


def _of_one_scene(photos: Sequence[LabelledPhoto]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    return [(first.setdefault(p.scene, i), i) for i, p in enumerate(photos) if p.scene]


def _group(
    photos: Sequence[LabelledPhoto], pairs: Sequence[tuple[int, int]]
) -> list[list[LabelledPhoto]]:
    """The connected components of photos joined in pairs, singles too."""
    rows, columns = np.array(pairs, np.intp).reshape(-1, 2).T
    size = len(photos), len(photos)
    _, group_of = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), size))
    groups = defaultdict(list)
    for photo, group in zip(photos, group_of, strict=True):
        groups[group].append(photo)
    return list(groups.values())


def _check_enough(counts: Mapping[Verdict, int]) -> None:
    n_crack, n_no_crack = counts.get("crack", 0), counts.get("no_crack", 0)
    least = config.MIN_PHOTOS_PER_CLASS
    if min(n_crack, n_no_crack) >= least:
        return
    if min(n_crack, n_no_crack) == 0:
        missing = "cracked" if n_crack == 0 else "uncracked"
        reason = f"There are no {missing} photos, and a model learns only by comparing"
    else:
        reason = f"There are {n_crack} cracked photos and {n_no_crack} uncracked ones"
    raise DatasetError(
        f"{reason}: at least {least} of each are needed, and 50 or more are better. Add photos, or "
        "correct labels; the practice set shows how training works without any."
    )


def _check_validation(counts: Mapping[Verdict, int], n_val: Mapping[Verdict, int]) -> None:
    for label, count in counts.items():
        if not config.MIN_VALIDATION_PER_CLASS <= n_val[label] <= count / 2:
            kind = "cracked" if label == "crack" else "uncracked"
            raise DatasetError(
                f"Most of the {count} {kind} photos look the same. Photos that look the same stay "
                "together, so some can't be set aside to check the model on. Add photos of other "
                "walls or places."
            )
