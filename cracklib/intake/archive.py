"""Zips of labelled photos, checked before anything in them is unpacked."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections import defaultdict
from pathlib import PurePosixPath
from typing import BinaryIO

from cracklib import config
from cracklib.errors import DatasetError, PhotoError
from cracklib.intake.names import printable, recognise_label, shown_name
from cracklib.types import Verdict

_ARCHIVE_SUFFIXES = {".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".jar"}
_LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_MAX_TABLE_BYTES = 512 * config.MAX_ZIP_ENTRIES
_CHUNK_BYTES = 2**20
_MAX_MARK_LETTERS = 2
"""Of names like 1, y and ok, which may mean something else."""


def zip_folders(file: BinaryIO) -> dict[str, Verdict | None]:
    """The folders of a zip that hold files, and the label each seems to stand for.

    A file belongs to the nearest folder above it whose name is recognised, wherever that is in the
    zip, else to the folder it is in, given by its path (``.`` is the top). So is one that lies in a
    folder of the other label. Numbers and the like may count walls: they are recognised where no
    word is. Hidden files and those that macOS and Windows leave behind are passed over.

    Raises ``DatasetError``, before anything is unpacked, where the file is no zip; is empty; has
    more entries, unpacked bytes or bytes per packed byte than ``config`` allows; or holds paths
    that lead out of it, links, encrypted files or archives.
    """
    archive, folders = open_zip(file)
    archive.close()
    guesses = {folder: _recognised(PurePosixPath(folder)) for folder in folders}
    return {
        folder: recognise_label(parts[-1]) if parts else None for folder, parts in guesses.items()
    }


def open_zip(file: BinaryIO) -> tuple[zipfile.ZipFile, dict[str, list[zipfile.ZipInfo]]]:
    """The archive, checked, and the files in it by their folder."""
    archive_bytes = file.seek(0, os.SEEK_END)
    try:
        archive = zipfile.ZipFile(_ShortReads(file))
    except DatasetError:
        raise
    except Exception as error:
        # On garbage, zipfile raises almost any type there is.
        raise DatasetError(
            "This is no zip file, or it is damaged or cut short. Zip the folders with the photos "
            "again, and give the .zip file."
        ) from error
    entries = archive.infolist()
    if len(entries) > config.MAX_ZIP_ENTRIES:
        raise _too_many_entries()
    unpacked_bytes = sum(info.file_size for info in entries)
    if unpacked_bytes > config.MAX_SET_BYTES:
        raise DatasetError(
            f"Unpacked, the zip would have {unpacked_bytes / 2**30:,.1f} GB; the most is "
            f"{config.MAX_SET_BYTES / 2**30:.1f} GB. Give fewer photos, or smaller copies."
        )
    if unpacked_bytes > config.MAX_ZIP_RATIO * archive_bytes:
        raise DatasetError(
            f"Unpacked, the zip would be {unpacked_bytes / archive_bytes:,.0f} times as large, as "
            f"no zip of photos is; the most is {config.MAX_ZIP_RATIO} times. Zip only photos, as "
            "JPEG or PNG."
        )
    folders = defaultdict(list)
    for info in entries:
        _check_entry(info)
        path = PurePosixPath(info.filename)
        hidden = any(part.startswith(".") or part in _LITTER for part in path.parts)
        if not info.is_dir() and not hidden:
            folders[_class_folder(path.parent)].append(info)
    if not folders:
        raise DatasetError("The zip has no files. Zip the folders that hold the photos.")
    return archive, dict(folders)


def read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A file of the zip, unpacked to the first chunk over ``config.MAX_FILE_BYTES``.

    zipfile gives no more than the header says, which is in the sum that was checked, and finds
    out by the check sum where a header lies. Raises ``PhotoError``.
    """
    data = bytearray()
    try:
        with archive.open(info) as entry:
            while len(data) <= config.MAX_FILE_BYTES and (chunk := entry.read(_CHUNK_BYTES)):
                data += chunk
        return bytes(data)
    except Exception as error:
        raise PhotoError(
            f"'{shown_name(info.filename)}' is damaged: it is not what the zip's table of contents "
            "says. Zip the photo again."
        ) from error


class _ShortReads:
    """A file that can't be read in one go: zipfile takes a table of contents of any length whole,
    and makes objects of it that are many times as large.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n_bytes: int = -1, /) -> bytes:
        if n_bytes > _MAX_TABLE_BYTES:
            raise _too_many_entries()
        return self._file.read(n_bytes)


def _check_entry(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    if (
        name.startswith("/")
        or ".." in name.split("/")
        or re.search(r"\\|\0|^[a-z]:", name, re.IGNORECASE)
    ):
        problem = "has a path that leads out of the zip, or is written with backslashes"
        advice = "Zip the folders again, with the tool that your computer came with"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem, advice = "is a link and no file", "Put the photo itself in its place"
    elif info.flag_bits & 0x1:
        problem, advice = "is encrypted", "Zip the photos without a password"
    elif PurePosixPath(name).suffix.lower() in _ARCHIVE_SUFFIXES:
        problem, advice = "is an archive in an archive", "Unpack it, and zip the photos themselves"
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks other methods in pieces of any size: a bzip2 bomb would fill the memory.
        problem, advice = "is packed by an uncommon method", "Zip with the method 'deflate'"
    else:
        return
    raise DatasetError(f"The zip was not unpacked: '{printable(name)}' {problem}. {advice}.")


def _class_folder(folder: PurePosixPath) -> str:
    """The folder that the files in ``folder`` belong to; see ``zip_folders``."""
    recognised = _recognised(folder)
    if not recognised:
        return str(folder)
    nearest = recognised[-1]
    if len({recognise_label(part) for part in recognised}) == 1:
        return nearest
    while folder.name != nearest:
        folder = folder.parent
    return str(folder)


def _recognised(folder: PurePosixPath) -> list[str]:
    parts = [part for part in folder.parts if recognise_label(part)]
    return [part for part in parts if len(part) > _MAX_MARK_LETTERS] or parts


def _too_many_entries() -> DatasetError:
    return DatasetError(
        f"The zip has more than {config.MAX_ZIP_ENTRIES:,} entries. Give fewer photos: a few "
        "hundred of each class are plenty."
    )
