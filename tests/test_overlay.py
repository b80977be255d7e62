import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps

from cracklib.overlay import (
    COLORMAPS,
    colormap_table,
    fit_heat,
    render_overlay,
    render_swatch,
    upsample_heat,
)
from cracklib.types import Photo


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return pixels, rng.random((height, width), dtype=np.float32)


def plain_overlay(pixels, heat, opacity, colormap, threshold):
    """The definition, in float64 and before rounding."""
    table = (colormaps[colormap](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    colours = table[np.rint(heat * 255).astype(int)].astype(float)
    blended = (1 - opacity) * pixels + opacity * colours
    return np.where((heat >= np.float32(threshold))[..., None], blended, pixels)


@pytest.mark.parametrize("colormap", COLORMAPS)
@settings(max_examples=20, deadline=None)
@given(
    opacity=st.floats(0, 1),
    threshold=st.floats(0, 1),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_definition_to_the_nearest(colormap, opacity, threshold, size, seed):
    pixels, heat = noise(*size, seed)
    overlay = render_overlay(pixels, heat, opacity, colormap, threshold)
    exact = plain_overlay(pixels, heat, opacity, colormap, threshold)
    assert overlay.dtype == np.uint8
    assert overlay.shape == pixels.shape
    assert np.abs(overlay - exact).max() <= 0.5 + 1e-4


def test_one_pixel_by_hand():
    # jet is (127, 0, 0) at heat 1: 0.75 * (200, 100, 40) + 0.25 * (127, 0, 0)
    pixels = np.array([[[200, 100, 40]]], np.uint8)
    overlay = render_overlay(pixels, np.ones((1, 1), np.float32), 0.25, "jet")
    assert overlay.tolist() == [[[182, 75, 30]]]


def test_opacity_0_gives_the_photo_and_1_the_bare_colours():
    pixels, heat = noise(30, 20)
    np.testing.assert_array_equal(render_overlay(pixels, heat, 0.0), pixels)
    colours = colormap_table("viridis")[np.rint(heat * 255).astype(int)]
    np.testing.assert_array_equal(render_overlay(pixels, heat, 1.0, "viridis"), colours)


def test_threshold_compares_the_heat_itself_not_its_256_levels():
    # All three share the level rint(0.5 * 255) = 128, and 0.5 counts as reached.
    heat = np.array([[0.4995, 0.5, 0.5005]], np.float32)
    pixels = np.full((1, 3, 3), 10, np.uint8)
    overlay = render_overlay(pixels, heat, 1.0, "jet", threshold=0.5)
    assert (overlay == 10).all(axis=2).tolist() == [[True, False, False]]


def test_a_cold_wall_is_left_untouched():
    pixels, _ = noise(8, 8)
    cold = np.full((8, 8), 0.24, np.float32)
    np.testing.assert_array_equal(render_overlay(pixels, cold, 0.9, threshold=0.25), pixels)


def test_takes_a_photos_read_only_pixels_and_leaves_them():
    pixels, heat = noise(10, 12)
    before = pixels.copy()
    for threshold in (0.0, 0.5):
        overlay = render_overlay(Photo(pixels).pixels, heat, threshold=threshold)
        assert not np.shares_memory(overlay, pixels)
    np.testing.assert_array_equal(pixels, before)


def test_smaller_heat_is_upsampled():
    pixels, _ = noise(56, 42)
    _, small = noise(14, 14)
    np.testing.assert_array_equal(
        render_overlay(pixels, small), render_overlay(pixels, upsample_heat(small, (56, 42)))
    )


def test_saturated_heat_stays_in_range_after_upsampling():
    hot = upsample_heat(np.ones((14, 14), np.float32), (333, 517))
    pixels, _ = noise(333, 517)
    assert (render_overlay(pixels, hot, 1.0) == colormap_table("jet")[255]).all()


def test_upsampling_is_bilinear_between_pixel_centres():
    # Centres of 2 cells over 4 pixels: pixel centres lie at -0.25, 0.25, 0.75, 1.25 cells.
    heat = np.array([[0.0, 1.0]], np.float32)
    np.testing.assert_allclose(upsample_heat(heat, (1, 4)), [[0.0, 0.25, 0.75, 1.0]], atol=1e-6)


@given(
    rows=st.integers(1, 14), columns=st.integers(1, 14), scale=st.integers(1, 9), seed=st.integers()
)
def test_upsampling_stays_between_the_extremes_and_keeps_the_size(rows, columns, scale, seed):
    heat = np.random.default_rng(abs(seed)).normal(size=(rows, columns)).astype(np.float32)
    upsampled = upsample_heat(heat, (rows * scale, columns * scale + 1))
    assert upsampled.shape == (rows * scale, columns * scale + 1)
    assert upsampled.dtype == np.float32
    assert heat.min() <= upsampled.min() <= upsampled.max() <= heat.max()


def test_upsampling_commutes_with_projection():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(14, 14, 32)).astype(np.float32)
    weights = rng.normal(size=32).astype(np.float32)
    upsampled = np.stack([upsample_heat(features[..., c], (60, 90)) for c in range(32)], axis=-1)
    np.testing.assert_allclose(
        upsample_heat(features @ weights, (60, 90)), upsampled @ weights, atol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"opacity": -0.1}, "opacity"),
        ({"opacity": 1.5}, "opacity"),
        ({"threshold": 1.01}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"heat": np.full((4, 4), 1.2, np.float32)}, "heat"),
        ({"heat": np.full((4, 4), -0.2, np.float32)}, "heat"),
        ({"heat": np.full((4, 4), np.nan, np.float32)}, "heat"),
        ({"colormap": "rainbow"}, "jet, turbo, viridis, magma, inferno, cividis"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    arguments = {"pixels": np.zeros((4, 4, 3), np.uint8), "heat": np.zeros((4, 4), np.float32)}
    with pytest.raises(ValueError, match=message):
        render_overlay(**arguments | change)


@pytest.mark.parametrize("name", COLORMAPS)
def test_tables_are_matplotlibs_and_shared_safely(name):
    table = colormap_table(name)
    expected = colormaps[name](np.arange(256))[:, :3]
    assert table.dtype == np.uint8
    assert np.abs(table / 255 - expected).max() <= 1 / 255
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 0


def test_swatch_runs_from_the_coldest_colour_to_the_hottest():
    swatch = render_swatch("magma", width_px=64, height_px=5)
    assert swatch.shape == (5, 64, 3)
    assert (swatch[:, 0] == colormap_table("magma")[0]).all()
    assert (swatch[:, -1] == colormap_table("magma")[255]).all()
    np.testing.assert_array_equal(render_swatch("jet")[0], colormap_table("jet"))


def test_a_line_of_one_pixel_is_still_seen_from_afar():
    heat = np.zeros((300, 400), np.float32)
    heat[:, 123] = 0.7
    fitted = fit_heat(heat, (30, 41))
    assert fitted.shape == (30, 41)
    assert (fitted[:, 12] == np.float32(0.7)).all()
    assert (fitted[:, :10] == 0).all()
    assert (fitted[:, 16:] == 0).all()


def test_heat_fits_larger_pictures_and_its_own_size():
    heat = np.random.default_rng(0).random((14, 14), np.float32)
    np.testing.assert_array_equal(fit_heat(heat, (90, 60)), upsample_heat(heat, (90, 60)))
    assert fit_heat(heat, (14, 14)) is heat
