import numpy as np
import pytest

from cracklib.looks import FIRST_LOOK_SIZE, look_twice, second_look_size
from cracklib.preprocess import IMAGENET_MEANS_BGR, large_input_size, to_input
from cracklib.types import Look
from tests.tiny import tiny_dense_map


@pytest.fixture
def pixels():
    """A light wall with a dark spot in one corner."""
    pixels = np.full((240, 320, 3), 200, np.uint8)
    pixels[40:80, 240:300] = 0
    return pixels


def darkness(photo):
    """A cell for every 16 pixels: how dark it is."""
    return Look(tiny_dense_map(photo[np.newaxis])[0, ..., 0])


def test_both_looks_find_the_spot_in_the_same_place(pixels):
    seen_at = (288, 384)
    once = darkness(to_input(pixels, seen_at)).evidence
    twice = look_twice(darkness, pixels, seen_at).evidence
    assert twice.dtype == np.float32
    assert twice.shape == once.shape == (18, 24)
    assert twice[4, 19:22].min() > 0.9 * once[4, 19:22].min() > 0
    assert twice[7:].max() == twice[:, :17].max() == 0


def test_the_mean_of_both_looks_is_taken(pixels):
    seen = []

    def look(photo):
        seen.append(photo.shape)
        first = len(seen) == 1
        evidence = np.full((18, 24), 0.0) if first else np.full((19, 14), 4.0)
        return Look(evidence.astype(np.float32), known_surface=first)

    twice = look_twice(look, pixels, (288, 384))
    np.testing.assert_array_equal(twice.evidence, np.full((18, 24), 2.0))
    assert seen == [(288, 384, 3), (304, 224, 3)]
    assert twice.known_surface, "what the first look says"


def test_what_the_first_look_traces_is_looked_for_in_the_photo(pixels):
    trace = np.full((144, 192), 255, np.uint8)

    def look(photo):
        evidence = np.zeros(tuple(side // 16 for side in photo.shape[:2]), np.float32)
        return Look(evidence, trace=trace if photo.shape[:2] == (288, 384) else None)

    likeness = look_twice(look, pixels, (288, 384)).likeness
    assert likeness.shape == (240, 320)
    assert likeness[60, 241] > 1.5 * likeness[160, 100], "traced, and darker than the wall"
    assert look_twice(darkness, pixels, (288, 384)).likeness is None, "nothing traced"


def test_the_second_look_sees_no_colour():
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:112] = 240, 120, 60
    seen = []

    def look(photo):
        seen.append(photo + IMAGENET_MEANS_BGR)
        return Look(np.zeros((14, 14), np.float32))

    look_twice(look, pixels, FIRST_LOOK_SIZE)
    _, grey = seen
    np.testing.assert_allclose(grey, grey[..., :1].repeat(3, axis=-1), atol=1e-3)
    assert np.ptp(grey) > 100


@pytest.mark.parametrize(
    ("size", "seen_at"),
    [
        ((240, 320), (224, 224)),
        ((224, 224), (224, 224)),
        ((200, 300), (192, 192)),
        ((150, 150), (160, 160)),
        ((32, 32), (160, 160)),
        ((1200, 1600), (224, 304)),
        ((3000, 3000), (256, 256)),
    ],
)
def test_the_second_look_is_smaller_and_does_not_enlarge(size, seen_at):
    assert second_look_size(size, large_input_size(size) or FIRST_LOOK_SIZE) == seen_at
