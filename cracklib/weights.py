"""Weights on disk: one safetensors file and the JSON card beside it.

safetensors holds named arrays and nothing else, so loading a file runs no code. A file is taken
only if its hash is the card's and its names and shapes are exactly those of ``architecture``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cracklib.architecture import FEATURE_LAYERS, FeatureLayer, weight_shapes
from cracklib.config import INPUT_SIZE, LABELS
from cracklib.errors import WeightsError
from cracklib.types import FloatArray, HeatScale

Weights = dict[str, FloatArray]

PREPROCESSING = "keras.applications.vgg16.preprocess_input on RGB squeezed to 224x224"


@dataclass(frozen=True)
class ModelCard:
    """What must be known of a set of weights to use it and to judge it.

    ``temperature`` divides the logits before the softmax (Guo et al. 2017, section 4.2,
    https://arxiv.org/abs/1706.04599); ``verdict_threshold`` is the probability from which the
    verdict is "crack"; ``heat_scale`` is in log-odds; ``quality`` maps a data source to its
    metrics on the validation photos; ``data`` maps a source to its photos per class.
    """

    name: str
    sha256: str
    feature_layer: FeatureLayer
    temperature: float
    verdict_threshold: float
    heat_scale: HeatScale
    start: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    data: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    quality: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    labels: tuple[str, ...] = LABELS
    input_size: tuple[int, int] = INPUT_SIZE
    preprocessing: str = PREPROCESSING

    def __post_init__(self) -> None:
        problems = []
        if self.feature_layer not in FEATURE_LAYERS:
            problems.append(f"feature_layer must be one of {FEATURE_LAYERS}")
        if tuple(self.labels) != LABELS:
            problems.append(f"labels must be {LABELS}")
        if tuple(self.input_size) != INPUT_SIZE:
            problems.append(f"input_size must be {INPUT_SIZE}")
        if self.preprocessing != PREPROCESSING:
            problems.append(f"preprocessing must be '{PREPROCESSING}'")
        if not self.temperature > 0:
            problems.append("temperature must be above 0")
        if not 0 < self.verdict_threshold < 1:
            problems.append("verdict_threshold must be between 0 and 1")
        if problems:
            raise ValueError("; ".join(problems))

    def to_json(self) -> str:
        """The card as ``from_json`` reads it."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Raises ``ValueError``, ``TypeError`` or ``KeyError`` where ``text`` is no card."""
        values = json.loads(text)
        values["heat_scale"] = HeatScale(**values["heat_scale"])
        values["labels"] = tuple(values["labels"])
        values["input_size"] = tuple(values["input_size"])
        return cls(**values)


def card_path(path: Path) -> Path:
    """Where the card of the weights at ``path`` lies."""
    return path.with_suffix(".json")


def encode_weights(weights: Weights) -> bytes:
    """The weights as float16 in one safetensors file (about 29 MB).

    They are rounded to bfloat16 first: what a CPU that computes in bfloat16 would do on loading,
    done once here so that every engine computes with the same numbers.
    """
    check_shapes(weights, "these weights")
    return save(
        {name: weights[name].astype(bfloat16).astype(np.float16) for name in weight_shapes()}
    )


def read_encoded(encoded: bytes) -> Weights:
    """The arrays of ``encode_weights`` as float32.

    Raises ``safetensors.SafetensorError``, and ``KeyError`` for number formats that NumPy has not.
    """
    return {name: np.asarray(array, np.float32) for name, array in load(encoded).items()}


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def save_weights(path: Path, encoded: bytes, card: ModelCard) -> None:
    """Write ``encoded`` (from ``encode_weights``) to ``path`` and its card beside it."""
    if sha256(encoded) != card.sha256:
        raise ValueError("the card is of other weights")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded)
    card_path(path).write_text(card.to_json(), encoding="utf-8")


def load_weights(path: Path) -> tuple[Weights, ModelCard]:
    """The weights at ``path`` as float32, and their card.

    Raises ``WeightsError`` where either file is missing or damaged, the hash is not the card's, or
    the arrays are not those of this network.
    """
    try:
        encoded = path.read_bytes()
        text = card_path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise WeightsError(
            f"Can't read the weights: {error.filename} ({error.strerror}). Expected a .safetensors "
            "file with its .json card beside it; both come with the repository, or from 'train'."
        ) from error
    return decode_weights(encoded, text, path.name)


def decode_weights(encoded: bytes, card_text: str, name: str) -> tuple[Weights, ModelCard]:
    """As ``load_weights``, from the two files' contents; ``name`` is used in messages only."""
    try:
        card = ModelCard.from_json(card_text)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"The card of {name} is not a model card of this program ({error}). "
            "Use the .json file that was written together with the weights."
        ) from error
    found = sha256(encoded)
    if found != card.sha256:
        raise WeightsError(
            f"{name} does not match its card: sha256 {card.sha256[:12]}… was expected and "
            f"{found[:12]}… came. The file is damaged or the card belongs to other weights; "
            "fetch both again."
        )
    try:
        weights = read_encoded(encoded)
    except (SafetensorError, KeyError) as error:  # KeyError: a number format NumPy has not
        raise WeightsError(f"{name} is not a safetensors file of float16 ({error}).") from error
    check_shapes(weights, name)
    return {key: weights[key] for key in weight_shapes()}, card


def check_shapes(weights: Mapping[str, np.ndarray], name: str) -> None:
    """Raise ``WeightsError`` unless names and shapes are exactly this network's."""
    expected = weight_shapes()
    wrong = sorted(set(expected) ^ set(weights)) or [
        f"{key} {weights[key].shape} instead of {shape}"
        for key, shape in expected.items()
        if weights[key].shape != shape
    ]
    if wrong:
        raise WeightsError(
            f"{name}: not the weights of this network (VGG16 base, 2-way head): "
            f"{', '.join(wrong[:3])}{' …' if len(wrong) > 3 else ''}."
        )
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise WeightsError(f"{name}: some weights are not finite numbers; train again.")
