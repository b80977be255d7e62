import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cracklib import refine
from cracklib.config import DISPLAY_THRESHOLD
from cracklib.refine import (
    crack_likeness,
    dark_ridges,
    darkness,
    prominence,
    refine_heat,
    refine_scales,
    straight_lines,
)
from cracklib.synthesis import render_crack, render_wall

EVERYWHERE = np.ones((14, 14), np.float32)


@pytest.fixture(scope="module")
def cracked():
    """A rendered plaster wall and the mask of the crack on it."""
    rng = np.random.default_rng(3)
    wall = render_wall(rng, (224, 224), "plaster")
    return render_crack(wall, rng, "single", width_px=6.0)


def wall(size=(224, 224), brightness=160):
    return np.full((*size, 3), brightness, np.uint8)


def test_heat_everywhere_is_narrowed_to_the_crack(cracked):
    pixels, mask = cracked
    refined = refine_heat(pixels, EVERYWHERE)
    assert refined.shape == mask.shape
    assert refined.dtype == np.float32
    assert mask[refined >= np.quantile(refined, 1 - mask.mean())].mean() > 0.8


def test_without_heat_nothing_is_drawn(cracked):
    pixels, _ = cracked
    heat = np.zeros((14, 14), np.float32)
    assert refine_heat(pixels, heat).max() == 0.0
    heat[:, :7] = 1.0
    refined = refine_heat(pixels, heat)
    assert refined[:, 120:].max() == 0.0
    assert refined[:, :104].max() > 0.3


def test_more_heat_draws_more():
    pixels = wall()
    pixels[:, 100:106] = 20
    weak, strong = (refine_heat(pixels, np.full((14, 14), h, np.float32)) for h in (0.2, 0.8))
    assert (strong[10:-10, 101:105] > weak[10:-10, 101:105]).all()


def test_a_trace_tells_one_dark_line_from_another():
    pixels = wall()
    pixels[:, 60:64], pixels[:, 160:164] = 60, 60
    trace = np.zeros((112, 112), np.uint8)
    trace[:, 80:82] = 255
    without, with_trace = refine_heat(pixels, EVERYWHERE), refine_heat(pixels, EVERYWHERE, trace)
    assert without[112, 161] == pytest.approx(without[112, 61], abs=0.02)
    assert with_trace[112, 161] > 2 * with_trace[112, 61]


def test_heat_in_one_place_of_a_crack_counts_farther_along_it():
    pixels = wall()
    pixels[:, 96:104] = 20
    pixels[:, 200:208] = 20
    trace = np.zeros((112, 112), np.uint8)
    trace[:, 48:52], trace[:, 100:104] = 255, 255
    heat = np.zeros((14, 14), np.float32)
    heat[:5, 6] = 1.0
    drawn = refine_heat(pixels, heat, trace)
    assert drawn[100, 100] > DISPLAY_THRESHOLD, "20 px from where there is heat"
    assert drawn[150:].max() == 0.0, "too far"
    assert drawn[:, 190:].max() == 0.0, "another line"
    assert drawn[100, 120] == 0.0, "beside it"


def test_a_likeness_at_hand_is_not_looked_for_again(cracked, monkeypatch):
    pixels, _ = cracked
    expected = refine_heat(pixels, EVERYWHERE)
    likeness = crack_likeness(pixels, EVERYWHERE.shape)
    monkeypatch.setattr(refine, "crack_likeness", None)
    np.testing.assert_array_equal(
        refine_heat(pixels, EVERYWHERE, likeness=likeness), expected, strict=True
    )


def test_a_crack_stands_out_as_much_as_it_is_traced(cracked):
    pixels, mask = cracked
    trace = 255 * mask[::2, ::2].astype(np.uint8)
    clear, faint, sound = (
        prominence(crack_likeness(*of))
        for of in ((pixels, (14, 14), trace), (pixels, (14, 14), trace // 4), (wall(), (14, 14)))
    )
    assert clear > faint + 1 > sound + 2


@pytest.mark.parametrize("everywhere", [0.0, 0.4, 1.0])
def test_nothing_stands_out_of_a_wall_that_is_alike_all_over(everywhere):
    assert prominence(np.full((40, 50), everywhere, np.float32)) == 0.0


def test_dark_places_count_less_where_there_is_no_trace():
    pixels = wall()
    pixels[60:100, 60:100] = 20
    trace = np.zeros((112, 112), np.uint8)
    without, with_trace = refine_heat(pixels, EVERYWHERE), refine_heat(pixels, EVERYWHERE, trace)
    assert without[80, 80] > DISPLAY_THRESHOLD > with_trace[80, 80]


def test_a_faint_crack_is_raised_until_it_is_drawn():
    heat = np.zeros((100, 100), np.float32)
    heat[50, :40] = np.linspace(0.1, 0.2, 40)
    raised = refine.raise_faint(heat)
    assert raised[50, 20:40].min() > DISPLAY_THRESHOLD
    assert raised[50, 39] < 0.45
    assert (np.diff(raised[50, :40]) > 0).all(), "in the same order"
    assert (raised[heat == 0] == 0).all()


def test_what_is_next_to_nothing_stays_next_to_nothing():
    """It would be noise."""
    heat = np.full((100, 100), 0.02, np.float32)
    assert refine.raise_faint(heat).max() < 0.08


def test_a_clear_crack_is_left_as_it_is():
    heat = np.zeros((100, 100), np.float32)
    heat[50, :40] = 0.5
    assert refine.raise_faint(heat) is heat


def test_of_what_a_search_finds_the_hottest_place_is_drawn():
    heat = np.zeros((100, 100), np.float32)
    heat[50, :40] = np.linspace(0.01, 0.05, 40)
    shown = refine.show_hottest(heat)
    assert shown[50, 39] > DISPLAY_THRESHOLD
    assert (shown >= DISPLAY_THRESHOLD).sum() < 10
    assert (np.diff(shown[50, :40]) > 0).all(), "in the same order"
    assert (shown[heat == 0] == 0).all()
    for as_it_is in (np.zeros_like(heat), np.minimum(heat * 10, 0.5)):
        assert refine.show_hottest(as_it_is) is as_it_is


def test_a_crack_is_followed_to_where_it_is_thin():
    heat = np.zeros((100, 100), np.float32)
    heat[50, :40] = 0.5
    heat[50, 40:70] = np.linspace(0.24, 0.17, 30)
    heat[80, :40] = 0.2
    followed = refine.follow_thin(heat)
    assert followed[50, :70].min() > DISPLAY_THRESHOLD
    assert (np.diff(followed[50, 39:70]) < 0).all(), "in the same order"
    np.testing.assert_array_equal(followed[80], heat[80], "there is no crack beside it")
    assert (followed[heat == 0] == 0).all()


def test_a_plain_wall_stays_clean():
    assert refine_heat(wall(), EVERYWHERE).max() < 0.01


def test_a_long_straight_joint_is_drawn_fainter_than_a_ragged_crack():
    rows = np.arange(224)
    joint, crack = wall(), wall()
    joint[:, 100:105] = 60
    for row, at in zip(rows, 100 + np.round(8 * np.sin(rows / 5)).astype(int), strict=True):
        crack[row, at : at + 5] = 60
    drawn = [
        refine_heat(pixels, EVERYWHERE)[20:-20].max(axis=1).mean() for pixels in (joint, crack)
    ]
    assert drawn[0] < 0.7 * drawn[1]


@pytest.mark.parametrize(
    ("size", "grid", "expected"),
    [
        ((128, 200), (14, 14), (128, 200)),
        ((768, 1536), (14, 14), (384, 768)),
        ((1600, 800), (14, 28), (768, 384)),
        ((1000, 1200), (40, 48), (640, 768)),
    ],
)
def test_lines_are_looked_for_as_finely_as_the_network_looked(size, grid, expected):
    assert refine_heat(wall(size), np.ones(grid, np.float32)).shape == expected


def test_a_crack_as_wide_as_a_brick_is_dark_to_its_middle():
    brightness = np.full((224, 224), 170, np.uint8)
    brightness[:, 100:130] = 10
    found = darkness(brightness)
    assert found[112, 115] > 0.8
    assert found[112, 50] == 0.0


def test_light_that_fades_towards_the_border_makes_nothing_dark():
    brightness = np.tile(np.linspace(60, 200, 224).astype(np.uint8), (224, 1))
    brightness[:, 3:6] //= 2
    found = darkness(brightness)
    assert found[:, 4].min() > 0.2
    assert found[:, 10:].max() < 0.05


def test_darkness_is_a_share_of_the_light():
    brightness = np.full((224, 224), 200, np.uint8)
    brightness[:, 100:106] = 50
    bright, dim = (darkness((brightness * light).astype(np.uint8)) for light in (1.0, 0.5))
    assert dim[112, 103] == pytest.approx(bright[112, 103], abs=0.05)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_valleys_are_found_at_their_width_and_crests_are_not(width):
    dark = np.full((100, 100), 150, np.uint8)
    dark[:, 50 : 50 + width] = 30
    middle = 50 + width // 2
    found = dark_ridges(dark)
    assert found[50, middle] > 0.1
    assert found[50, 20] < 0.01
    assert dark_ridges(180 - dark)[50, middle] < 0.2 * found[50, middle]


def test_straight_lines_need_length():
    pixels = wall()
    pixels[40:43, 20:200] = 40
    pixels[120:123, 100:120] = 40
    found = straight_lines(pixels)
    assert found[40:43, 60:160].max() > 0.8
    assert found[100:].max() == 0.0


@given(st.integers(32, 60), st.integers(32, 60), st.integers(7, 30), st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_any_photo_gives_heat_between_0_and_1(height, width, cells, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.choice(np.array([0, 1, 128, 255], np.uint8), (height, width, 3))
    refined = refine_heat(pixels, rng.random((cells, cells), np.float32))
    assert refined.shape == (height, width)
    assert 0.0 <= refined.min() <= refined.max() <= 1.0


def test_lines_of_a_strip_are_looked_for_no_more_finely_than_it_was_seen():
    assert crack_likeness(wall((300, 40_000)), (14, 64)).shape == (31, 4096)
    assert crack_likeness(wall((300, 2000)), (14, 64)).shape == (300, 2000)


def test_tiles_of_a_search_hardly_show(monkeypatch):
    rng = np.random.default_rng(2)
    pixels, mask = render_crack(render_wall(rng, (1000, 1100), "concrete"), rng, width_px=1.0)
    heats = [np.full((18, 20), 0.3, np.float32), rng.random((62, 68), np.float32)]
    traces = [
        np.where(cv2.resize(mask.astype(np.uint8), size[::-1]) > 0, 200, 30).astype(np.uint8)
        for size in ((144, 160), (500, 550))
    ]
    coarsest = refine_heat(pixels, heats[0], traces[0])
    whole = refine_scales(pixels, coarsest, heats[1:], traces[1:])
    assert whole.shape == (1000, 1100)
    assert (whole[mask] >= 0.25).mean() > 0.5
    monkeypatch.setattr(refine, "_TILE_PX", 300)
    tiled = refine_scales(pixels, coarsest, heats[1:], traces[1:])
    np.testing.assert_allclose(tiled, whole, atol=0.03)


def test_each_place_has_the_most_of_any_scale():
    pixels = wall((900, 900))
    pixels[:, 300:304] = 20
    pixels[:, 600:604] = 20
    left, right = np.zeros((21, 21), np.float32), np.zeros((56, 56), np.float32)
    left[:, :12], right[:, 30:] = 1.0, 1.0
    refined = refine_scales(pixels, refine_heat(pixels, left), [right])
    assert refined[100:800, 302].min() > 0.1
    assert refined[100:800, 602].min() > 0.1
    assert refined[:, 800:].max() < 0.01
