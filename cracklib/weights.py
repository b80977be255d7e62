"""Weights on disk: one safetensors file and the JSON card beside it.

safetensors holds named arrays and nothing else, so loading a file runs no code. A file is taken
only if its hash is the card's and its names and shapes are exactly those of ``architecture``.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cracklib.architecture import (
    BLOCKS,
    FEATURE_LAYERS,
    FeatureLayer,
    convolution_names,
    weight_shapes,
)
from cracklib.config import INPUT_SIZE, LABELS
from cracklib.errors import WeightsError
from cracklib.types import FloatArray, HeatScale, SurfacePrior, WindowScale

Weights = dict[str, FloatArray]

MAX_WEIGHTS_BYTES = 4 * sum(math.prod(shape) for shape in weight_shapes().values()) + 2**20
"""Enough for float32 and the names; ``encode_weights`` needs half of it."""
MAX_CARD_BYTES = 2**20

_CHUNK_BYTES = 2**20
_FORMATS_WITH_CODE = {
    "a pickle": {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib"},
    "a NumPy file, which may hold a pickle": {".npy", ".npz"},
    "a Keras or HDF5 model": {".h5", ".hdf5", ".keras"},
    "a TensorFlow graph": {".pb", ".tflite"},
}

PREPROCESSING = (
    "keras.applications.vgg16.preprocess_input on RGB, dark photos brighter; "
    "looks: squeezed to 288x288, then smaller and in grey"
)
"""What ``preprocess.to_input`` and ``looks`` do."""


@dataclass(frozen=True)
class ModelCard:
    """What must be known of a set of weights to use it and to judge it.

    ``temperature`` divides the logits before the softmax (Guo et al. 2017, section 4.2,
    https://arxiv.org/abs/1706.04599); ``verdict_threshold`` is the probability from which the
    verdict is "crack"; ``heat_scale`` is in log-odds; ``window_scale`` is for large photos, and
    without it they are seen as all others; ``surface_prior`` is for what is and is not a known
    surface; ``trace_weight`` is what ``refine.prominence`` counts beside the network's
    log-odds, 0 where no decoder of all blocks belongs to the weights; ``activation_ranges`` are
    those of ``engines.measure_ranges``, empty where a search computes as one look does;
    ``quality`` maps a data source to its metrics on the validation photos; ``data`` maps a source
    to its photos per class; ``minutes`` is how long the run took on the machine that ``versions``
    names, since its last start if it was interrupted.
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
    minutes: float | None = None
    window_scale: WindowScale | None = None
    surface_prior: SurfacePrior | None = None
    trace_weight: float = 0.0
    activation_ranges: Mapping[str, float] = field(default_factory=dict)
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
            problems.append(
                f"preprocessing must be '{PREPROCESSING}': "
                "train a model of an earlier version again"
            )
        if not self.temperature > 0:
            problems.append("temperature must be above 0")
        if not self.trace_weight >= 0:
            problems.append("trace_weight must be 0 or more")
        if not all(most > 0 for most in self.activation_ranges.values()):
            problems.append("activation_ranges must be above 0")
        if not 0 < self.verdict_threshold < 1:
            problems.append("verdict_threshold must be between 0 and 1")
        if problems:
            raise ValueError("; ".join(problems))

    def to_json(self) -> str:
        """The card as ``from_json`` reads it."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Raises ``ValueError``, ``TypeError`` or ``KeyError`` where ``text`` is no card; a
        ``ValueError`` says what is wrong.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ValueError("it is no JSON") from error
        values["heat_scale"] = HeatScale(**values["heat_scale"])
        if values.get("window_scale") is not None:
            values["window_scale"] = WindowScale(**values["window_scale"])
        if values.get("surface_prior") is not None:
            values["surface_prior"] = SurfacePrior(**values["surface_prior"])
        values["labels"] = tuple(values["labels"])
        values["input_size"] = tuple(values["input_size"])
        card = cls(**values)
        _check_types(card)
        return card


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


def layers_sha256(weights: Weights, blocks: int) -> str:
    """The hash of all layers of the first so many ``blocks``."""
    digest = hashlib.sha256()
    convolutions = sum(count for count, _ in BLOCKS[:blocks])
    for name in convolution_names()[:convolutions]:
        for part in ("kernel", "bias"):
            digest.update(np.ascontiguousarray(weights[f"{name}/{part}"], np.float32).tobytes())
    return digest.hexdigest()


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
    encoded, text = _read_files(path)
    return decode_weights(encoded, text, path.name)


def read_card(path: Path) -> ModelCard:
    """The card of the weights at ``path``, which are not read. Raises ``WeightsError``."""
    try:
        text = card_path(path).read_text("utf-8", "replace")
    except OSError as error:
        raise _unreadable(error) from error
    return _decode_card(text, path.name)


def pack_model(path: Path) -> bytes:
    """The weights at ``path`` and their card as one zip. Raises ``WeightsError``."""
    encoded, text = _read_files(path)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(path.name, encoded)
        archive.writestr(card_path(path).name, text)
    return file.getvalue()


def unpack_model(data: bytes) -> tuple[bytes, str]:
    """The weights file's bytes and the card's text out of a zip of ``pack_model``, unchecked.

    Other files in the zip are passed over. Raises ``WeightsError``, before anything is unpacked,
    where the zip is larger than a model, or has not just one ``.safetensors`` and one ``.json``
    of fitting size.
    """
    if len(data) > MAX_WEIGHTS_BYTES + MAX_CARD_BYTES:
        raise WeightsError(
            f"The zip has {len(data) / 1e6:,.0f} MB; a model of this network has at most "
            f"{MAX_WEIGHTS_BYTES / 1e6:.0f} MB. {_ADVICE}"
        )
    try:
        with zipfile.ZipFile(_ShortReads(data)) as archive:
            weights = _only_entry(archive, ".safetensors", MAX_WEIGHTS_BYTES)
            card = _only_entry(archive, ".json", MAX_CARD_BYTES)
            return _unpack(archive, weights), _unpack(archive, card).decode()
    except WeightsError:
        raise
    except Exception as error:
        # On garbage, zipfile raises almost any type there is.
        raise WeightsError(f"The zip is damaged or cut short. {_ADVICE}") from error


def unpack_upload(files: Sequence[tuple[str, bytes]]) -> tuple[bytes, str]:
    """As ``unpack_model``, from what a person gave as (name, bytes): that zip, or its two files.

    Nothing of another format is opened. Raises ``WeightsError``.
    """
    by_suffix = {PurePosixPath(name).suffix.lower(): data for name, data in files}
    for suffix in by_suffix:
        for kind, suffixes in _FORMATS_WITH_CODE.items():
            if suffix in suffixes:
                raise WeightsError(
                    f"A {suffix} file is {kind}: opening one may run code that is hidden in it, so "
                    f"it is never opened here. {_ADVICE}"
                )
    if by_suffix.keys() == {".zip"} and len(files) == 1:
        return unpack_model(by_suffix[".zip"])
    if by_suffix.keys() == {".safetensors", ".json"} and len(files) == 2:
        try:
            return by_suffix[".safetensors"], by_suffix[".json"].decode()
        except UnicodeDecodeError as error:
            raise WeightsError(f"The .json file is no text. {_ADVICE}") from error
    given = ", ".join(f"'{name[:60]}'" for name, _ in files) or "nothing"
    raise WeightsError(f"That is no model: {given} came. {_ADVICE}")


_ADVICE = "Give the zip that 'Download' gives, or a .safetensors file together with its .json card."


class _ShortReads(io.BytesIO):
    """A file that can't be read in one go: zipfile takes a table of contents of any length whole,
    and makes objects of it that are many times as large.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _CHUNK_BYTES:
            raise WeightsError(f"The zip has too many entries. {_ADVICE}")
        return super().read(size)


def _only_entry(archive: zipfile.ZipFile, suffix: str, max_bytes: int) -> zipfile.ZipInfo:
    found = [
        info
        for info in archive.infolist()
        if info.filename.lower().endswith(suffix)
        # What macOS adds is named after the files it belongs to.
        and not PurePosixPath(info.filename).name.startswith("._")
    ]
    if len(found) != 1:
        raise WeightsError(f"The zip holds {len(found)} {suffix} files, not one. {_ADVICE}")
    info = found[0]
    if info.file_size > max_bytes:
        raise WeightsError(
            f"The zip's {suffix} file would have {info.file_size / 1e6:,.0f} MB; the most is "
            f"{max_bytes / 1e6:.0f} MB. {_ADVICE}"
        )
    # zipfile unpacks other methods in pieces of any size.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WeightsError("The zip is packed by an uncommon method. Zip with 'deflate'.")
    return info


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """zipfile gives no more than the size that was checked."""
    with archive.open(info) as entry:
        return b"".join(iter(lambda: entry.read(_CHUNK_BYTES), b""))


def _read_files(path: Path) -> tuple[bytes, str]:
    try:
        return path.read_bytes(), card_path(path).read_text("utf-8", "replace")
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> WeightsError:
    return WeightsError(
        f"Can't read the weights: {error.filename} ({error.strerror}). Expected a .safetensors "
        "file with its .json card beside it; both come with the repository, or from 'train'."
    )


def decode_weights(encoded: bytes, card_text: str, name: str) -> tuple[Weights, ModelCard]:
    """As ``load_weights``, from the two files' contents; ``name`` is used in messages only."""
    card = _decode_card(card_text, name)
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


def _decode_card(text: str, name: str) -> ModelCard:
    try:
        return ModelCard.from_json(text)
    except (
        ArithmeticError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ) as error:
        why = f" ({error})" if isinstance(error, ValueError) else ""
        raise WeightsError(
            f"The card of {name} is not a model card of this program{why}. "
            "Use the .json file that was written together with the weights."
        ) from error


def _check_types(card: ModelCard) -> None:
    """Raise where JSON brought other types than are declared.

    Cards are uploaded too, and pages show them.
    """
    estimates = [
        (name, estimate)
        for figures in card.quality.values()
        for name, estimate in figures.items()
        if isinstance(estimate, Mapping)
    ]
    texts = [card.name, card.sha256, card.start, card.created, *card.versions.values()]
    numbers = [
        card.seed,
        *(count for counts in card.data.values() for count in counts.values()),
        *(number for _, estimate in estimates for number in estimate.values()),
        *(estimate["value"] for _, estimate in estimates),
        *(
            estimate[end]
            for name, estimate in estimates
            for end in ("low", "high")
            if name != "calibration_error"
        ),
    ]
    numbers += [card.temperature, card.trace_weight, card.heat_scale.low, card.heat_scale.high]
    numbers += [*card.activation_ranges.values()]
    numbers += [] if card.minutes is None else [card.minutes]
    if card.window_scale is not None:
        numbers += [card.window_scale.slope, card.window_scale.offset]
        numbers += [] if card.window_scale.deduction is None else [card.window_scale.deduction]
    if card.surface_prior is not None:
        numbers += [card.surface_prior.offset, card.surface_prior.deduction]
    if not (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int | float) for number in numbers)
        and all(map(math.isfinite, numbers))
        and isinstance(card.recipe, Mapping)
    ):
        raise ValueError("a text, number or table in it is something else")


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
