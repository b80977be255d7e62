import numpy as np
import pytest

from cracklib.faithfulness import measure_faithfulness

SIZE = (40, 60)


@pytest.fixture
def photo():
    """Black on a quarter of a light wall, and how black that is as the probability of a crack."""
    pixels = np.full((*SIZE, 3), 200, np.uint8)
    pixels[:20, :30] = 0
    return pixels


def blackness(pixels):
    return float((pixels[:20, :30, 0] < 10).mean())


def heat_at(rows, columns):
    heat = np.zeros(SIZE, np.float32)
    heat[rows, columns] = 1.0
    return heat


RIGHT = heat_at(slice(0, 20), slice(0, 30))
WRONG = heat_at(slice(20, 40), slice(30, 60))


def test_the_right_pixels_take_the_probability_with_them(photo):
    found = measure_faithfulness(blackness, photo, RIGHT, steps=4)
    assert found.shares == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    whole, gone, *_ = found.deletion
    assert (whole, found.insertion[-1]) == (1.0, 1.0)
    assert gone == found.deletion[-1] == found.insertion[0]
    assert found.insertion[1:] == pytest.approx([1.0] * 4)
    assert found.drop == 0.0


def test_the_wrong_pixels_change_nothing_until_all_are_gone(photo):
    found = measure_faithfulness(blackness, photo, WRONG, steps=4)
    assert found.deletion[1] == 1.0
    assert found.insertion[1] == found.insertion[0]
    assert found.drop == pytest.approx(1 - found.insertion[0])


def test_areas_tell_a_right_map_from_a_wrong_one(photo):
    right, wrong = (measure_faithfulness(blackness, photo, heat) for heat in (RIGHT, WRONG))
    assert right.deletion_area < wrong.deletion_area
    assert right.insertion_area > wrong.insertion_area


def test_a_flat_map_takes_pixels_from_everywhere(photo):
    found = measure_faithfulness(blackness, photo, np.zeros(SIZE, np.float32), steps=4)
    left = found.deletion - found.deletion[-1]
    assert left[1:4] == pytest.approx(left[0] * np.array([0.75, 0.5, 0.25]), abs=0.06)


def test_a_map_of_another_size_is_refused(photo):
    with pytest.raises(ValueError, match=r"\(7, 7\).*\(40, 60\)"):
        measure_faithfulness(blackness, photo, np.zeros((7, 7), np.float32))
