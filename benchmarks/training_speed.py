"""Fine-tuning the last two blocks on cached features, against ``model.fit`` on the whole network.

``python -m benchmarks.training_speed DATA``, where DATA holds ``train/`` and ``val/``

Both train with the article's optimiser, rate and batch, from the same weights, on the same photos
without augmentation in the same order, each in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import print_table
from cracklib.architecture import HEAD
from cracklib.config import LABELS, STARTS
from cracklib.dataset import LabelledFile, find_split
from cracklib.metrics import balanced_weights
from cracklib.recipes import VAL_PER_CLASS, Recipe, resolve_recipe

SEED = 0


class Run(NamedTuple):
    """``first_s`` has what was cached in the first epoch, ``epoch_s`` is the median without.

    Validation is in neither. ``accuracy`` is that after the last epoch, on validation photos.
    """

    first_s: float
    epoch_s: float
    accuracy: float


def train_cached(data: Path, recipe: Recipe) -> Run:
    """``cracklib.training.train``."""
    from cracklib.training import train

    filled_s: list[float] = []
    epochs_s: list[float] = []
    accuracy = start_s = step_s = 0.0

    def report(event: dict[str, Any]) -> None:
        nonlocal accuracy, start_s, step_s
        now_s = time.perf_counter()
        match event["event"]:
            case "features" if event["done"] == event["total"]:  # validation photos, then the rest
                filled_s.append(now_s)
                start_s = now_s
            case "step":
                step_s = now_s
            case "epoch":
                epochs_s.append(step_s - start_s)
                start_s, accuracy = now_s, event["val_accuracy"]

    train(data, data / "model.safetensors", recipe, seed=SEED, report=report)
    caching_s = filled_s[1] - filled_s[0]
    return Run(caching_s + epochs_s[0], median(epochs_s), accuracy)


def train_whole(data: Path, recipe: Recipe) -> Run:
    """Keras's own ``fit`` in float32, over pictures decoded beforehand."""
    import keras

    from cracklib.model import build_model, start_weights
    from cracklib.preprocess import preprocess_pixels
    from cracklib.training import shuffle
    from cracklib.views import make_view, plan_photos

    train_files, val_files = find_split(data)
    views = plan_photos(train_files, "whole", [SEED])
    val_views = plan_photos(val_files, "whole", [SEED])
    photos, val_photos = (
        preprocess_pixels(np.stack([make_view(view).pixels for view in part]))
        for part in (views, val_views)
    )
    labels, val_labels = (np.array([view.label for view in part]) for part in (views, val_views))
    balance = balanced_weights(val_labels, [file.source for file in val_files])

    keras.utils.set_random_seed(SEED)
    weights, _ = start_weights(recipe.start, recipe.feature_layer)
    network = build_model(recipe.feature_layer, weights)
    for layer in network.layers:
        layer.trainable = layer.name.startswith(("block4", "block5", HEAD))
    model = keras.Model(network.input, network.output["logits"])
    model.compile(
        keras.optimizers.SGD(recipe.learning_rate, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    epochs_s = []
    for epoch in range(recipe.epochs):
        order = shuffle(views, np.random.default_rng((SEED, epoch)))
        x, y = photos[order], labels[order]
        start = time.perf_counter()
        model.fit(x, y, recipe.batch_size, shuffle=False, verbose=0)
        epochs_s.append(time.perf_counter() - start)
    right = model.predict(val_photos, verbose=0).argmax(axis=1) == val_labels
    return Run(epochs_s[0], median(epochs_s), float(balance @ right))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed")
    parser.add_argument("data", type=Path)
    parser.add_argument("--photos", type=int, default=400, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--start", choices=STARTS, default="hed", help="default: %(default)s")
    options = parser.parse_args()
    recipe = resolve_recipe(
        "article", augmentation="none", start=options.start, epochs=options.epochs
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        train_files, val_files = find_split(options.data)
        n_photos = _sample(train_files, options.photos // 2, folder / "train")
        _sample(val_files, min(options.photos // 4, VAL_PER_CLASS), folder / "val")
        ours, theirs = (_run(train, folder, recipe) for train in (train_cached, train_whole))
    rows = [
        [
            f"{what}, s a photo",
            f"{own_s / n_photos:.3f}",
            f"{other_s / n_photos:.3f}",
            f"{other_s / own_s:.1f}× faster",
            f"≥ {bar}×",
        ]
        for what, own_s, other_s, bar in (
            ("an epoch", ours.epoch_s, theirs.epoch_s, 3),
            ("the first epoch with its caching", ours.first_s, theirs.first_s, 2),
        )
    ]
    print_table(
        [f"last two blocks, {n_photos} photos", "cached features", "`model.fit`", "", "bar"],
        [
            *rows,
            [
                f"validation accuracy after {recipe.epochs} epochs, %",
                f"{100 * ours.accuracy:.1f}",
                f"{100 * theirs.accuracy:.1f}",
                f"{100 * (ours.accuracy - theirs.accuracy):+.1f} points",
                "± 1 point",
            ],
        ],
    )


def _run(train: Callable[[Path, Recipe], Run], data: Path, recipe: Recipe) -> Run:
    """In a process of its own: options of TensorFlow can't be taken back."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(train, data, recipe).result()


def _sample(files: Sequence[LabelledFile], per_class: int, folder: Path) -> int:
    """Link ``per_class`` photos of each class, or all there are, into ``folder``."""
    rng = np.random.default_rng(SEED)
    count = 0
    for label, name in enumerate(LABELS):
        (folder / name).mkdir(parents=True)
        of_label = [file.path for file in files if file.label == label]
        for index in rng.permutation(len(of_label))[:per_class]:
            path = of_label[index]
            (folder / name / path.name).symlink_to(path.resolve())
            count += 1
    return count


if __name__ == "__main__":
    main()
