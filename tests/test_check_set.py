import numpy as np
import pytest

from cracklib.check_set import CHECK_SET
from cracklib.synthesis import CRACK_KINDS, WALL_KINDS


def test_every_wall_has_every_crack_and_a_pair_without_it():
    assert len(CHECK_SET) == 60
    assert {(p.wall, p.crack) for p in CHECK_SET} == {
        (wall, crack) for wall in WALL_KINDS for crack in CRACK_KINDS
    }
    assert {(p.number, p.cracked) for p in CHECK_SET} == {
        (number, cracked) for number in range(30) for cracked in (False, True)
    }
    assert len({picture.name for picture in CHECK_SET}) == 60


@pytest.mark.parametrize("number", [0, 9])
def test_a_pair_is_one_wall_without_and_with_a_crack(number):
    sound, cracked = (p.render().pixels for p in CHECK_SET if p.number == number)
    changed = (sound != cracked).any(axis=2)
    assert 0.002 < changed.mean() < 0.5


def test_pictures_are_always_the_same_and_differ_from_each_other():
    first, again, other = (CHECK_SET[i].render().pixels for i in (1, 1, 3))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
