import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

import cracklib
from cracklib import pipeline
from cracklib.classifier import Classifier
from cracklib.config import DISPLAY_THRESHOLD
from cracklib.errors import PhotoError
from cracklib.looks import FIRST_LOOK_SIZE, look_twice
from cracklib.overlay import upsample_heat
from cracklib.photo import encode_png
from cracklib.pipeline import Inspector
from cracklib.refine import refine_heat
from cracklib.types import Photo, WindowScale
from tests.tiny import TINY_HEAD, PlainEngine, make_card


def test_verdict_and_heat_follow_the_dark_spot(inspector, dark_corner):
    inspection = inspector.inspect(dark_corner)
    assert inspection.verdict == "crack"
    assert inspection.heatmap.shape == dark_corner.size
    assert inspection.heatmap.dtype == np.float32
    assert inspection.heatmap[45:, 68:].min() > 0.5
    assert inspection.heatmap[:15, :22].max() == 0.0


def test_a_clean_wall_is_cold(inspector, clean_wall):
    inspection = inspector.inspect(clean_wall)
    assert inspection.verdict == "no_crack"
    assert inspection.heat.max() == 0.0
    np.testing.assert_array_equal(inspection.overlay(threshold=0.25), clean_wall.pixels)


def test_evidence_averages_to_the_probability(inspector, dark_corner):
    classifier = inspector.classifier
    evidence = look_twice(classifier.look, dark_corner.pixels, FIRST_LOOK_SIZE).evidence
    inspection = inspector.inspect(dark_corner)
    assert inspection.probability == pytest.approx(1 / (1 + np.exp(-evidence.mean())))
    np.testing.assert_allclose(inspection.heat, np.clip(evidence / 4, 0, 1), atol=1e-6)


def test_path_bytes_and_photo_are_the_same(inspector, dark_corner, save_photo, tmp_path):
    path = save_photo(dark_corner, tmp_path / "wall.png")
    inspections = [
        inspector.inspect(photo) for photo in (path, str(path), path.read_bytes(), dark_corner)
    ]
    assert len({inspection.probability for inspection in inspections}) == 1
    assert inspections[0].photo.name == "wall.png"


def test_redrawing_never_runs_the_network(inspector, dark_corner):
    inspection = inspector.inspect(dark_corner)
    before = inspector.classifier.forward_passes
    for opacity in (0.1, 0.5, 0.9):
        inspection.overlay(opacity, "viridis", threshold=opacity)
    assert inspection.heatmap.shape == dark_corner.size
    assert inspector.classifier.forward_passes == before == 2


def test_refined_heat_has_the_photos_size_and_stays_within_the_evidence(inspector, dark_corner):
    inspection = inspector.inspect(dark_corner)
    assert inspection.refined.shape == dark_corner.size
    assert 0.0 <= inspection.refined.min() <= inspection.refined.max() <= 1.0
    assert inspection.refined[inspection.heatmap == 0.0].max() == 0.0


def test_only_a_sure_crack_in_a_known_surface_is_followed_to_its_thin_end(inspector):
    pixels = np.full((224, 224, 3), 180, np.uint8)
    pixels[110:113] = np.linspace(40, 180, 224).astype(np.uint8)[:, np.newaxis]
    found = inspector.inspect(Photo(pixels))

    def drawn(**changes):
        everywhere = np.ones((14, 14), np.float32)
        inspection = replace(found, verdict="crack", heat=everywhere, **changes)
        return (inspection.refined >= DISPLAY_THRESHOLD).any(axis=0).sum()

    shortest = drawn(probability=0.89, known_surface=True)
    assert drawn(probability=0.9, known_surface=True) > shortest + 5
    assert drawn(probability=0.99, known_surface=False) == shortest
    assert drawn(probability=0.99, known_surface=None) > shortest + 5, "nobody can tell"


def test_a_crack_that_only_a_search_sees_is_drawn_somewhere(inspector):
    pixels = np.full((600, 800, 3), 180, np.uint8)
    pixels[300:302, 200:600] = 165
    found = inspector.inspect(Photo(pixels))
    faint = np.zeros((37, 50), np.float32)
    faint[18, 12:37] = 0.01

    def most(verdict):
        whole = replace(found, heat=found.heat * 0)
        return replace(whole, verdict=verdict, scales=(faint,), whole=whole).refined.max()

    assert 0 < most("no_crack") < DISPLAY_THRESHOLD < most("crack")


def test_a_search_draws_no_less_of_a_crack_than_the_looks_at_the_whole(inspector):
    pixels = np.full((600, 800, 3), 180, np.uint8)
    for x in range(800):
        y = 300 + round(40 * np.sin(x / 20))
        pixels[y - 4 : y + 5, x] = 40 + x // 6
    found = inspector.inspect(Photo(pixels))
    heat = np.full((37, 50), 0.9, np.float32)
    whole = replace(found, verdict="crack", probability=0.95, heat=heat)
    searched = replace(whole, scales=(0 * heat,), whole=whole)
    drawn = whole.refined >= DISPLAY_THRESHOLD
    assert drawn.sum() > (refine_heat(pixels, heat) >= DISPLAY_THRESHOLD).sum() > 0
    np.testing.assert_array_equal(searched.refined >= DISPLAY_THRESHOLD, drawn)


def test_overlay_draws_the_map_asked_for(inspector, dark_corner):
    inspection = inspector.inspect(dark_corner)
    article = inspection.heat_of("article")
    assert article.max() == 1
    for heat_map, heat in (
        ("crack", inspection.refined),
        ("activation", inspection.heatmap),
        ("article", upsample_heat(article, dark_corner.size)),
    ):
        overlay = inspection.overlay(1.0, threshold=0.25, heat_map=heat_map)
        drawn = (overlay != dark_corner.pixels).any(axis=2)
        np.testing.assert_array_equal(drawn, heat >= 0.25)
    np.testing.assert_array_equal(inspection.overlay(), inspection.overlay(heat_map="crack"))
    with pytest.raises(ValueError, match="crack, activation, article, not 'gradients'"):
        inspection.overlay(heat_map="gradients")


def test_the_articles_map_is_that_of_the_class_the_verdict_names(inspector, dark_corner):
    inspection = inspector.inspect(dark_corner)
    assert inspection.verdict == "crack"
    crack, no_crack = (
        replace(inspection, verdict=verdict).heat_of("article") for verdict in ("crack", "no_crack")
    )
    assert np.unravel_index(crack.argmax(), crack.shape) > (3, 3)
    assert crack[0, 0] < 0.1 < no_crack[0, 0]


def test_overlay_has_the_photos_size_and_leaves_it_alone(inspector, dark_corner):
    before = dark_corner.pixels.copy()
    overlay = inspector.inspect(dark_corner).overlay(opacity=1.0)
    assert overlay.shape == dark_corner.pixels.shape
    assert overlay.dtype == np.uint8
    assert (overlay != before).any()
    np.testing.assert_array_equal(dark_corner.pixels, before)


def test_inspection_names_its_model_and_time(inspector, clean_wall):
    inspection = inspector.inspect(clean_wall)
    assert (inspection.model_name, inspection.model_sha256) == ("tiny", "0" * 64)
    assert inspection.scale == inspector.card.heat_scale
    assert inspection.seconds > 0


def test_no_photo_is_refused(inspector):
    with pytest.raises(PhotoError):
        inspector.inspect(b"not a photo")
    assert inspector.classifier.forward_passes == 0


def test_the_package_loads_one_inspector(inspector, dark_corner, monkeypatch):
    loads = []
    monkeypatch.setattr(Inspector, "load", lambda: loads.append(1) or inspector)
    monkeypatch.setattr(pipeline, "_shared", None)
    data = encode_png(dark_corner.pixels)
    assert [cracklib.inspect(data).verdict for _ in range(2)] == ["crack", "crack"]
    assert len(loads) == 1


def test_exported_names_exist():
    assert sorted(cracklib.__all__) == [
        "CrackError",
        "DatasetError",
        "DownloadError",
        "Inspection",
        "Inspector",
        "MeasuredError",
        "Photo",
        "PhotoError",
        "ScaleError",
        "TrainingError",
        "WeightsError",
        "decode_photo",
        "inspect",
        "measure_cracks",
    ]
    for name in cracklib.__all__:
        assert getattr(cracklib, name).__module__.startswith("cracklib.")
    with pytest.raises(AttributeError, match="no attribute 'inspekt'"):
        cracklib.inspekt  # noqa: B018


def test_importing_the_package_is_light():
    script = "import sys, cracklib; print({'cv2', 'PIL', 'openvino', 'keras'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_real_photos(bundled_weights, shared_data):
    inspector = Inspector.load(str(bundled_weights))
    for label in ("crack", "no_crack"):
        file = min((shared_data / "val" / label).glob("concrete-*"))
        inspection = inspector.inspect(file)
        assert inspection.verdict == label
        assert inspection.heatmap.shape == inspection.photo.size
        assert 0.0 <= inspection.heatmap.min() <= inspection.heatmap.max() <= 1.0


def large_wall(spot_px: int) -> Photo:
    """A light wall, 900x1200, with a dark square of ``spot_px`` a side."""
    pixels = np.full((900, 1200, 3), 200, np.uint8)
    pixels[300 : 300 + spot_px, 500 : 500 + spot_px] = 0
    return Photo(pixels)


@pytest.fixture
def in_windows():
    """An inspector whose engine has a cell for every 16 pixels, dark ones cracked."""

    def engine(batch):
        rows, columns = (side // 16 for side in batch.shape[1:3])
        grey = np.stack([cv2.resize(image.mean(-1), (columns, rows)) for image in batch])
        return np.stack([np.maximum(-grey, 0), np.maximum(grey, 0)], axis=-1) / np.float32(64)

    card = make_card(window_scale=WindowScale(1.0, -1.0))
    return Inspector(Classifier(PlainEngine(engine), TINY_HEAD, card))


def test_a_large_photo_is_judged_by_its_strongest_window_in_two_forward_passes(in_windows):
    small = in_windows.inspect(Photo(cv2.resize(large_wall(280).pixels, (400, 300))))
    large = in_windows.inspect(large_wall(280))
    assert small.verdict == "no_crack", "the spot drowns in the whole"
    assert large.verdict == "crack"
    assert large.heat.shape == (18, 24)
    assert in_windows.classifier.forward_passes == 2 * 2
    assert in_windows.inspect(large_wall(0)).verdict == "no_crack"


def test_a_large_photo_is_seen_whole_where_nothing_was_fitted_for_windows(inspector):
    assert inspector.inspect(large_wall(280)).heat.shape == (7, 7)
    assert inspector.inspect(large_wall(280)).verdict == "no_crack"
