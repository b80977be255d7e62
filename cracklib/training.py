"""One training run: recipe, cached features, fine-tuning, calibration, weights and card."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from cracklib.architecture import FeatureLayer
from cracklib.calibration import calibrate
from cracklib.config import LABELS, STARTS
from cracklib.dataset import LabelledFile, find_split
from cracklib.errors import TrainingError
from cracklib.features import BOUNDARIES, FeatureCache, Trainable, split_model
from cracklib.metrics import balanced_weights
from cracklib.model import build_model, read_weights, start_weights
from cracklib.views import Mix, View, plan_plain, plan_views
from cracklib.weights import ModelCard, encode_weights, read_encoded, save_weights, sha256


@dataclass(frozen=True)
class Recipe:
    """How to train. ``mix`` of None shows every photo once an epoch, augmented as the article did.

    ``variants`` is how many differently augmented sets of views are made and cached; epochs take
    them in turn. ``learning_rate`` is the highest: with ``cosine`` it is warmed up to over a
    twentieth of the run and falls to 0 along a cosine, else it is constant.
    """

    name: str
    feature_layer: FeatureLayer
    start: str
    trainable: Trainable
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    cosine: bool
    label_smoothing: float
    variants: int
    mix: Mix | None


RECIPES = {
    "default": Recipe(
        name="default",
        feature_layer="block5_conv3",
        start="hed",
        trainable="block4-5",
        epochs=5,
        batch_size=32,
        optimizer="adam",
        learning_rate=4e-5,
        cosine=True,
        label_smoothing=0.05,
        variants=2,
        mix=Mix(per_class_min=300, per_class_max=600, pairs=800, mosaics=400),
    ),
    "article": Recipe(
        name="article",
        feature_layer="block5_pool",
        start="imagenet",
        trainable="block4-5",
        epochs=10,
        batch_size=16,
        optimizer="sgd",
        learning_rate=1e-4,
        cosine=False,
        label_smoothing=0.0,
        variants=1,
        mix=None,
    ),
}


def train(
    data: Path,
    out: Path,
    *,
    recipe: str = "default",
    start: str | None = None,
    trainable: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> ModelCard:
    """Train on ``data/train``, choose the epoch and calibrate on ``data/val``, write ``out``.

    What is None is as the recipe has it. Progress is kept in ``<out>.run/`` beside the weights
    until they are written: the same call goes on where a killed one stopped. The same call on the
    same machine gives the same weights. Raises ``TrainingError``, ``DatasetError``,
    ``WeightsError`` and ``PhotoError``.
    """
    settings = resolve_recipe(recipe, start, trainable, epochs, batch_size)
    train_files, val_files = find_split(data)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    _use_bfloat16_if_native()

    weights, origin = start_weights(settings.start, settings.feature_layer)
    run = _run_folder(out, settings, seed, origin, [*train_files, *val_files])
    model = build_model(settings.feature_layer, weights)
    history = _fit(model, settings, seed, train_files, val_files, run)

    encoded = encode_weights(read_weights(model))
    card = ModelCard(
        name=out.stem,
        sha256=sha256(encoded),
        feature_layer=settings.feature_layer,
        start=origin,
        recipe={**asdict(settings), "history": history},
        seed=seed,
        data=_count(train_files),
        versions=_versions(),
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        **calibrate(read_encoded(encoded), settings.feature_layer, val_files),  # type: ignore[arg-type]
    )
    save_weights(out, encoded, card)
    shutil.rmtree(run)
    return card


def resolve_recipe(
    name: str,
    start: str | None,
    trainable: str | None,
    epochs: int | None,
    batch_size: int | None,
) -> Recipe:
    """The named recipe with what is not None put in its place. Raises ``TrainingError``."""
    for value, known, what in (
        (name, RECIPES, "recipe"),
        (start, STARTS, "start"),
        (trainable, BOUNDARIES, "choice of trainable layers"),
    ):
        if value is not None and value not in known:
            raise TrainingError(f"Unknown {what} '{value}'; choose one of {', '.join(known)}.")
    for number, what in ((epochs, "epochs"), (batch_size, "batch size")):
        if number is not None and number < 1:
            raise TrainingError(f"The {what} must be at least 1, not {number}.")
    given = {
        "start": start,
        "trainable": trainable,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    return replace(RECIPES[name], **changes)


def _fit(
    model: keras.Model,
    recipe: Recipe,
    seed: int,
    train_files: Sequence[LabelledFile],
    val_files: Sequence[LabelledFile],
    run: Path,
) -> list[dict[str, float]]:
    """Train ``model`` in place and leave it with the weights of its best epoch."""
    prefix, tail = split_model(model, recipe.trainable)
    whole = [View("whole", file.label, (file,), 0) for file in val_files]
    val = FeatureCache(run / "val.npy", whole, prefix)
    variants = [
        FeatureCache(run / f"variant{index}.npy", _plan(recipe, train_files, seed, index), prefix)
        for index in range(min(recipe.variants, recipe.epochs))
    ]
    steps = [
        math.ceil(len(variants[epoch % len(variants)]) / recipe.batch_size)
        for epoch in range(recipe.epochs)
    ]
    tail.compile(
        optimizer=_optimizer(recipe, sum(steps)),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        jit_compile=False,
    )
    tail.optimizer.build(tail.trainable_variables)
    checkpoint = _Checkpoint(run / "checkpoint.npz", tail)
    checkpoint.restore()
    balance = balanced_weights(val.labels, [file.source for file in val_files])

    val.fill("validation photos")
    with tqdm(total=sum(steps), desc="training", unit="step", mininterval=1) as bar:
        bar.update(sum(steps[: len(checkpoint.history)]))
        for epoch in range(len(checkpoint.history), recipe.epochs):
            features = variants[epoch % len(variants)]
            features.fill(f"features of variant {epoch % len(variants) + 1}")
            bar.unpause()
            order = np.random.default_rng((seed, epoch)).permutation(len(features))
            targets = np.eye(len(LABELS), dtype=np.float32)[features.labels]
            losses = []
            for batch, indices in features.batches(recipe.batch_size, order):
                losses.append(float(tail.train_on_batch(batch, targets[indices])))
                bar.update()
                bar.set_postfix(epoch=epoch + 1, loss=f"{np.mean(losses[-50:]):.3f}")
            if not np.isfinite(losses).all():
                raise TrainingError("The loss is not finite. Use a smaller batch or another seed.")
            logits = np.concatenate([tail.predict_on_batch(x) for x, _ in val.batches(32)])
            measured = _validate(logits, val.labels, balance)
            checkpoint.save({"loss": float(np.mean(losses)), **measured})
            tqdm.write(
                f"epoch {epoch + 1}/{recipe.epochs}: loss {np.mean(losses):.4f}, validation "
                f"loss {measured['val_loss']:.4f}, accuracy {measured['val_accuracy']:.4f}"
            )
    checkpoint.restore_best()
    return checkpoint.history


def _plan(recipe: Recipe, files: Sequence[LabelledFile], seed: int, variant: int) -> list[View]:
    plan_seed = [seed, variant]
    if recipe.mix is None:
        return plan_plain(files, plan_seed)
    return plan_views(files, recipe.mix, plan_seed)


def _validate(logits: np.ndarray, labels: np.ndarray, balance: np.ndarray) -> dict[str, float]:
    """Log loss and accuracy with every source counting alike, and in it every class."""
    margins = (logits[:, 1] - logits[:, 0]) * np.where(labels == 1, 1, -1)
    return {
        "val_loss": float(balance @ np.logaddexp(0, -margins)),
        "val_accuracy": float(balance @ (margins > 0)),
    }


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    rate: Any = recipe.learning_rate
    if recipe.cosine:
        warm_up = math.ceil(steps / 20)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warm_up, warmup_target=recipe.learning_rate, warmup_steps=warm_up
        )
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9)
    return keras.optimizers.Adam(rate)


class _Checkpoint:
    """The state after the last whole epoch and the weights of the best one, in one file."""

    def __init__(self, path: Path, tail: keras.Model) -> None:
        self.history: list[dict[str, float]] = []
        self._path = path
        self._tail = tail
        self._best: list[np.ndarray] = []

    def save(self, measured: dict[str, float]) -> None:
        """Note an epoch's figures and keep its state."""
        self.history.append(measured)
        if measured["val_loss"] == min(past["val_loss"] for past in self.history):
            self._best = self._tail.get_weights()
        arrays = {
            **{f"weight{i}": value for i, value in enumerate(self._tail.get_weights())},
            **{f"state{i}": v.numpy() for i, v in enumerate(self._tail.optimizer.variables)},
            **{f"best{i}": value for i, value in enumerate(self._best)},
        }
        unfinished = self._path.with_suffix(".tmp.npz")
        np.savez(unfinished, history=json.dumps(self.history), **arrays)
        unfinished.replace(self._path)

    def restore(self) -> None:
        """Go back to the last saved state, if there is one."""
        if not self._path.exists():
            return
        with np.load(self._path, allow_pickle=False) as saved:
            self.history = json.loads(str(saved["history"]))
            count = len(self._tail.get_weights())
            self._tail.set_weights([saved[f"weight{i}"] for i in range(count)])
            self._best = [saved[f"best{i}"] for i in range(count)]
            for index, variable in enumerate(self._tail.optimizer.variables):
                variable.assign(saved[f"state{index}"])

    def restore_best(self) -> None:
        self._tail.set_weights(self._best)


def _run_folder(
    out: Path, recipe: Recipe, seed: int, origin: str, files: Sequence[LabelledFile]
) -> Path:
    """The folder of this very run; one left by a run with other settings or photos is emptied."""
    described = {
        "recipe": asdict(recipe),
        "seed": seed,
        "start": origin,
        "files": [(str(file.path), file.path.stat().st_size) for file in files],
    }
    fingerprint = hashlib.sha256(json.dumps(described).encode()).hexdigest()
    run = out.with_suffix(".run")
    mark = run / "fingerprint"
    if run.exists() and not (mark.exists() and mark.read_text() == fingerprint):
        if any(run.iterdir()) and not mark.exists():
            raise TrainingError(f"{run} is in the way and was not written by a training run.")
        shutil.rmtree(run)
    try:
        run.mkdir(parents=True, exist_ok=True)
        mark.write_text(fingerprint)
    except OSError as error:
        raise TrainingError(
            f"Can't write to {out.parent} ({error.strerror}). "
            "Give --out a place that can be written."
        ) from error
    return run


def _use_bfloat16_if_native() -> None:
    """Let oneDNN compute in bfloat16 where the CPU has instructions for it."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    if "avx512_bf16" in flags or "amx_bf16" in flags:
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})


def _count(files: Sequence[LabelledFile]) -> dict[str, dict[str, int]]:
    counts = Counter((file.source, LABELS[file.label]) for file in files)
    sources = sorted({file.source for file in files})
    return {source: {label: counts[source, label] for label in LABELS} for source in sources}


def _versions() -> dict[str, str]:
    packages = ("tensorflow", "keras", "openvino", "numpy", "opencv-python-headless", "pillow")
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **{package: importlib.metadata.version(package) for package in packages},
    }
