"""The frozen prefix of the network, run once per picture and kept on disk.

What the frozen layers make of a picture never changes, so training reads it back as float16
instead of computing it again in every epoch.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cracklib.architecture import STRIDE
from cracklib.config import MIN_FREE_DISK_BYTES
from cracklib.errors import TrainingError
from cracklib.preprocess import preprocess_pixels
from cracklib.recipes import Trainable
from cracklib.types import FloatArray, Pixels, Progress
from cracklib.views import View, make_input

BOUNDARIES: dict[Trainable, str] = {
    "head": "average",
    "block5": "block4_pool",
    "block4-5": "block3_pool",
}
"""The last frozen layer for each choice of what is trained."""

_CHUNK = 32
_FLOAT16_MAX = float(np.finfo(np.float16).max)


def split_model(model: keras.Model, trainable: Trainable) -> tuple[keras.Model, keras.Model]:
    """The frozen prefix, from photo to features, and the tail, from features to predictions.

    The tail's outputs are the logits and, unless the head alone is trained, the feature map.
    Both share their layers with ``model``: training the tail trains the model.
    """
    boundary = model.get_layer(BOUNDARIES[trainable]).output
    prefix = keras.Model(model.input, boundary, name="prefix")
    outputs = ["logits"] if trainable == "head" else ["logits", "feature_map"]
    tail = keras.Model(boundary, {name: model.output[name] for name in outputs}, name="tail")
    prefix.trainable = False
    tail.trainable = True
    return prefix, tail


class Batch(NamedTuple):
    """``features`` float32 (n, ...), ``labels`` int64 (n,), ``cells`` int8 (n, rows, columns)."""

    features: FloatArray
    labels: NDArray[np.int64]
    cells: NDArray[np.int8]


class FeatureCache:
    """Features and cells of ``views`` seen at ``side_px`` pixels a side, made by ``fill``.

    They are kept in files at and beside ``path``, the features as float16. What a killed run left
    half done is gone on with, so the path must belong to these views and this prefix alone.
    """

    def __init__(
        self, path: Path, views: Sequence[View], prefix: keras.Model, side_px: int
    ) -> None:
        self.views = views
        self._side_px = side_px
        self._prefix = prefix
        self._path = path
        self._done_path = path.with_suffix(".done")
        self._features: np.memmap | None = None
        self._cells: np.memmap | None = None

    def __len__(self) -> int:
        return len(self.views)

    @property
    def name(self) -> str:
        """What the set of views is called, from its file."""
        return self._path.stem

    @property
    def labels(self) -> np.ndarray:
        """int64 (n,), indices into ``config.LABELS``."""
        return np.array([view.label for view in self.views], np.int64)

    def fill(self, title: str, progress: Progress | None = None) -> None:
        """Make what is missing, with a progress bar called ``title``.

        Raises ``PhotoError``, and for want of disk ``TrainingError`` or ``OSError``.
        """
        if self._features is not None:
            return
        count = len(self.views)
        input_shape = (count, self._side_px, self._side_px, 3)
        shape = self._prefix.compute_output_shape(input_shape)
        grid = self._side_px // STRIDE
        done = int(self._done_path.read_text() or 0) if self._done_path.exists() else 0
        mode: Literal["r+", "w+"] = "r+" if done else "w+"
        self._check_room(math.prod(shape) * np.dtype(np.float16).itemsize)
        features = np.lib.format.open_memmap(self._path, mode, np.float16, shape)
        cells_path = self._path.with_suffix(".cells.npy")
        cells = np.lib.format.open_memmap(cells_path, mode, np.int8, (count, grid, grid))
        _take_room(self._path)
        _take_room(cells_path)

        with tqdm(total=count, initial=done, desc=title, unit="photo", mininterval=1) as bar:
            for seen, made in look_at_views(self.views[done:], self._side_px, self._prefix):
                part = slice(done, done + len(made))
                features[part] = np.minimum(seen, _FLOAT16_MAX)
                cells[part] = made
                features.flush()
                cells.flush()
                done += len(made)
                self._done_path.write_text(str(done))
                bar.update(len(made))
                if progress:
                    progress(done, count)
        self._features, self._cells = features, cells

    def _check_room(self, n_bytes: int) -> None:
        """A message with figures, for a disk that is too small from the start."""
        there = self._path.stat().st_size if self._path.exists() else 0
        free = shutil.disk_usage(self._path.parent).free
        if n_bytes - there > free - MIN_FREE_DISK_BYTES:
            raise TrainingError(
                f"The features of {len(self)} photos need {n_bytes / 1e9:.1f} GB of disk, "
                f"{free / 1e9:.1f} GB are free, and {MIN_FREE_DISK_BYTES / 1e9:.1f} GB must stay "
                "so. Free some, or train on fewer photos."
            )

    def batches(self, batch_size: int, order: np.ndarray | None = None) -> Iterator[Batch]:
        """All views in ``order``, ``batch_size`` at a time."""
        if self._features is None or self._cells is None:
            raise RuntimeError("fill() comes first")
        labels = self.labels
        order = np.arange(len(self)) if order is None else order
        for start in range(0, len(order), batch_size):
            indices = np.sort(order[start : start + batch_size])
            yield Batch(
                self._features[indices].astype(np.float32), labels[indices], self._cells[indices]
            )


def _take_room(path: Path) -> None:
    """Give the file its blocks now, or raise ``OSError``.

    It is written to through memory: a disk that fills up only then kills the process.
    """
    if hasattr(os, "posix_fallocate"):  # macOS has none
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def look_at_views(
    views: Sequence[View], side_px: int, network: keras.Model
) -> Iterator[tuple[Any, NDArray[np.int8]]]:
    """What ``network`` makes of ``views`` at ``side_px`` pixels a side, and their cells, in chunks.

    Raises ``PhotoError`` and ``TrainingError``.
    """
    for made in _make_ahead(views, side_px):
        pictures, cells = map(np.stack, zip(*made, strict=True))
        yield network.predict_on_batch(preprocess_pixels(pictures)), cells


def _make_ahead(
    views: Sequence[View], side_px: int
) -> Iterator[list[tuple[Pixels, NDArray[np.int8]]]]:
    """Pixels and cells of ``views`` in chunks, the next made while one is used."""
    if 0 < len(views) <= _CHUNK:
        # Processes take longer to start than these to be made.
        yield [make_input(view, side_px) for view in views]
        return
    # Processes, for half of drawing is Python; spawned, for TensorFlow doesn't survive a fork.
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(os.cpu_count(), spawn, cv2.setNumThreads, (1,)) as pool:
            ahead: list[Future[tuple[Pixels, NDArray[np.int8]]]] = []
            for start in range(0, len(views), _CHUNK):
                chunk = views[start : start + _CHUNK]
                coming = [pool.submit(make_input, view, side_px) for view in chunk]
                if ahead:
                    yield [future.result() for future in ahead]
                ahead = coming
            if ahead:
                yield [future.result() for future in ahead]
    except BrokenProcessPool as error:
        raise TrainingError(
            "A process that makes training pictures was killed, most likely for want of memory. "
            "Close other programs and start the same run again: it goes on where it stopped."
        ) from error
