"""The frozen prefix of the network, run once per picture and kept on disk.

What the frozen layers make of a picture never changes, so training reads it back as float16
instead of computing it again in every epoch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from tqdm import tqdm

from cracklib.preprocess import preprocess_pixels
from cracklib.types import FloatArray
from cracklib.views import View, make_view

Trainable = Literal["head", "block5", "block4-5"]
BOUNDARIES: dict[Trainable, str] = {
    "head": "average",
    "block5": "block4_pool",
    "block4-5": "block3_pool",
}
"""The last frozen layer for each choice of what is trained."""

_CHUNK = 32
_FLOAT16_MAX = float(np.finfo(np.float16).max)


def split_model(model: keras.Model, trainable: Trainable) -> tuple[keras.Model, keras.Model]:
    """The frozen prefix, from photo to features, and the tail, from features to logits.

    Both share their layers with ``model``: training the tail trains the model.
    """
    boundary = model.get_layer(BOUNDARIES[trainable]).output
    prefix = keras.Model(model.input, boundary, name="prefix")
    tail = keras.Model(boundary, model.output["logits"], name="tail")
    prefix.trainable = False
    tail.trainable = True
    return prefix, tail


class FeatureCache:
    """Features of ``views`` in a float16 file at ``path``, made on first use.

    A file that a killed run left half done is gone on with, so the path must belong to these views
    and this prefix alone.
    """

    def __init__(self, path: Path, views: Sequence[View], prefix: keras.Model) -> None:
        self._views = views
        self._prefix = prefix
        self._path = path
        self._done_path = path.with_suffix(".done")
        self._array: np.memmap | None = None

    def __len__(self) -> int:
        return len(self._views)

    @property
    def labels(self) -> np.ndarray:
        """int64 (n,), indices into ``config.LABELS``."""
        return np.array([view.label for view in self._views], np.int64)

    def fill(self, title: str) -> None:
        """Make what is missing, with a progress bar called ``title``. Raises ``PhotoError``."""
        shape = (len(self._views), *self._prefix.output.shape[1:])
        done = int(self._done_path.read_text()) if self._done_path.exists() else 0
        self._array = np.lib.format.open_memmap(
            self._path, mode="r+" if done else "w+", dtype=np.float16, shape=shape
        )
        with (
            tqdm(total=shape[0], initial=done, desc=title, unit="photo", mininterval=1) as bar,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            for start in range(done, shape[0], _CHUNK):
                pictures = list(pool.map(make_view, self._views[start : start + _CHUNK]))
                features = np.asarray(
                    self._prefix.predict_on_batch(preprocess_pixels(np.stack(pictures)))
                )
                stop = start + len(pictures)
                self._array[start:stop] = np.minimum(features, _FLOAT16_MAX)
                self._array.flush()
                self._done_path.write_text(str(stop))
                bar.update(len(pictures))

    def batches(
        self, batch_size: int, order: np.ndarray | None = None
    ) -> Iterator[tuple[FloatArray, np.ndarray]]:
        """(features float32, indices) batch by batch, all views in ``order``."""
        if self._array is None:
            raise RuntimeError("fill() comes first")
        order = np.arange(len(self)) if order is None else order
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            yield self._array[indices].astype(np.float32), indices
