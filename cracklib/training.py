"""One training run: recipe, cached features, fine-tuning, calibration, weights and card."""

from __future__ import annotations

import datetime
import errno
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
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from cracklib.architecture import HEAD, STRIDE
from cracklib.calibration import calibrate
from cracklib.classifier import find_tracer
from cracklib.config import INPUT_SIZE, LABELS, LARGE_INPUT_SIDE_PX, WINDOW_CELLS, engine_name
from cracklib.dataset import LabelledFile, find_split
from cracklib.engines import build_engine
from cracklib.errors import TrainingError
from cracklib.features import Batch, FeatureCache, look_at_views, split_model
from cracklib.metrics import balanced_weights
from cracklib.model import build_model, read_weights, start_weights
from cracklib.recipes import VAL_PER_CLASS, Recipe
from cracklib.types import FloatArray, Progress
from cracklib.views import (
    CRACK,
    NO_CRACK,
    View,
    plan_crops,
    plan_photos,
    plan_views,
    plan_wide_views,
)
from cracklib.weights import ModelCard, Weights, encode_weights, read_encoded, save_weights, sha256

Report = Callable[[dict[str, Any]], None]
"""Called with plain-valued events, told apart by "event": "features", "validating" (done, total
photos) and "calibrating" (done, total steps), "step" (step, steps, epoch, epochs, loss, accuracy,
photos_per_s, seconds_left), "epoch" (epoch, loss, accuracy, val_loss, val_accuracy) and "done"
(stopped). May raise ``StopTraining``, but for the last two kinds and "calibrating"."""


class StopTraining(Exception):  # noqa: N818 (as StopIteration)
    """Raised by a ``Report`` to end the run with the best of the epochs that are over."""


WIDE_VARIANTS = 2
"""Sets of wide views that are made and cached."""
CRACK_EVIDENCE = 12.0
CLEAN_EVIDENCE = -2.0


def train(
    data: Path,
    out: Path,
    recipe: Recipe,
    *,
    seed: int = 0,
    without: Collection[str] = (),
    report: Report | None = None,
) -> ModelCard:
    """Train on ``data/train``, choose the epoch and calibrate on ``data/val``, write ``out``.

    Photos of the sources ``without`` are used for nothing, so that the model can be measured on
    surfaces it never saw. Progress is kept in ``<out>.run/`` beside the weights until they are
    written: the same call goes on where a killed one stopped. The same call on the same machine
    gives the same weights. ``report`` is told how far the run is and may end it early. Raises
    ``TrainingError``, ``DatasetError``, ``WeightsError`` and ``PhotoError``.
    """
    report = report or (lambda _: None)
    start_s = time.monotonic()
    train_files, val_files = _leave_out(without, *find_split(data))
    _set_up_tensorflow(seed)
    weights, origin = start_weights(recipe.start, recipe.feature_layer)
    run = _run_folder(out, recipe, seed, origin, [*train_files, *val_files])
    model = build_model(recipe.feature_layer, weights)
    with _full_disk_told(run):
        history, stopped = _fit(model, recipe, seed, train_files, val_files, run, report)
        encoded = encode_weights(_average(weights, read_weights(model), recipe.start_share))
        tuned = read_encoded(encoded)
        calibrated = calibrate(
            tuned,
            recipe.feature_layer,
            val_files,
            find_tracer(tuned),
            lambda done, total: report({"event": "calibrating", "done": done, "total": total}),
        )
        card = ModelCard(
            name=out.stem,
            sha256=sha256(encoded),
            feature_layer=recipe.feature_layer,
            start=origin,
            recipe={**asdict(recipe), "history": history},
            seed=seed,
            data=_count(train_files),
            versions=_versions(),
            created=datetime.datetime.now(datetime.UTC).date().isoformat(),
            minutes=round((time.monotonic() - start_s) / 60, 1),
            **calibrated,  # type: ignore[arg-type]
        )
        save_weights(out, encoded, card)
    shutil.rmtree(run)
    report({"event": "done", "stopped": stopped})
    return card


def parts_of_run(recipe: Recipe) -> tuple[Callable[[], object], ...]:
    """What a run does with one batch, to be timed: frozen layers, training step, calibration."""
    _set_up_tensorflow(0)
    weights, _ = start_weights("bundled", recipe.feature_layer)
    prefix, tail = split_model(build_model(recipe.feature_layer, weights), recipe.trainable)
    step = _training_step(recipe, tail, _Optimizers(recipe, tail, 1), np.ones(2, np.float32))
    engine = build_engine(engine_name(), weights, recipe.feature_layer)
    batch = np.zeros((recipe.batch_size, *INPUT_SIZE, 3), np.float32)
    features = np.asarray(prefix.predict_on_batch(batch))
    labels = np.zeros(recipe.batch_size, np.int64)
    cells = np.zeros((recipe.batch_size, *(side // STRIDE for side in INPUT_SIZE)), np.int8)
    return (
        lambda: prefix.predict_on_batch(batch),
        lambda: step(features, labels, cells, False)[0].numpy(),
        lambda: [engine.describe(photo[None]) for photo in batch],
    )


def _fit(
    model: keras.Model,
    recipe: Recipe,
    seed: int,
    train_files: Sequence[LabelledFile],
    val_files: Sequence[LabelledFile],
    run: Path,
    report: Report,
) -> tuple[list[dict[str, float]], bool]:
    """Train ``model`` in place and leave it with the weights of its best epoch.

    Returns the figures of each epoch and whether ``report`` ended the run.
    """

    def report_features(done: int, total: int) -> None:
        report({"event": "features", "done": done, "total": total})

    def report_validating(done: int, total: int) -> None:
        report({"event": "validating", "done": done, "total": total})

    prefix, tail = split_model(model, recipe.trainable)
    watched = _thin_out(val_files, VAL_PER_CLASS)
    whole = [View("whole", file.label, (file,), 0) for file in watched]
    val = FeatureCache(run / "val.npy", whole, prefix, INPUT_SIZE[0])
    hard: list[View] = []
    if recipe.augmentation == "rendered" and recipe.mix.hard:
        hard = _hardest(plan_crops(train_files, recipe.mix, [seed]), recipe.mix.hard, model)
    variants = [
        FeatureCache(
            run / f"variant{i}.npy", _plan(recipe, train_files, seed, i) + hard, prefix, side_px
        )
        for i, side_px in enumerate(recipe.sides_px)
    ]
    wide = [
        FeatureCache(
            run / f"wide{i}.npy",
            plan_wide_views(train_files, recipe.mix, [seed, i]),
            prefix,
            LARGE_INPUT_SIDE_PX,
        )
        for i in range(min(WIDE_VARIANTS, recipe.epochs) if recipe.has_wide_views else 0)
    ]

    def seen_in(epoch: int) -> list[tuple[FeatureCache, int]]:
        """The sets of views of an epoch, each with its batch size."""
        sets = [(variants[epoch % len(variants)], recipe.batch_size)]
        if wide:
            # A wide view has twice the cells, and the memory of a step is that of its cells.
            sets.append((wide[epoch % len(wide)], max(2, recipe.batch_size // 2)))
        return sets

    steps = [
        sum(math.ceil(len(features) / size) for features, size in seen_in(epoch))
        for epoch in range(recipe.epochs)
    ]
    optimizers = _Optimizers(recipe, tail, sum(steps))
    step = _training_step(recipe, tail, optimizers, _class_weights(recipe, variants[0].labels))
    checkpoint = _Checkpoint(run / "checkpoint.npz", tail, optimizers.variables)
    checkpoint.restore()
    balance = balanced_weights(val.labels, [file.source for file in watched])

    def run_epoch(epoch: int, bar: tqdm[Any]) -> dict[str, float]:
        for features, _ in seen_in(epoch):
            features.fill(f"features of {features.name}", report_features)
        bar.unpause()
        losses: list[float] = []
        hits = photos = 0
        start_s = time.monotonic()
        rng = np.random.default_rng((seed, epoch))
        for batch in _interleave(seen_in(epoch), rng):
            is_wide = batch.cells.shape[1] == LARGE_INPUT_SIDE_PX // STRIDE
            loss, right = step(batch.features, batch.labels, batch.cells, is_wide)
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
                    "seconds_left": (sum(steps) - bar.n) * photos / (len(losses) * speed),
                }
            )
        if not np.isfinite(losses).all():
            raise TrainingError("The loss is not finite. Use a smaller learning rate.")
        return {"loss": float(np.mean(losses)), "accuracy": hits / photos}

    stopped = False
    try:
        val.fill("validation photos", report_features)
        with tqdm(total=sum(steps), desc="training", unit="step", mininterval=1) as bar:
            bar.update(sum(steps[: len(checkpoint.history)]))
            for epoch in range(len(checkpoint.history), recipe.epochs):
                if _out_of_patience(recipe.patience, checkpoint.history):
                    break
                figures = run_epoch(epoch, bar)
                figures |= _validate(tail, val, balance, report_validating)
                checkpoint.save(figures)
                report({"event": "epoch", "epoch": epoch + 1, **figures})
                tqdm.write(
                    f"epoch {epoch + 1}/{recipe.epochs}: loss {figures['loss']:.4f}, validation "
                    f"loss {figures['val_loss']:.4f}, accuracy {figures['val_accuracy']:.4f}"
                )
    except StopTraining:
        stopped = True
        if not checkpoint.history:
            raise TrainingError(
                "Stopped before the first epoch was over: nothing to keep."
            ) from None
    checkpoint.restore_best()
    return checkpoint.history, stopped


def _leave_out(
    without: Collection[str], *parts: Sequence[LabelledFile]
) -> Iterator[list[LabelledFile]]:
    """Each of ``parts`` less the photos of the sources ``without``. Raises ``TrainingError``."""
    known = sorted({file.source for files in parts for file in files})
    if unknown := sorted(set(without) - set(known)):
        raise TrainingError(
            f"There are no photos of {', '.join(unknown)} to leave out. The sources are "
            f"{', '.join(known)}."
        )
    for files in parts:
        left = [file for file in files if file.source not in without]
        if without and {file.label for file in left} != {0, 1}:
            raise TrainingError(
                f"Without {', '.join(sorted(without))} there are not both cracked and sound photos "
                "left to train on and to validate on. Leave out fewer sources."
            )
        yield left


def _average(start: Weights, tuned: Weights, start_share: float) -> Weights:
    """WiSE-FT: every weight between where the run started and where it ended."""
    if start_share == 0:
        return tuned
    return {
        name: (start_share * start[name] + (1 - start_share) * tuned[name]).astype(np.float32)
        for name in tuned
    }


def _out_of_patience(patience: int, history: Sequence[dict[str, float]]) -> bool:
    """Whether the last ``patience`` epochs all had no lower validation loss than one before."""
    losses = [figures["val_loss"] for figures in history]
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def _class_weights(recipe: Recipe, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """What a photo of each label counts, 1 in the mean over photos."""
    counts = np.bincount(labels, minlength=len(LABELS))
    if not recipe.class_weights:
        return np.ones(len(LABELS), np.float32)
    return (len(labels) / (len(LABELS) * np.maximum(counts, 1))).astype(np.float32)


def _thin_out(files: Sequence[LabelledFile], per_class: int) -> list[LabelledFile]:
    """At most ``per_class`` of each source and label, evenly spaced."""
    cells: defaultdict[tuple[str, int], list[LabelledFile]] = defaultdict(list)
    for file in files:
        cells[file.source, file.label].append(file)
    return [file for cell in cells.values() for file in cell[:: math.ceil(len(cell) / per_class)]]


def shuffle(views: Sequence[View], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random order in which the halves of a pair follow each other.

    In one batch, where nearly all of them are, they cancel out in everything but the crack.
    """
    groups = [
        [index for index, _ in group]
        for _, group in itertools.groupby(enumerate(views), key=lambda item: item[1].seed)
    ]
    return np.array([index for at in rng.permutation(len(groups)) for index in groups[at]])


def _interleave(
    sets: Sequence[tuple[FeatureCache, int]], rng: np.random.Generator
) -> Iterator[Batch]:
    """The batches of every set, of the size given with it, in one random order."""
    turns = [
        number
        for number, (features, size) in enumerate(sets)
        for _ in range(math.ceil(len(features) / size))
    ]
    batches = [features.batches(size, shuffle(features.views, rng)) for features, size in sets]
    for number in rng.permutation(turns):
        yield next(batches[number])


_KINDS: dict[str, Literal["whole", "plain", "photo"]] = {
    "none": "whole",
    "article": "plain",
    "strong": "photo",
}


def _plan(recipe: Recipe, files: Sequence[LabelledFile], seed: int, variant: int) -> list[View]:
    plan_seed = [seed, variant]
    if recipe.augmentation == "rendered":
        return plan_views(files, recipe.mix, plan_seed)
    return plan_photos(files, _KINDS[recipe.augmentation], plan_seed)


def _hardest(crops: Sequence[Sequence[View]], count: int, model: keras.Model) -> list[View]:
    """Of every photo the crop that ``model`` most takes for a crack; the ``count`` worst of them.

    Hard negative mining (Shrivastava et al. 2016, https://arxiv.org/abs/1604.03540), once.
    """
    seen = look_at_views([crop for of_photo in crops for crop in of_photo], INPUT_SIZE[0], model)
    logits = np.concatenate([outputs["logits"] for outputs, _ in seen])
    log_odds = (logits[:, 1] - logits[:, 0]).reshape(len(crops), -1)
    worst = np.argsort(-log_odds.max(axis=1), kind="stable")[:count]
    return [crops[photo][int(log_odds[photo].argmax())] for photo in worst]


def _validate(
    tail: keras.Model, val: FeatureCache, balance: NDArray[np.float64], progress: Progress
) -> dict[str, float]:
    """Log loss and accuracy with every source counting alike, and in it every class."""
    seen: list[FloatArray] = []
    for batch in val.batches(32):
        seen += list(tail.predict_on_batch(batch.features)["logits"])
        progress(len(seen), len(val))
    logits = np.stack(seen)
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
            0.0, max(1, steps - warm_up), warmup_target=rate, warmup_steps=warm_up
        )
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9)
    return keras.optimizers.Adam(rate)


def _training_step(
    recipe: Recipe,
    tail: keras.Model,
    optimizers: _Optimizers,
    class_weights: NDArray[np.float32],
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """A function of (features, labels, cells, in_windows) that trains on one batch.

    ``in_windows`` judges photos by their strongest window, as large ones are. Returned are the
    batch's loss and how many of its photos were judged right before the step.
    """
    kernel, bias = tail.get_layer(HEAD).trainable_variables
    weigh_cells = recipe.cell_weight > 0 and "feature_map" in tail.output_names

    def step(
        features: tf.Tensor, labels: tf.Tensor, cells: tf.Tensor, in_windows: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        targets = tf.cast(labels, tf.float32) * (1 - recipe.label_smoothing)
        targets += recipe.label_smoothing / 2
        with tf.GradientTape() as tape:
            seen = tail(features, training=True)
            log_odds = seen["logits"][:, 1] - seen["logits"][:, 0]
            if weigh_cells:
                evidence = tf.tensordot(seen["feature_map"], kernel[:, 1] - kernel[:, 0], 1)
                evidence += bias[1] - bias[0]
                if in_windows:
                    log_odds = strongest_window(evidence)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, log_odds)
            loss = tf.reduce_mean(tf.gather(class_weights, labels) * losses)
            if weigh_cells:
                loss += recipe.cell_weight * cell_loss(cells, evidence)
        optimizers.apply(tape.gradient(loss, optimizers.trained))
        return loss, tf.math.count_nonzero((log_odds > 0) == (labels == CRACK))

    compiled: Callable[..., tuple[tf.Tensor, tf.Tensor]] = tf.function(step, reduce_retracing=True)
    return compiled


def strongest_window(evidence: tf.Tensor) -> tf.Tensor:
    """``cam.strongest_window`` of every map of a batch, float32 (n, rows, columns) to (n,)."""
    means = tf.nn.avg_pool2d(evidence[..., None], WINDOW_CELLS, strides=1, padding="VALID")
    return tf.reduce_max(means, axis=(1, 2, 3))


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


@contextmanager
def _full_disk_told(run: Path) -> Iterator[None]:
    """Raise ``TrainingError`` where there is no room for what is written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrainingError(
            f"The disk that holds {run.parent} is full. Free some; the same run then goes on "
            "where it stopped."
        ) from error


def _set_up_tensorflow(seed: int) -> None:
    """Same results each time, in bfloat16 where the CPU has instructions for it."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
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
