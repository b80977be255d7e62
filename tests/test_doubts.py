from pathlib import Path

import cv2
import numpy as np
import pytest

from cracklib.doubts import blur, detail, find_doubts
from cracklib.photo import read_photo
from cracklib.synthesis import render_wall

SAMPLES = sorted((Path(__file__).parent.parent / "ui" / "samples").glob("*.jpg"))


def kinds(pixels):
    return [doubt.kind for doubt in find_doubts(np.asarray(pixels, np.uint8))]


def walls():
    return [render_wall(np.random.default_rng(seed), (300, 400)) for seed in range(12)]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_leave_no_doubt(path):
    assert kinds(read_photo(path).pixels) == []


def test_rendered_walls_leave_no_doubt():
    assert [kinds(wall) for wall in walls()] == [[]] * 12


@pytest.mark.parametrize("sigma_px", [3, 5, 15])
def test_a_blurred_wall_is_told(sigma_px):
    assert all(kinds(cv2.GaussianBlur(wall, (0, 0), sigma_px)) == ["blurred"] for wall in walls())


def test_a_dark_wall_is_told():
    assert all(kinds(wall * (25 / wall.max())) == ["dark"] for wall in walls())


def test_a_burnt_out_wall_is_told():
    assert all(
        kinds(np.clip(wall * (300 / np.median(wall)), 0, 255)) == ["burnt_out"] for wall in walls()
    )


def test_a_thumbnail_is_told():
    thumbnails = [cv2.resize(wall, (60, 48), interpolation=cv2.INTER_AREA) for wall in walls()]
    assert all(kinds(thumbnail) == ["small"] for thumbnail in thumbnails)


@pytest.mark.parametrize(("grey", "kind"), [(0, "dark"), (128, "blurred"), (255, "burnt_out")])
def test_one_colour_shows_nothing(grey, kind):
    assert kinds(np.full((200, 300, 3), grey)) == [kind]


def test_what_is_not_at_its_size_is_judged_as_the_network_sees_it():
    """Sharp seen small: a large photo that is soft at its own pixels is not blurred."""
    wall = walls()[3]
    large = cv2.resize(wall, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    assert kinds(large) == []


def test_blur_by_hand():
    """An edge of 10 levels is spread over 5 pixels: its own step keeps 1/5."""
    edge = np.repeat([[0.0, 10.0]], 40, axis=1).repeat(80, axis=0).astype(np.float32)
    assert blur(edge) == pytest.approx(1 / 5, abs=1e-3)
    assert blur(np.zeros((50, 50), np.float32)) == 0


def test_detail_by_hand():
    """A dot of 9 in a field of 100 pixels: -36 on it, 9 on each of its four neighbours."""
    dot = np.zeros((10, 10), np.float32)
    dot[5, 5] = 9
    assert detail(dot) == pytest.approx((36**2 + 4 * 9**2) / 100)
