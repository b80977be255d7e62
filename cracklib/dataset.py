"""Folders of labelled photos.

A labelled folder holds one folder a class, ``crack/`` and ``no_crack/``; a split folder holds two
labelled folders, ``train/`` and ``val/``; a masked folder holds ``photos/`` and ``masks/``, where a
mask has its photo's stem.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cracklib.config import LABELS
from cracklib.errors import DatasetError
from cracklib.photo import PHOTO_SUFFIXES


@dataclass(frozen=True)
class LabelledFile:
    """A photo's path, its label (an index into ``config.LABELS``) and the source it comes from."""

    path: Path
    label: int
    source: str


@dataclass(frozen=True)
class MaskedFile:
    """The path of a photo, that of its mask (white = crack), and the source both come from."""

    photo: Path
    mask: Path
    source: str


def source_of(path: Path) -> str:
    """The file name up to its first ``-`` or ``_`` (``brickwork-0012.jpg`` is of ``brickwork``).

    Names without either, or that begin with no letter or with a random number in hexadecimal (a
    UUID), are all of the source ``photos``.
    """
    match = re.match(r"(?![\da-f]{8,}[-_])([^\W\d_][^-_]*)[-_]", path.stem, re.IGNORECASE)
    return match[1] if match else "photos"


def find_labelled(folder: Path) -> list[LabelledFile]:
    """The photos of a labelled folder, class by class, sorted by name.

    Raises ``DatasetError`` where the folder or one of its classes is missing or has no photo.
    """
    _require_folders(folder, LABELS)
    return [
        LabelledFile(path, label, source_of(path))
        for label, name in enumerate(LABELS)
        for path in _find_photos(folder / name)
    ]


def find_split(folder: Path) -> tuple[list[LabelledFile], list[LabelledFile]]:
    """The photos to train on and those to validate on. Raises ``DatasetError``."""
    _require_folders(folder, ("train", "val"))
    return find_labelled(folder / "train"), find_labelled(folder / "val")


def find_masked(folder: Path) -> list[MaskedFile]:
    """The photos of a masked folder with their masks, sorted by name.

    Raises ``DatasetError`` where a folder is missing or has no photo, or where a photo and a mask
    don't come in pairs.
    """
    _require_folders(folder, ("photos", "masks"))
    photos = _find_photos(folder / "photos")
    masks = {path.stem: path for path in _find_photos(folder / "masks")}
    alone = sorted({path.stem for path in photos} ^ set(masks))
    if alone:
        raise DatasetError(
            f"{folder}: every photo needs a mask of the same name, and every mask a photo, but "
            f"{len(alone)} have none: {_some(alone)}. Add or remove the other half of each."
        )
    return [MaskedFile(path, masks[path.stem], source_of(path)) for path in photos]


def _require_folders(folder: Path, names: tuple[str, ...]) -> None:
    expected = " and ".join(f"{name}/" for name in names)
    if not folder.is_dir():
        raise DatasetError(f"No folder at {folder}. Give a folder that holds {expected}.")
    missing = [f"{name}/" for name in names if not (folder / name).is_dir()]
    if missing:
        found = sorted(f"{path.name}/" for path in folder.iterdir() if path.is_dir())
        raise DatasetError(
            f"{folder} has no {' and no '.join(missing)}: expected {expected} in it, "
            f"found {_some(found) if found else 'no folders'}. Sort the photos into those folders, "
            "or give the folder that holds them."
        )


def _find_photos(folder: Path) -> list[Path]:
    photos = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PHOTO_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )
    if not photos:
        raise DatasetError(
            f"No photos in {folder}. Put some there; a photo's name ends in one of "
            f"{', '.join(sorted(PHOTO_SUFFIXES))}."
        )
    return photos


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
