"""From trained weights to a model card: temperature, heat scale, quality.

Everything is fitted and measured with the engine that serves, so that the card says what users get.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cracklib.architecture import HEAD, FeatureLayer
from cracklib.cam import class_activation_map
from cracklib.config import engine_name
from cracklib.dataset import LabelledFile
from cracklib.engines import build_engine
from cracklib.metrics import (
    balanced_weights,
    fit_temperature,
    measure_by_source,
)
from cracklib.photo import read_photo
from cracklib.preprocess import to_batch
from cracklib.types import FloatArray, HeatScale, Progress
from cracklib.weights import Weights

VERDICT_THRESHOLD = 0.5
"""Cracked when that is likelier than not. A threshold fitted for the best balanced accuracy does
worse on a source that it was not fitted on (weights/TRAINING.md).
"""
CLEAN_QUANTILE = 0.5
CRACK_QUANTILE = 0.98
"""Heat 0 is this quantile of the evidence over uncracked photos, heat 1 this one over cracked."""


def calibrate(
    weights: Weights,
    feature_layer: FeatureLayer,
    files: Sequence[LabelledFile],
    progress: Progress | None = None,
) -> dict[str, object]:
    """The fields of the model card that are fitted or measured on the validation ``files``.

    ``temperature`` (Guo et al. 2017), ``verdict_threshold``, ``heat_scale``, ``quality``.
    """
    engine = build_engine(engine_name(), weights, feature_layer)
    kernel, bias = weights[f"{HEAD}/kernel"], weights[f"{HEAD}/bias"]
    logits, maps = [], []
    for done, file in enumerate(tqdm(files, desc="calibrating", unit="photo", mininterval=1), 1):
        [feature_map] = engine(to_batch([read_photo(file.path)]))
        logits.append(feature_map.mean(axis=(0, 1)) @ kernel + bias)
        maps.append(class_activation_map(feature_map, kernel, bias, temperature=1.0))
        if progress:
            progress(done, len(files))
    labels = np.array([file.label for file in files])
    sources = [file.source for file in files]
    balance = balanced_weights(labels, sources)

    temperature = fit_temperature(logits, labels, balance)
    margins = np.subtract(*np.transpose(logits)[::-1]).astype(np.float64) / temperature
    probabilities = 1 / (1 + np.exp(-margins))
    measured = measure_by_source(labels, probabilities, sources, VERDICT_THRESHOLD)
    return {
        "temperature": temperature,
        "verdict_threshold": VERDICT_THRESHOLD,
        "heat_scale": fit_heat_scale(np.stack(maps) / temperature, labels, balance),
        "quality": {source: metrics.to_dict() for source, metrics in measured.items()},
    }


def fit_heat_scale(
    evidence: FloatArray, labels: np.ndarray, balance: NDArray[np.float64]
) -> HeatScale:
    """The scale on which uncracked walls stay cold and cracks get hot.

    ``evidence`` is float32 (n, rows, columns) in log-odds, ``balance`` how much each photo counts.
    """
    per_cell = np.broadcast_to(balance[:, None, None], evidence.shape)
    clean, cracked = labels == 0, labels == 1
    return HeatScale(
        low=_quantile(evidence[clean], per_cell[clean], CLEAN_QUANTILE),
        high=_quantile(evidence[cracked], per_cell[cracked], CRACK_QUANTILE),
    )


def _quantile(values: FloatArray, weights: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values.ravel(), share, weights=weights.ravel(), method="inverted_cdf"))
