"""What a run can be told, and how long it is said to take."""

import pytest

from cracklib.errors import TrainingError
from cracklib.recipes import RECIPES, resolve_recipe
from cracklib.timing import Speed, estimate_s


def test_the_articles_values():
    article = RECIPES["article"]
    assert (article.start, article.optimizer, article.learning_rate) == ("imagenet", "sgd", 1e-4)
    assert (article.trainable, article.augmentation) == ("block4-5", "article")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("secret", {}, "Unknown recipe 'secret'"),
        ("default", {"start": "scratch"}, "Unknown start 'scratch'"),
        ("default", {"trainable": "all"}, "Unknown trainable 'all'; choose one of head, block5"),
        ("default", {"optimizer": "lamb"}, "Unknown optimizer 'lamb'"),
        ("default", {"augmentation": "wild"}, "Unknown augmentation 'wild'"),
        ("default", {"epochs": 0}, "epochs must be at least 1, not 0"),
        ("default", {"batch_size": 0}, "batch size must be at least 1"),
        ("default", {"patience": -1}, "patience must be at least 0"),
        ("default", {"learning_rate": 0.0}, "learning rate must be above 0"),
        ("default", {"learning_rate": float("nan")}, "learning rate must be above 0"),
    ],
)
def test_wrong_settings_are_refused_by_name(name, changes, message):
    with pytest.raises(TrainingError, match=message):
        resolve_recipe(name, **changes)


def test_estimate_by_hand():
    speed = Speed(start_s=10, features_s=0.1, step_s=0.02, calibrate_s=0.05)
    recipe = resolve_recipe("session", augmentation="none", epochs=3)
    # 10 + 0.1 (100 + 30) + 3 epochs of 0.02 (100 + 30 / 3)
    # + 0.05 (30 of 81/49 and 120 scenes of 2.25, seen again at 49/81 of that
    # + 30 from near + 30 quarters, seen from afar)
    assert estimate_s(recipe, 100, 30, speed) == pytest.approx(10 + 13 + 6.6 + 27.52126)
    two_sets = resolve_recipe("session", augmentation="strong", epochs=3)
    assert estimate_s(two_sets, 100, 30, speed) == pytest.approx(10 + 23 + 6.6 + 27.52126)
