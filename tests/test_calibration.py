"""What the validation photos are set into to fit how large photos are read."""

from dataclasses import replace

import numpy as np
import pytest

from cracklib.calibration import (
    OTHERS_ALARM_AT_MOST,
    OTHERS_MEAN_AT_MOST,
    SCENE_GRID,
    SCENES,
    SQUARE_PX,
    are_others_sound,
    calibrate,
    fit_deduction,
    fit_surface_prior,
    make_scene,
    plan_scenes,
)
from cracklib.classifier import Classifier, find_tracer
from cracklib.config import engine_name
from cracklib.dataset import LabelledFile
from cracklib.engines import build_engine
from cracklib.metrics import measure_by_source
from cracklib.photo import encode_png, read_photo
from cracklib.pipeline import Inspector
from cracklib.preprocess import resize_to_input
from cracklib.surface import find_readout
from cracklib.synthesis import render_crack, render_wall
from cracklib.types import WindowScale
from cracklib.weights import load_weights


@pytest.fixture
def files(tmp_path) -> list[LabelledFile]:
    """30 light bricks, 30 dark ones that stand for cracked, and 40 light scenes."""
    files = []
    for number in range(100):
        source, label = ("scene", 0) if number >= 60 else ("brick", number % 2)
        path = tmp_path / f"{source}-{number}.png"
        path.write_bytes(encode_png(np.full((50, 60, 3), 40 if label else 200, np.uint8)))
        files.append(LabelledFile(path, label, source))
    return files


@pytest.mark.slow
def test_the_card_says_what_is_served_of_large_photos_that_are_read_as_all_others(
    tmp_path, bundled_weights
):
    """No source has both labels, so nothing can be fitted for them."""
    files = []
    for number in range(4):
        rng = np.random.default_rng(number)
        pixels, label = render_wall(rng, (400, 500)), number % 2
        if label:
            pixels, _ = render_crack(pixels, rng)
        source = ("sound", "cracked")[label]
        path = tmp_path / f"{source}-{number}.png"
        path.write_bytes(encode_png(pixels))
        files.append(LabelledFile(path, label, source))
    weights, card = load_weights(bundled_weights)
    tracer = find_tracer(weights)
    card = replace(card, **calibrate(weights, card.feature_layer, files, tracer))
    assert card.window_scale is None
    engine = build_engine(engine_name(), weights, card.feature_layer, tracer)
    inspector = Inspector(Classifier(engine, weights, card, find_readout(weights)))
    served = [inspector.inspect(file.path).probability for file in files]
    labels, sources = [file.label for file in files], [file.source for file in files]
    measured = measure_by_source(np.array(labels), served, sources, card.verdict_threshold)
    for source, quality in card.quality.items():
        error = measured[source].calibration_error.value
        assert quality["calibration_error"]["value"] == pytest.approx(error, abs=1e-4)


def test_a_scene_is_of_one_source_and_cracked_by_one_photo(files):
    scenes = plan_scenes(files)
    for scene in scenes:
        assert len(scene.files) == SCENE_GRID**2
        assert len({file.source for file in scene.files}) == 1
        assert sum(file.label for file in scene.files) == scene.label
    made = [(scene.files[0].source, scene.label) for scene in scenes]
    assert {kind: made.count(kind) for kind in set(made)} == {
        ("brick", 0): SCENES,
        ("brick", 1): SCENES,
        ("scene", 0): SCENES,
    }


def test_few_photos_make_few_scenes_and_cracked_ones_alone_none(files):
    few = [*files[:3], files[-1]]
    assert len(plan_scenes(few)) == 3 + 3 + 1
    assert plan_scenes([file for file in files if file.label == 1]) == []


def test_the_same_photos_make_the_same_scenes(files):
    assert plan_scenes(files) == plan_scenes(files)


def test_all_photos_of_a_scene_are_in_its_picture(files):
    scene = next(scene for scene in plan_scenes(files) if scene.label == 1)
    squares = {
        file.path: resize_to_input(read_photo(file.path).pixels, (SQUARE_PX, SQUARE_PX))
        for file in files
    }
    pixels = make_scene(scene, squares)
    assert pixels.shape == (336, 336, 3)
    dark = pixels[..., 0] < 100
    assert dark.sum() == 112 * 112


def test_a_deduction_keeps_sound_scenes_sound_and_finds_what_one_look_does_not(files):
    """From near, chance alone makes a sound scene look cracked."""
    scenes = [scene for scene in plan_scenes(files) if scene.files[0].source == "brick"]
    strengths = [np.array([[-4.0, 0], [20.0 if scene.label else 6.0, 4.0]]) for scene in scenes]
    scale = fit_deduction(WindowScale(1.0, 0.0), strengths, scenes, np.zeros(len(scenes)))
    assert scale.deduction is not None
    assert 6.0 - 4.0 * scale.deduction < 0 < 20.0 - 4.0 * scale.deduction


def test_sound_scenes_that_look_cracked_from_near_leave_a_search_no_say(files):
    scenes = [scene for scene in plan_scenes(files) if scene.files[0].source == "brick"]
    strengths = [np.array([[4.0 if scene.label else -4.0, 0], [90.0, 1.0]]) for scene in scenes]
    scale = fit_deduction(WindowScale(1.0, 0.0), strengths, scenes, np.zeros(len(scenes)))
    assert scale.deduction is not None
    assert 90.0 - scale.deduction < 0


def test_sources_that_stay_calm_from_near_do_not_hide_one_that_does_not(files):
    def fitted(scenes):
        strengths = [
            np.array([[-4.0, 0], [6.0, 1.0] if scene.files[0].source == "brick" else [-9.0, 0]])
            for scene in scenes
        ]
        return fit_deduction(
            WindowScale(1.0, 0.0), strengths, scenes, np.zeros(len(scenes))
        ).deduction

    scenes = [scene for scene in plan_scenes(files) if scene.label == 0]
    bricks = [scene for scene in scenes if scene.files[0].source == "brick"]
    assert len(bricks) < len(scenes)
    assert fitted(scenes) == fitted(bricks)


def known_and_others(walls=400, others=200):
    """Log-odds that lack 1 for walls; others are sound, and some of them look cracked."""
    rng = np.random.default_rng(0)
    right = rng.normal(0, 3, walls)
    labels = (rng.random(walls) < 1 / (1 + np.exp(-right))).astype(int)
    log_odds = np.concatenate([right - 1, rng.normal(-9, 6, others)])
    known = np.arange(walls + others) < walls
    return log_odds, np.concatenate([labels, np.zeros(others, int)]), known


def fit(log_odds, labels, known, as_whole=None):
    every = np.ones(len(labels), bool) if as_whole is None else as_whole
    return fit_surface_prior(log_odds, labels, sources_of(known), known, every)


def sources_of(known):
    kinds = ("brick", "slab", "tile")
    return [kinds[n % 3] if is_known else "street" for n, is_known in enumerate(known)]


def test_the_prior_gives_walls_what_they_lack_and_lets_few_others_alarm():
    log_odds, labels, known = known_and_others()
    prior = fit(log_odds, labels, known)
    assert prior.offset == pytest.approx(1, abs=0.3)
    alarmed = (log_odds[~known] + prior.offset - prior.deduction > 0).mean()
    assert OTHERS_ALARM_AT_MOST - 0.01 < alarmed <= OTHERS_ALARM_AT_MOST


def test_others_that_never_alarm_but_all_seem_a_little_cracked_are_told_surer():
    log_odds, labels, known = known_and_others()
    log_odds[~known] = -3  # with what walls lack, 12 % each
    prior = fit(log_odds, labels, known)
    told = 1 / (1 + np.exp(-(log_odds[~known] + prior.offset - prior.deduction)))
    assert told.mean() == pytest.approx(OTHERS_MEAN_AT_MOST, abs=1e-3)


def test_no_source_by_itself_makes_the_others_look_cracked():
    log_odds, labels, known = known_and_others()
    shy = np.array(sources_of(known)) == "tile"
    lacking = fit(np.where(shy, log_odds - 4, log_odds), labels, known)
    assert lacking.offset == pytest.approx(fit(log_odds, labels, known).offset, abs=0.3)


def test_photos_judged_by_their_windows_have_no_part_in_the_offset():
    log_odds, labels, known = known_and_others()
    as_whole = np.arange(len(labels)) % 2 == 0
    shifted = np.where(as_whole, log_odds, log_odds - 5)
    assert fit(shifted, labels, known, as_whole).offset == pytest.approx(1, abs=0.4)
    assert fit(log_odds, labels, known, np.zeros(len(labels), bool)).offset == 0


def test_without_others_all_count_as_walls_and_have_nothing_taken_off():
    log_odds, labels, known = known_and_others(others=0)
    for told in (known, ~known):
        prior = fit(log_odds, labels, told)
        assert prior.offset == pytest.approx(1, abs=0.3)
        assert prior.deduction == 0


def test_others_that_never_alarm_have_nothing_taken_off():
    log_odds, labels, known = known_and_others()
    log_odds[~known] -= 20
    assert fit(log_odds, labels, known).deduction == 0


@pytest.mark.parametrize(
    ("others", "cracked_others", "sound"), [(100, 0, True), (100, 30, False), (10, 0, False)]
)
def test_walls_taken_for_something_else_are_told_by_their_cracks(others, cracked_others, sound):
    labels = np.r_[np.ones(50, int), np.ones(cracked_others, int), np.zeros(others, int)]
    known = np.arange(len(labels)) < 50
    assert are_others_sound(known, labels) is sound
