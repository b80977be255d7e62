import numpy as np
import pytest

from cracklib import looks
from cracklib.looks import look_again
from cracklib.preprocess import to_batch
from cracklib.types import Photo
from tests.tiny import tiny_dense_engine

SIZE = (224, 336)


@pytest.fixture
def spot():
    """A light wall with a dark spot in one corner."""
    pixels = np.full((*SIZE, 3), 200, np.uint8)
    pixels[32:80, 240:320] = 0
    return pixels


def darkness(photo):
    """A cell for every 16 pixels: how dark it is."""
    return tiny_dense_engine(photo[np.newaxis])[0, ..., 0]


def first_look(look, pixels):
    return look(to_batch([Photo(pixels)], SIZE)[0])


def test_both_looks_find_the_spot_in_the_same_place(spot, monkeypatch):
    first = first_look(darkness, spot)
    again = look_again(darkness, spot, SIZE, first)
    assert again.dtype == np.float32
    # Cells of the two looks don't share borders, so the spot's rim is softer.
    np.testing.assert_allclose(again[3, 16:19], first[3, 16:19])
    assert again[:2].max() == again[5:].max() == again[:, :14].max() == 0
    monkeypatch.setattr(looks, "NEARER", 1.0)
    np.testing.assert_allclose(look_again(darkness, spot, SIZE, first), first)


def test_the_mean_of_two_looks_is_taken(spot):
    seen = []

    def look(photo):
        seen.append(photo.shape[:2])
        return np.full((29, 20), 4.0, np.float32)

    again = look_again(look, spot, SIZE, np.zeros((14, 21), np.float32))
    np.testing.assert_allclose(again, np.full((14, 21), 2.0), rtol=1e-6)
    assert seen == [(464, 320)]


def test_a_mirrored_photo_gets_the_same_answer_mirrored(spot, monkeypatch):
    """Exactly so where both looks are of one size: what the first minds, the second makes good."""
    monkeypatch.setattr(looks, "NEARER", 1.0)

    def lopsided(photo):
        found = darkness(photo)
        rows, columns = np.indices(found.shape)
        return (found * (rows + 2 * columns)).astype(np.float32)

    def found_in(pixels, size):
        return look_again(lopsided, pixels, size, lopsided(to_batch([Photo(pixels)], size)[0]))

    mirrored = np.ascontiguousarray(spot[::-1, ::-1].swapaxes(0, 1))
    found = found_in(mirrored, SIZE[::-1])[::-1, ::-1].T
    np.testing.assert_allclose(found, found_in(spot, SIZE), rtol=1e-5)
    assert not np.allclose(first_look(lopsided, spot), found_in(spot, SIZE))
