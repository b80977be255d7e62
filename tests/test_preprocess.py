import numpy as np
import pytest

from cracklib.preprocess import (
    brighten,
    large_input_size,
    light_gain,
    preprocess_pixels,
    resize_to_input,
    to_input,
)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)


def test_agrees_with_keras(noise):
    from cracklib.model import keras

    expected = keras.applications.vgg16.preprocess_input(noise.astype(np.float32))
    np.testing.assert_array_equal(preprocess_pixels(noise), expected)


def test_by_hand():
    red = np.array([255, 0, 10], np.uint8)
    np.testing.assert_allclose(
        preprocess_pixels(red), [10 - 103.939, -116.779, 255 - 123.68], rtol=1e-6
    )


def test_leaves_the_pixels_alone(noise):
    before = noise.copy()
    result = preprocess_pixels(noise)
    result += 1
    np.testing.assert_array_equal(noise, before)


@pytest.mark.parametrize(("side", "given", "seen"), [(40, 0, 0), (224, 100, 140), (900, 255, 255)])
def test_photos_of_any_size_are_squeezed_to_the_size_asked_for(side, given, seen):
    made = to_input(np.full((side, 500, 3), given, np.uint8), (288, 384))
    assert made.shape == (288, 384, 3)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[0, 0, 2], seen - 123.68, rtol=1e-5)


def test_no_thin_crack_is_lost_where_one_side_shrinks_and_the_other_grows():
    pixels = np.full((200, 4000, 3), 180, np.uint8)
    for x in range(100, 4000, 200):
        pixels[:, x + x // 200 : x + x // 200 + 2] = 40
    seen = resize_to_input(pixels, (224, 1024))
    assert seen.shape == (224, 1024, 3)
    darkest = [seen[:, at : at + 50].min() for at in range(2, 1000, 51)]
    assert max(darkest) <= 145


@pytest.mark.parametrize(
    ("given", "seen"),
    [(200, 200), (140, 140), (100, 140), (70, 140), (56, 140), (20, 50), (0, 0)],
)
def test_a_dark_photo_is_shown_brighter_within_limits(given, seen):
    pixels = np.full((50, 50, 3), given, np.uint8)
    assert abs(int(brighten(pixels, light_gain(pixels))[0, 0, 0]) - seen) <= 1


def test_a_crack_keeps_its_contrast_and_moves_the_light_of_nothing_else():
    sound = np.full((100, 100, 3), 80, np.uint8)
    cracked = sound.copy()
    cracked[:, 40:44] = 20
    assert light_gain(cracked) == light_gain(sound)
    brighter = brighten(cracked, light_gain(cracked))
    assert brighter[0, 0, 0] / brighter[0, 41, 0] == 4


def test_bright_parts_of_a_dark_photo_burn_out_and_do_not_wrap_round():
    pixels = np.full((50, 50, 3), 30, np.uint8)
    pixels[:10] = 200
    assert brighten(pixels, light_gain(pixels)).max() == 255


def test_shrinking_averages():
    """A thin line must not fall between the samples: INTER_LINEAR would lose most of it."""
    pixels = np.full((2240, 2240, 3), 200, np.uint8)
    pixels[:, 1002] = 0
    resized = resize_to_input(pixels)
    assert np.unique(resized[:, 100]).tolist() == [180]


def test_enlarging_interpolates():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[:, 1] = 100
    row = resize_to_input(pixels)[0, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] == 100
    assert np.diff(row).max() <= 1


def test_input_size_is_left_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize_to_input(pixels), pixels)


@pytest.mark.parametrize(
    ("size", "seen_at"),
    [
        ((448, 448), None),
        ((40, 448), None),
        ((449, 449), (336, 336)),
        ((3000, 4000), (288, 384)),
        ((4000, 3000), (384, 288)),
        # Strips: the short side has what it had before, the long side ends somewhere.
        ((500, 1000), (240, 480)),
        ((300, 3000), (224, 1024)),
        ((20, 9000), (224, 1024)),
    ],
)
def test_large_photos_are_seen_larger_in_their_own_shape(size, seen_at):
    assert large_input_size(size) == seen_at
