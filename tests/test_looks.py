import numpy as np
import pytest

from cracklib.looks import look_again
from cracklib.preprocess import IMAGENET_MEANS_BGR, to_batch
from cracklib.types import Photo
from tests.tiny import tiny_dense_engine


@pytest.fixture
def photo():
    """A light wall, preprocessed, with a dark spot in one corner."""
    pixels = np.full((224, 336, 3), 200, np.uint8)
    pixels[32:80, 240:320] = 0
    return to_batch([Photo(pixels)], (224, 336))[0]


def darkness(photo):
    """A cell for every 16 pixels: how dark it is."""
    return tiny_dense_engine(photo[np.newaxis])[0, ..., 0]


def lopsided(photo):
    """As a network that minds where in the photo the spot is."""
    found = darkness(photo)
    rows, columns = np.indices(found.shape)
    return (found * (rows + 2 * columns)).astype(np.float32)


def test_both_looks_find_the_spot_in_the_same_place(photo):
    first = darkness(photo)
    again = look_again(darkness, photo, first)
    assert again.dtype == np.float32
    assert first.max() > 0
    np.testing.assert_array_equal(again, first)


def test_the_mean_of_both_looks_is_taken(photo):
    seen = []

    def look(photo):
        seen.append(photo.shape)
        return np.full((21, 14), 4.0, np.float32)

    again = look_again(look, photo, np.zeros((14, 21), np.float32))
    np.testing.assert_array_equal(again, np.full((14, 21), 2.0))
    assert seen == [(336, 224, 3)]


def test_the_second_look_sees_no_colour():
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:112] = 240, 120, 60
    seen = []

    def look(photo):
        seen.append(photo + IMAGENET_MEANS_BGR)
        return np.zeros((14, 14), np.float32)

    look_again(look, to_batch([Photo(pixels)])[0], np.zeros((14, 14), np.float32))
    [grey] = seen
    np.testing.assert_allclose(grey, grey[..., :1].repeat(3, axis=-1), atol=1e-3)
    assert np.ptp(grey) > 100


def test_a_mirrored_photo_gets_the_same_answer_mirrored(photo):
    mirrored = np.ascontiguousarray(photo.transpose(1, 0, 2))
    once, twice = (
        [found(seen) for seen in (photo, mirrored)]
        for found in (lopsided, lambda seen: look_again(lopsided, seen, lopsided(seen)))
    )
    assert not np.allclose(once[1].T, once[0])
    np.testing.assert_allclose(twice[1].T, twice[0], rtol=1e-6)
