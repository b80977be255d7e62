"""What a training run can be told. No framework is imported, so that pages can ask too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from cracklib.architecture import FeatureLayer
from cracklib.config import AUGMENTATIONS, OPTIMIZERS, STARTS
from cracklib.errors import TrainingError
from cracklib.views import Mix

Trainable = Literal["head", "block5", "block4-5"]
"""Layers a training run can change."""

CHANGEABLE = (
    *("trainable", "start", "epochs", "batch_size", "optimizer", "learning_rate"),
    *("augmentation", "class_weights", "patience"),
)
"""Fields of a ``Recipe`` that the command line and the Train page can change."""

VAL_PER_CLASS = 100
"""Photos of a source and label that an epoch is judged on; the calibration takes all."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    ``augmentation``: "none" shows every photo as it is served, "article" moved and flipped a
    little, "strong" as a crop with other colours; "rendered" shows the views of ``mix``.
    ``variants`` has the side in pixels of every differently augmented set of views that is made and
    cached; epochs take them in turn. ``learning_rate`` is the highest, and the head's is
    ``head_rate`` times that: with ``cosine`` it is warmed up to over a twentieth of the run and
    falls to 0 along a cosine, else it is constant. ``cell_weight`` is that of the loss over the
    cells known to be cracked or not beside the loss over photos. With ``class_weights`` cracked
    and uncracked photos count the same, however many of each there are. After ``patience`` epochs
    without a lower validation loss the run ends; 0 goes on to the last. The weights are those of
    the best epoch averaged with those it started from, which count ``start_share`` (WiSE-FT,
    Wortsman et al. 2022, https://arxiv.org/abs/2109.01903).
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
    augmentation: str
    variants: tuple[int, ...]
    mix: Mix
    class_weights: bool
    patience: int
    start_share: float

    @property
    def sides_px(self) -> tuple[int, ...]:
        """Of the sets of views that the run makes; unaugmented ones of one side are the same."""
        sides = self.variants[: self.epochs]
        return tuple(dict.fromkeys(sides)) if self.augmentation == "none" else sides

    @property
    def has_wide_views(self) -> bool:
        """Whether every epoch shows views of the size of large photos, too.

        Not where the head alone is trained: it sees averages over whole photos.
        """
        return (
            self.augmentation == "rendered"
            and self.trainable != "head"
            and self.mix.wide_pairs + self.mix.wide_mosaics > 0
        )


_DEFAULT = Recipe(
    name="default",
    feature_layer="block5_conv3",
    start="hed",
    trainable="block4-5",
    epochs=12,
    batch_size=32,
    optimizer="adam",
    learning_rate=1e-4,
    head_rate=10.0,
    cosine=True,
    label_smoothing=0.02,
    cell_weight=0.1,
    augmentation="rendered",
    variants=(160, 160, 160, 160, 224, 224),
    mix=Mix(per_class_min=400, per_class_max=800, pairs=1800, mosaics=400),
    class_weights=False,
    patience=0,
    start_share=0.0,
)

RECIPES = {
    "default": _DEFAULT,
    "wide": replace(
        _DEFAULT,
        name="wide",
        start="bundled",
        learning_rate=6e-5,
        epochs=8,
        variants=(160, 160, 224, 224),
        mix=replace(
            _DEFAULT.mix, pairs=1500, mosaics=300, hard=600, wide_pairs=1500, wide_mosaics=300
        ),
        start_share=1 / 3,
    ),
    "quick": replace(
        _DEFAULT,
        name="quick",
        epochs=3,
        variants=(160,),
        mix=Mix(per_class_min=200, per_class_max=400, pairs=1200, mosaics=300),
    ),
    "article": replace(
        _DEFAULT,
        name="article",
        feature_layer="block5_pool",
        start="imagenet",
        epochs=10,
        batch_size=16,
        optimizer="sgd",
        head_rate=1.0,
        cosine=False,
        label_smoothing=0.0,
        cell_weight=0.0,
        augmentation="article",
        variants=(224,),
    ),
    "session": replace(
        _DEFAULT,
        name="session",
        start="bundled",
        trainable="head",
        epochs=20,
        batch_size=16,
        learning_rate=3e-5,
        head_rate=30.0,
        augmentation="strong",
        variants=(224, 224),
        mix=Mix(per_class_min=20, per_class_max=400, pairs=100, mosaics=0),
        class_weights=True,
        patience=5,
    ),
}
"""``wide`` goes on from what ``default`` made. ``session`` is what the training page begins with:
few photos, on top of the bundled model.
"""


def resolve_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe called ``name`` with ``changes`` to its fields. Raises ``TrainingError``."""
    choices = {
        "recipe": RECIPES,
        "start": STARTS,
        "trainable": get_args(Trainable),
        "optimizer": OPTIMIZERS,
        "augmentation": AUGMENTATIONS,
    }
    for field, value in {"recipe": name, **changes}.items():
        if field in choices and value not in choices[field]:
            known = ", ".join(choices[field])
            raise TrainingError(f"Unknown {field} '{value}'; choose one of {known}.")
    recipe = replace(RECIPES[name], **changes)
    for field, least in (("epochs", 1), ("batch_size", 1), ("patience", 0)):
        if getattr(recipe, field) < least:
            what = field.replace("_", " ")
            raise TrainingError(f"The {what} must be at least {least}, not {changes[field]}.")
    if not 0 < recipe.learning_rate <= 1:
        raise TrainingError(
            f"The learning rate must be above 0 and at most 1, not {recipe.learning_rate:g}."
        )
    return recipe
