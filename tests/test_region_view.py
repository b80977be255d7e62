import numpy as np
import pytest

from cracklib.region_view import render_region_view
from cracklib.regions import find_regions

GREY = np.full((200, 400, 3), 120, np.uint8)


@pytest.fixture
def regions():
    """One 100 px long in the upper left, one 60 px long in the lower right."""
    mask = np.zeros((200, 400), bool)
    mask[30:36, 20:120] = mask[150:156, 320:380] = True
    return find_regions(GREY, mask, np.ones((200, 400), np.float32))


def drawn(view):
    """(left, top, right, bottom) of what is no longer grey."""
    rows, columns = np.nonzero((view != 120).any(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_all_of_them_on_the_whole_photo(regions):
    view = render_region_view(GREY, regions, None, 400)
    assert view.shape == GREY.shape
    left, _, right, bottom = drawn(view)
    assert (left, right, bottom) == pytest.approx((20, 380, 156), abs=4)
    assert (GREY == 120).all()


def test_the_chosen_one_from_near(regions):
    # The second crack's box is 60 × 6 px at (320, 150); with 24 + 6 px around it the photo's
    # columns 290 to 400 are shown, 110 px, enlarged 4 times to 440.
    view = render_region_view(GREY, regions, 1, 440)
    assert view.shape[1] == 440
    assert drawn(view)[0] == pytest.approx(4 * (320 - 290), abs=6)


def test_no_pixel_is_enlarged_beyond_use(regions):
    view = render_region_view(GREY, regions, 1, 5000)
    assert view.shape[1] == 6 * 110
