"""How long a training run takes: measured shortly on this machine, then worked out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from cracklib.calibration import SCENES, SQUARE_PX
from cracklib.config import INPUT_SIZE, LARGE_INPUT_SIDE_PX
from cracklib.looks import FIRST_LOOK_SIZE, LARGEST_SHARE
from cracklib.recipes import VAL_PER_CLASS, Recipe, Trainable, resolve_recipe


@dataclass(frozen=True)
class Speed:
    """Seconds that a run takes to start, and seconds a photo of 224 px: for the frozen layers, for
    a training step, and for the calibration.
    """

    start_s: float
    features_s: float
    step_s: float
    calibrate_s: float


def estimate_s(recipe: Recipe, n_train: int, n_val: int, speed: Speed) -> float:
    """Seconds that a run on photos of one source takes, if it goes to its last epoch.

    A photo that only goes forward, in validation, takes a third of a training step. The calibration
    looks twice at photos and scenes, and at photos once from near and once from afar.
    """
    views, watched = n_train, min(n_val, 2 * VAL_PER_CLASS)
    if recipe.augmentation == "rendered":
        views = min(max(n_train, 2 * recipe.mix.per_class_min), 2 * recipe.mix.per_class_max)
        views += 2 * recipe.mix.pairs + recipe.mix.mosaics
    sets = [(side_px / INPUT_SIZE[0]) ** 2 for side_px in recipe.sides_px]
    epochs = [sets[epoch % len(sets)] for epoch in range(recipe.epochs)]
    photos = n_val * (FIRST_LOOK_SIZE[0] / INPUT_SIZE[0]) ** 2
    scenes = 4 * min(SCENES, n_val) * (LARGE_INPUT_SIDE_PX / INPUT_SIZE[0]) ** 2
    twice = (1 + LARGEST_SHARE**2) * (photos + scenes)
    once = n_val * (1 + (SQUARE_PX / INPUT_SIZE[0]) ** 2)
    return (
        speed.start_s
        + speed.features_s * (views * sum(sets) + watched)
        + speed.step_s * (views * sum(epochs) + watched * recipe.epochs / 3)
        + speed.calibrate_s * (twice + once)
    )


def measure_speeds() -> dict[Trainable, Speed]:
    """For each choice of what is trained; takes about 20 s on 2 cores."""
    start = time.perf_counter()
    from cracklib.training import parts_of_run

    import_s = time.perf_counter() - start
    speeds = {}
    for trainable in get_args(Trainable):
        recipe = resolve_recipe("session", trainable=trainable, batch_size=8)
        start = time.perf_counter()
        parts = parts_of_run(recipe)
        for part in parts:
            part()
        first_s = import_s + time.perf_counter() - start
        again_s = [_seconds(part) for part in parts]
        speeds[trainable] = Speed(
            first_s - sum(again_s), *(seconds / recipe.batch_size for seconds in again_s)
        )
    return speeds


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
