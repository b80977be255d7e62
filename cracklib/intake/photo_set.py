"""A growing set of labelled photos in a folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, get_args

import cv2
import numpy as np

from cracklib import config
from cracklib.download import download_photo
from cracklib.errors import DatasetError, DownloadError, PhotoError
from cracklib.intake.archive import open_zip, read_entry
from cracklib.intake.links import Link
from cracklib.intake.names import shown_name
from cracklib.intake.split import LabelledPhoto, Origin, Split, perceptual_hash
from cracklib.photo import decode_photo, encode_jpeg, photo_format
from cracklib.synthesis import WALL_KINDS, WallKind, render_crack, render_wall
from cracklib.types import Progress, Verdict

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "HEIF": ".heic"}
_SUFFIXES |= {"TIFF": ".tif", "BMP": ".bmp", "GIF": ".gif"}
_PRACTICE_SIZE = (224, 224)


@dataclass(frozen=True)
class Outcome:
    """What became of one photo given to a ``PhotoSet``, and why if it was not added.

    ``name`` is the upload's name, the path in the zip, or the link. Of a ``duplicate`` (the same
    file, labelled alike) and a ``conflict`` (the same file, labelled otherwise) the photo that the
    set had before is kept, and is ``photo``; what ``failed`` has none.
    """

    name: str
    status: Literal["added", "duplicate", "conflict", "failed"]
    message: str = ""
    photo: LabelledPhoto | None = None


class PhotoSet:
    """A growing set of labelled photos in ``folder``; opened again, it is as it was left.

    One ``PhotoSet`` a folder at a time; its methods may be called from several threads. Those that
    add photos return an outcome for each, in the order given; when ``progress``, which is called in
    the thread that asked, raises they stop. They raise ``DatasetError`` where there is no room for
    the photos in the set or on the disk. What was added so far stays.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._photos: dict[str, LabelledPhoto] = {}
        self._digest_of_url: dict[str, str] = {}
        with _storing():
            (folder / "photos").mkdir(parents=True, exist_ok=True)
            (folder / "splits").mkdir(exist_ok=True)
        self._load()

    @property
    def photos(self) -> list[LabelledPhoto]:
        """All photos, in the order they first came."""
        return list(self._photos.values())

    def path(self, photo: LabelledPhoto) -> Path:
        """The photo's file, as it was given."""
        return self.folder / "photos" / f"{photo.digest}{photo.suffix}"

    def relabel(self, digest: str, label: Verdict) -> None:
        """Correct a label. Raises ``KeyError`` where the set has no such photo."""
        with self._lock:
            self._put(replace(self._photos[digest], label=label))

    def remove(self, digest: str) -> None:
        """Remove a photo; splits written before keep it. Raises ``KeyError``."""
        with self._lock, _storing():
            self.path(self._photos.pop(digest)).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all photos; splits written before keep theirs."""
        for photo in self.photos:
            self.remove(photo.digest)

    def add_uploads(
        self,
        uploads: Sequence[tuple[str, bytes, Verdict]],
        progress: Progress | None = None,
        origin: Origin = "upload",
    ) -> list[Outcome]:
        """Add photos given as (name, bytes of the file, label)."""
        items = [_Item(name, label, origin, partial(bytes, data)) for name, data, label in uploads]
        return self._add_all(items, progress)

    def add_zip(
        self,
        file: BinaryIO,
        labels: Mapping[str, Verdict | None],
        progress: Progress | None = None,
    ) -> list[Outcome]:
        """Add the photos of a zip.

        ``labels`` is what ``zip_folders`` gave, confirmed or corrected; folders without a label are
        left out. Raises ``DatasetError`` as ``zip_folders`` does.
        """
        archive, folders = open_zip(file)
        with archive:
            items = [
                _Item(info.filename, label, "zip", partial(read_entry, archive, info))
                for folder, entries in folders.items()
                if (label := labels.get(folder))
                for info in entries
            ]
            return self._add_all(items, progress)

    def missing(self, links: Sequence[Link]) -> list[Link]:
        """The links that have a label and whose photo the set doesn't have."""
        photos = self._photos
        return [
            link for link in links if link.label and self._digest_of_url.get(link.url) not in photos
        ]

    def conflicts(self, links: Sequence[Link]) -> list[Outcome]:
        """Of each link to a photo that the set has under another label, that it is kept so."""
        known = [(link, self._photos.get(self._digest_of_url.get(link.url, ""))) for link in links]
        return [
            _already_there(link.url, link.label, photo)
            for link, photo in known
            if link.label and photo and link.label != photo.label
        ]

    def add_links(self, links: Sequence[Link], progress: Progress | None = None) -> list[Outcome]:
        """Download and add the photos of those links that are ``missing``,
        ``config.DOWNLOAD_THREADS`` at a time. Until all are there, they are ``open_links``.
        """
        with self._lock, _storing():
            listed = [asdict(link) for link in links if link.label]
            self._open_list.write_text(json.dumps(listed), encoding="utf-8")
        items = [
            _Item(link.url, link.label, "link", partial(_download, link.url))
            for link in self.missing(links)
            if link.label
        ]
        outcomes = self._add_all(items, progress, config.DOWNLOAD_THREADS)
        if not self.missing(links):
            self.forget_links()
        return outcomes

    @property
    def open_links(self) -> list[Link]:
        """The list last given to ``add_links`` where that did not get all its photos, else none."""
        try:
            return [Link(**link) for link in json.loads(self._open_list.read_text("utf-8"))]
        except (OSError, ValueError):  # a write that was cut short
            return []

    def forget_links(self) -> None:
        """Do without those of the ``open_links`` that are missing."""
        with _storing():
            self._open_list.unlink(missing_ok=True)

    def add_practice(
        self, per_class: int, seed: int = 0, progress: Progress | None = None
    ) -> list[Outcome]:
        """Render ``per_class`` walls of all kinds and add each twice: without and with a crack."""
        items = []
        for number in range(per_class):
            kind = WALL_KINDS[number % len(WALL_KINDS)]
            scene = f"practice {seed}-{number}"
            for label in get_args(Verdict):
                read = partial(_render_practice, kind, label, (seed, number))
                items.append(_Item(f"{kind} {number} {label}.jpg", label, "practice", read, scene))
        return self._add_all(items, progress)

    def write_split(self, split: Split) -> Path:
        """Lay out a split as a folder that ``dataset.find_split`` reads, of hard links or copies.

        Sources are ``practice`` and, for all else, ``photos``. The same split gives the same
        folder, another one another: a run that still reads an earlier split is not disturbed.
        Raises ``DatasetError`` where a photo was removed since or the disk is full.
        """
        if any(photo.digest not in self._photos for photo in [*split.train, *split.val]):
            raise DatasetError("Photos were removed since the split was made. Split them again.")
        targets = {
            f"{half}/{photo.label}/{_source(photo)}-{photo.digest}{photo.suffix}": self.path(photo)
            for half, photos in (("train", split.train), ("val", split.val))
            for photo in photos
        }
        digest = hashlib.sha256("\n".join(sorted(targets)).encode()).hexdigest()
        folder = self.folder / "splits" / digest[:16]
        with self._lock, _storing():
            if not folder.exists():
                unfinished = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
                try:
                    for target, path in targets.items():
                        _link_or_copy(path, unfinished / target)
                    unfinished.rename(folder)
                except OSError:
                    shutil.rmtree(unfinished, ignore_errors=True)
                    raise
        return folder

    @property
    def _open_list(self) -> Path:
        return self.folder / "links.json"

    def _add_all(
        self, items: Sequence[_Item], progress: Progress | None, threads: int = 1
    ) -> list[Outcome]:
        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(self._add, item) for item in items]
            try:
                for n_done, future in enumerate(as_completed(futures), 1):
                    future.result()
                    if progress:
                        progress(n_done, len(items))
            finally:
                pool.shutdown(cancel_futures=True)
        return [future.result() for future in futures]

    def _add(self, item: _Item) -> Outcome:
        try:
            data = item.read()
            with self._lock:  # one at a time, as a large photo takes hundreds of MB to decode
                return self._keep(item, data)
        except (PhotoError, DownloadError) as error:
            return Outcome(item.name, "failed", str(error))

    def _keep(self, item: _Item, data: bytes) -> Outcome:
        digest = hashlib.sha256(data).hexdigest()
        if known := self._photos.get(digest):
            outcome = _already_there(item.name, item.label, known)
        else:
            photo = self._new_photo(item, data, digest)
            with _storing():
                self.path(photo).write_bytes(data)
            self._put(photo)
            outcome = Outcome(item.name, "added", photo=photo)
        if item.origin == "link":
            self._digest_of_url[item.name] = digest
            self._record({"url": item.name, "digest": digest})
        return outcome

    def _new_photo(self, item: _Item, data: bytes, digest: str) -> LabelledPhoto:
        name = shown_name(item.name)
        if len(data) > config.MAX_FILE_BYTES:
            most = f"{config.MAX_FILE_BYTES / 2**20:.0f} MB"
            raise PhotoError(f"'{name}' has more than {most}. Give a smaller copy.")
        if len(self._photos) >= config.MAX_SET_PHOTOS:
            raise DatasetError(
                f"The set has {config.MAX_SET_PHOTOS:,} photos, the most it may hold. Those are "
                "kept; go without the rest: a few hundred of each class are plenty."
            )
        pixels = decode_photo(data, name).pixels
        n_bytes = len(data) + sum(photo.n_bytes for photo in self._photos.values())
        if n_bytes > config.MAX_SET_BYTES:
            raise DatasetError(
                f"With '{name}' the set's files would have more than the "
                f"{config.MAX_SET_BYTES / 2**30:.1f} GB it may hold. What was added before is "
                "kept; give smaller copies of the rest."
            )
        suffix = _SUFFIXES[str(photo_format(data))]
        phash = perceptual_hash(pixels)
        return LabelledPhoto(
            digest, suffix, name, item.label, item.origin, phash, len(data), item.scene
        )

    # The manifest is a journal: one JSON object a line, the last word on a photo counts, and a
    # photo without its file is one that was removed.

    def _put(self, photo: LabelledPhoto) -> None:
        self._record(asdict(photo))
        self._photos[photo.digest] = photo

    def _record(self, entry: Mapping[str, object]) -> None:
        # The newline comes first, so that what follows a line cut short by a crash stays whole.
        with _storing(), (self.folder / "manifest.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(entry)}")

    def _load(self) -> None:
        manifest = self.folder / "manifest.jsonl"
        lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if "url" in entry:
                self._digest_of_url[entry["url"]] = entry["digest"]
            else:
                self._photos[entry["digest"]] = LabelledPhoto(**entry)
        self._photos = {
            digest: photo for digest, photo in self._photos.items() if self.path(photo).exists()
        }


class _Item(NamedTuple):
    name: str
    label: Verdict
    origin: Origin
    read: Callable[[], bytes]
    scene: str = ""


def _download(url: str) -> bytes:
    return download_photo(url)[0]


def _render_practice(kind: WallKind, label: Verdict, seed: tuple[int, int]) -> bytes:
    rng = np.random.default_rng(seed)
    pixels = wall = render_wall(rng, _PRACTICE_SIZE, kind)
    if label == "crack":
        # Whoever looks through the set shall see every crack: they are wider than in training, and
        # drawn again where they hardly change the wall.
        for _ in range(20):
            width_px = float(np.exp(rng.uniform(*np.log((3, 12)))))
            pixels, _ = render_crack(wall, rng, width_px=width_px)
            if cv2.absdiff(pixels, wall).mean() > 0.3:
                break
    return encode_jpeg(pixels)


def _already_there(name: str, label: Verdict, known: LabelledPhoto) -> Outcome:
    same = f"'{shown_name(name)}' is the same file as '{known.name}'"
    if label == known.label:
        return Outcome(name, "duplicate", f"{same}, and is kept once.", known)
    this, first = (text.replace("_", " ") for text in (label, known.label))
    message = f"{same}, but labelled {this}. It is kept as {first}: correct that if it is wrong."
    return Outcome(name, "conflict", message, known)


def _source(photo: LabelledPhoto) -> str:
    return "practice" if photo.origin == "practice" else "photos"


def _link_or_copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(path)
    except OSError:  # not every file system has hard links
        shutil.copyfile(path, target)


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"The photos can't be kept on this server: {error.strerror}. Remove photos or trained "
            "models that you no longer need, and try again."
        ) from error
