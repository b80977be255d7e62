"""One training run: recipe, cached features, fine-tuning, calibration, weights and card."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import itertools
import json
import math
import os
import platform
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from cracklib.architecture import HEAD, FeatureLayer
from cracklib.calibration import calibrate
from cracklib.config import INPUT_SIZE, LABELS, STARTS
from cracklib.dataset import LabelledFile, find_split
from cracklib.errors import TrainingError
from cracklib.features import BOUNDARIES, FeatureCache, Trainable, split_model
from cracklib.metrics import balanced_weights
from cracklib.model import build_model, read_weights, start_weights
from cracklib.views import CRACK, NO_CRACK, Mix, View, plan_plain, plan_views
from cracklib.weights import ModelCard, encode_weights, read_encoded, save_weights, sha256

Report = Callable[[dict[str, Any]], None]
"""Called with plain-valued events, told apart by "event": "features" and "calibrating" (done,
total), "step" (step, steps, epoch, epochs, loss, accuracy, photos_per_s, seconds_left), "epoch"
(epoch, loss, accuracy, val_loss, val_accuracy) and "done" (stopped). May raise ``StopTraining``."""


class StopTraining(Exception):  # noqa: N818 (as StopIteration)
    """Raised by a ``Report`` to end the run with the best of the epochs that are over."""


@dataclass(frozen=True)
class Recipe:
    """How to train. ``mix`` of None shows every photo once an epoch, augmented as the article did.

    ``variants`` has the side in pixels of every differently augmented set of views that is made and
    cached; epochs take them in turn. ``learning_rate`` is the highest, and the head's is
    ``head_rate`` times that: with ``cosine`` it is warmed up to over a twentieth of the run and
    falls to 0 along a cosine, else it is constant. ``cell_weight`` is that of the loss over the
    cells known to be cracked or not beside the loss over photos.
    """

    name: str
    feature_layer: FeatureLayer
    start: str
    trainable: Trainable
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    head_rate: float
    cosine: bool
    label_smoothing: float
    cell_weight: float
    variants: tuple[int, ...]
    mix: Mix | None


_VAL_PER_CLASS = 100
"""Photos of a source and label that an epoch is judged on; the calibration takes all."""
CRACK_EVIDENCE = 12.0
CLEAN_EVIDENCE = -2.0

_DEFAULT = Recipe(
    name="default",
    feature_layer="block5_conv3",
    start="hed",
    trainable="block4-5",
    epochs=8,
    batch_size=32,
    optimizer="adam",
    learning_rate=1e-4,
    head_rate=10.0,
    cosine=True,
    label_smoothing=0.02,
    cell_weight=0.1,
    variants=(160, 160, 160, 224),
    mix=Mix(per_class_min=200, per_class_max=400, pairs=1200, mosaics=300),
)

RECIPES = {
    "default": _DEFAULT,
    "quick": replace(_DEFAULT, name="quick", epochs=3, variants=(160,)),
    "article": Recipe(
        name="article",
        feature_layer="block5_pool",
        start="imagenet",
        trainable="block4-5",
        epochs=10,
        batch_size=16,
        optimizer="sgd",
        learning_rate=1e-4,
        head_rate=1.0,
        cosine=False,
        label_smoothing=0.0,
        cell_weight=0.0,
        variants=(224,),
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
    without: Collection[str] = (),
    report: Report | None = None,
) -> ModelCard:
    """Train on ``data/train``, choose the epoch and calibrate on ``data/val``, write ``out``.

    What is None is as the recipe has it. Photos of the sources ``without`` are used for nothing,
    so that the model can be measured on surfaces it never saw. Progress is kept in ``<out>.run/``
    beside the weights until they are written: the same call goes on where a killed one stopped.
    The same call on the same machine gives the same weights. ``report`` is told how far the run is
    and may end it early. Raises ``TrainingError``, ``DatasetError``, ``WeightsError`` and
    ``PhotoError``.
    """
    report = report or (lambda _: None)
    settings = resolve_recipe(recipe, start, trainable, epochs, batch_size)
    train_files, val_files = (
        [file for file in files if file.source not in without] for files in find_split(data)
    )
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    _use_bfloat16_if_native()

    weights, origin = start_weights(settings.start, settings.feature_layer)
    run = _run_folder(out, settings, seed, origin, [*train_files, *val_files])
    model = build_model(settings.feature_layer, weights)
    history = _fit(model, settings, seed, train_files, val_files, run, report)

    encoded = encode_weights(read_weights(model))
    calibrated = calibrate(
        read_encoded(encoded),
        settings.feature_layer,
        val_files,
        lambda done, total: report({"event": "calibrating", "done": done, "total": total}),
    )
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
        **calibrated,  # type: ignore[arg-type]
    )
    save_weights(out, encoded, card)
    shutil.rmtree(run)
    report({"event": "done", "stopped": len(history) < settings.epochs})
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
    report: Report,
) -> list[dict[str, float]]:
    """Train ``model`` in place and leave it with the weights of its best epoch."""

    def report_features(done: int, total: int) -> None:
        report({"event": "features", "done": done, "total": total})

    prefix, tail = split_model(model, recipe.trainable)
    watched = _thin_out(val_files, _VAL_PER_CLASS)
    whole = [View("whole", file.label, (file,), 0) for file in watched]
    val = FeatureCache(run / "val.npy", whole, prefix, INPUT_SIZE[0])
    variants = [
        FeatureCache(run / f"variant{i}.npy", _plan(recipe, train_files, seed, i), prefix, side_px)
        for i, side_px in enumerate(recipe.variants[: recipe.epochs])
    ]
    steps = [
        math.ceil(len(variants[epoch % len(variants)]) / recipe.batch_size)
        for epoch in range(recipe.epochs)
    ]
    optimizers = _Optimizers(recipe, tail, sum(steps))
    step = _training_step(recipe, tail, optimizers)
    checkpoint = _Checkpoint(run / "checkpoint.npz", tail, optimizers.variables)
    checkpoint.restore()
    balance = balanced_weights(val.labels, [file.source for file in watched])

    def run_epoch(epoch: int, bar: tqdm[Any]) -> dict[str, float]:
        features = variants[epoch % len(variants)]
        features.fill(f"features of variant {epoch % len(variants) + 1}", report_features)
        bar.unpause()
        losses: list[float] = []
        hits = photos = 0
        start_s = time.monotonic()
        order = shuffle(features.views, np.random.default_rng((seed, epoch)))
        for batch in features.batches(recipe.batch_size, order):
            loss, right = step(batch.features, batch.labels, batch.cells)
            losses.append(float(loss))
            hits += int(right)
            photos += len(batch.labels)
            bar.update()
            bar.set_postfix(epoch=epoch + 1, loss=f"{np.mean(losses[-50:]):.3f}")
            speed = photos / (time.monotonic() - start_s)
            report(
                {
                    "event": "step",
                    "step": bar.n,
                    "steps": sum(steps),
                    "epoch": epoch + 1,
                    "epochs": recipe.epochs,
                    "loss": float(np.mean(losses[-50:])),
                    "accuracy": hits / photos,
                    "photos_per_s": speed,
                    "seconds_left": (sum(steps) - bar.n) * recipe.batch_size / speed,
                }
            )
        if not np.isfinite(losses).all():
            raise TrainingError("The loss is not finite. Use a smaller batch or another seed.")
        return {"loss": float(np.mean(losses)), "accuracy": hits / photos}

    try:
        val.fill("validation photos", report_features)
        with tqdm(total=sum(steps), desc="training", unit="step", mininterval=1) as bar:
            bar.update(sum(steps[: len(checkpoint.history)]))
            for epoch in range(len(checkpoint.history), recipe.epochs):
                figures = run_epoch(epoch, bar) | _validate(tail, val, balance)
                checkpoint.save(figures)
                report({"event": "epoch", "epoch": epoch + 1, **figures})
                tqdm.write(
                    f"epoch {epoch + 1}/{recipe.epochs}: loss {figures['loss']:.4f}, validation "
                    f"loss {figures['val_loss']:.4f}, accuracy {figures['val_accuracy']:.4f}"
                )
    except StopTraining:
        if not checkpoint.history:
            raise TrainingError(
                "Stopped before the first epoch was over: nothing to keep."
            ) from None
    checkpoint.restore_best()
    return checkpoint.history


def _thin_out(files: Sequence[LabelledFile], per_class: int) -> list[LabelledFile]:
    """At most ``per_class`` of each source and label, evenly spaced."""
    cells: defaultdict[tuple[str, int], list[LabelledFile]] = defaultdict(list)
    for file in files:
        cells[file.source, file.label].append(file)
    return [file for cell in cells.values() for file in cell[:: math.ceil(len(cell) / per_class)]]


def shuffle(views: Sequence[View], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random order in which the halves of a pair follow each other.

    In one batch they cancel out in everything but the crack.
    """
    groups = [
        [index for index, _ in group]
        for _, group in itertools.groupby(
            enumerate(views), key=lambda item: (item[1].kind == "pair", item[1].seed)
        )
    ]
    return np.array([index for at in rng.permutation(len(groups)) for index in groups[at]])


def _plan(recipe: Recipe, files: Sequence[LabelledFile], seed: int, variant: int) -> list[View]:
    plan_seed = [seed, variant]
    if recipe.mix is None:
        return plan_plain(files, plan_seed)
    return plan_views(files, recipe.mix, plan_seed)


def _validate(
    tail: keras.Model, val: FeatureCache, balance: NDArray[np.float64]
) -> dict[str, float]:
    """Log loss and accuracy with every source counting alike, and in it every class."""
    logits = np.concatenate(
        [tail.predict_on_batch(batch.features)["logits"] for batch in val.batches(32)]
    )
    margins = (logits[:, 1] - logits[:, 0]) * np.where(val.labels == 1, 1, -1)
    return {
        "val_loss": float(balance @ np.logaddexp(0, -margins)),
        "val_accuracy": float(balance @ (margins > 0)),
    }


class _Optimizers:
    """One for the convolutions and one, faster, for the head.

    A head that lags behind bends the features instead (Kumar et al. 2022,
    https://arxiv.org/abs/2202.10054).
    """

    def __init__(self, recipe: Recipe, tail: keras.Model, steps: int) -> None:
        head = tail.get_layer(HEAD).trainable_variables
        of_head = {id(variable) for variable in head}
        base = [v for v in tail.trainable_variables if id(v) not in of_head]
        self._parts = [
            (_optimizer(recipe, rate, steps), variables)
            for rate, variables in ((recipe.head_rate, head), (1.0, base))
            if variables
        ]
        for optimizer, variables in self._parts:
            optimizer.build(variables)
        self.trained = [variable for _, variables in self._parts for variable in variables]
        self.variables = [v for optimizer, _ in self._parts for v in optimizer.variables]

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """One step; ``gradients`` are those of ``trained``."""
        given = iter(gradients)
        for optimizer, variables in self._parts:
            optimizer.apply(list(itertools.islice(given, len(variables))), variables)


def _optimizer(recipe: Recipe, factor: float, steps: int) -> keras.optimizers.Optimizer:
    rate: Any = factor * recipe.learning_rate
    if recipe.cosine:
        warm_up = math.ceil(steps / 20)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warm_up, warmup_target=rate, warmup_steps=warm_up
        )
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9)
    return keras.optimizers.Adam(rate)


def _training_step(
    recipe: Recipe, tail: keras.Model, optimizers: _Optimizers
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """A function of (features, labels, cells) that trains on one batch.

    It returns the batch's loss and how many of its photos were judged right before the step.
    """
    kernel, bias = tail.get_layer(HEAD).trainable_variables
    weigh_cells = recipe.cell_weight > 0 and "feature_map" in tail.output_names

    def step(
        features: tf.Tensor, labels: tf.Tensor, cells: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        smoothed = tf.one_hot(labels, len(LABELS)) * (1 - recipe.label_smoothing)
        targets = smoothed + recipe.label_smoothing / len(LABELS)
        with tf.GradientTape() as tape:
            seen = tail(features, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, seen["logits"]))
            if weigh_cells:
                evidence = tf.tensordot(seen["feature_map"], kernel[:, 1] - kernel[:, 0], 1)
                evidence += bias[1] - bias[0]
                loss += recipe.cell_weight * cell_loss(cells, evidence)
        optimizers.apply(tape.gradient(loss, optimizers.trained))
        judged = tf.argmax(seen["logits"], axis=1, output_type=labels.dtype)
        return loss, tf.math.count_nonzero(judged == labels)

    compiled: Callable[..., tuple[tf.Tensor, tf.Tensor]] = tf.function(step, reduce_retracing=True)
    return compiled


def cell_loss(cells: tf.Tensor, evidence: tf.Tensor) -> tf.Tensor:
    """How far the class activation map is from where cracks are known to be, a scalar.

    ``cells`` int8 (n, rows, columns): 1 cracked, 0 not, -1 unknown; ``evidence`` the map in
    log-odds, float32 of the same shape. Its mean is the photo's log-odds, so the few cells of a
    crack must outweigh all others: they are drawn above ``CRACK_EVIDENCE``, the clean ones only
    below ``CLEAN_EVIDENCE``. Either kind counts the same in every photo that has it.
    """
    cracked = tf.cast(cells == CRACK, tf.float32)
    clean = tf.cast(cells == NO_CRACK, tf.float32)

    def mean_over(part: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        total = tf.reduce_sum(part * values, axis=(1, 2))
        return total / tf.maximum(tf.reduce_sum(part, axis=(1, 2)), 1.0)

    missed = mean_over(cracked, tf.nn.softplus((CRACK_EVIDENCE - evidence) / 4))
    imagined = mean_over(clean, tf.nn.softplus(evidence - CLEAN_EVIDENCE))
    return tf.reduce_mean(missed + imagined)


class _Checkpoint:
    """The state after the last whole epoch and the weights of the best one, in one file."""

    def __init__(
        self, path: Path, tail: keras.Model, optimizer_state: Sequence[keras.Variable]
    ) -> None:
        self.history: list[dict[str, float]] = []
        self._path = path
        self._tail = tail
        self._optimizer_state = optimizer_state
        self._best: list[np.ndarray] = []

    def save(self, measured: dict[str, float]) -> None:
        """Note an epoch's figures and keep its state."""
        self.history.append(measured)
        if measured["val_loss"] == min(past["val_loss"] for past in self.history):
            self._best = self._tail.get_weights()
        arrays = {
            **{f"weight{i}": value for i, value in enumerate(self._tail.get_weights())},
            **{f"state{i}": v.numpy() for i, v in enumerate(self._optimizer_state)},
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
            for index, variable in enumerate(self._optimizer_state):
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
