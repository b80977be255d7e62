import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from cracklib.synthesis import (
    CRACK_KINDS,
    LINE_KINDS,
    WALL_KINDS,
    graft_crack,
    join_surfaces,
    render_crack,
    render_lines,
    render_wall,
    tilt,
)

PLAIN = np.full((160, 224, 3), 180, np.uint8)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", CRACK_KINDS)
def test_a_crack_changes_the_photo_where_its_mask_says(kind):
    pixels, mask = render_crack(PLAIN, generator(1), kind, width_px=6)
    assert pixels.shape == PLAIN.shape
    assert pixels.dtype == np.uint8
    assert mask.shape == PLAIN.shape[:2]
    assert 0.003 < mask.mean() < 0.4
    change = np.abs(pixels.astype(int) - PLAIN).mean(axis=2)
    # Its edges may be chipped, so what must stay as it was is what is away from it.
    away = distance_transform_edt(~mask) > 3 * 6 * 160 / 224
    assert change[mask].mean() > 10 * change[away].mean()


def test_the_photo_given_is_left_as_it_was():
    photo = PLAIN.copy()
    render_crack(photo, generator())
    render_lines(photo, generator())
    assert np.array_equal(photo, PLAIN)


def test_wider_cracks_cover_more():
    def covered(width_px: float) -> float:
        return sum(
            render_crack(PLAIN, generator(seed), "single", width_px)[1].mean() for seed in range(8)
        )

    assert covered(1) < covered(4) < covered(12)


def test_crack_width_grows_with_the_photo():
    small = np.full((224, 224, 3), 180, np.uint8)
    large = np.full((896, 896, 3), 180, np.uint8)
    shares = [
        np.mean([render_crack(p, generator(seed), "single", 6)[1].mean() for seed in range(8)])
        for p in (small, large)
    ]
    assert shares[1] == pytest.approx(shares[0], rel=0.5)


@pytest.mark.parametrize("kind", LINE_KINDS)
def test_lines_change_the_photo(kind):
    changed = [
        not np.array_equal(render_lines(PLAIN, generator(seed), kind), PLAIN) for seed in range(8)
    ]
    assert sum(changed) >= 6


@pytest.mark.parametrize("kind", WALL_KINDS)
@pytest.mark.parametrize("size", [(96, 160), (160, 96)])
def test_walls_have_the_size_asked_for_and_some_texture(kind, size):
    wall = render_wall(generator(2), size, kind)
    assert wall.shape == (*size, 3)
    assert wall.dtype == np.uint8
    assert wall.std() > 2


@pytest.mark.parametrize("seed", [0, 1])
def test_same_seed_same_picture(seed):
    def render() -> tuple[np.ndarray, np.ndarray]:
        rng = generator(seed)
        wall = join_surfaces(
            render_wall(rng, (120, 90)), tilt(render_wall(rng, (120, 90)), rng), rng
        )
        pixels, mask = render_crack(render_lines(wall, rng), rng)
        return pixels, mask

    for first, second in zip(render(), render(), strict=True):
        assert np.array_equal(first, second)


def test_other_seeds_give_other_pictures():
    first, second = (render_wall(generator(seed), (64, 64)) for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("kind", "least"), [("stepped", 0.6), ("opened", 0.85)])
def test_stepped_cracks_and_opened_joints_follow_the_joints_of_the_photo(kind, least):
    """On a photo with a dark grid, of which 0.29 is beside it, most of the crack is."""
    grid = np.zeros(PLAIN.shape[:2], bool)
    grid[16::32], grid[:, 16::32] = True, True
    tiles = np.where(grid[..., None], 90, 190).astype(np.uint8).repeat(3, axis=2)
    beside = cv2.dilate(grid.astype(np.uint8), np.ones((5, 5))) > 0
    along = [beside[render_crack(tiles, generator(seed), kind, 2)[1]].mean() for seed in range(20)]
    assert np.mean(along) > least


def crossed_by(*lines: tuple[int, int]) -> np.ndarray:
    """A plain grey close-up, 200 px a side, with dark lines from top to bottom at (column, px)."""
    donor = np.full((200, 200, 3), 170, np.uint8)
    for column, width_px in lines:
        donor[:, column : column + width_px] = 60
    return donor


def test_a_grafted_crack_darkens_the_photo_where_its_mask_says():
    grafts = [graft_crack(PLAIN, crossed_by((100, 4)), generator(seed)) for seed in range(12)]
    seen = 0
    for pixels, mask in grafts:
        assert pixels.shape == PLAIN.shape
        assert mask.shape == PLAIN.shape[:2]
        darker = PLAIN.astype(int).mean(axis=2) - pixels.mean(axis=2)
        assert (darker >= 0).all()
        assert (darker[mask] > 10).all()
        assert darker[~mask].max(initial=0) < 40
        seen += mask.sum() > 100
    assert seen >= 10


def test_a_crack_is_grafted_from_a_photo_of_any_size():
    donor = cv2.resize(crossed_by((100, 4)), (1600, 1600), interpolation=cv2.INTER_CUBIC)
    _, mask = graft_crack(PLAIN, donor, generator(1))
    assert mask.any()


def test_a_grafted_crack_fades_out_where_its_donor_ended():
    """Cut off along the donor's border, it would end in a straight edge that no crack has."""
    large = np.full((900, 900, 3), 180, np.uint8)
    pixels, mask = graft_crack(large, crossed_by((100, 6)), generator(1))
    rows, columns = np.nonzero(mask)
    assert 0 < rows.min() < rows.max() < 899 or 0 < columns.min() < columns.max() < 899
    steps = np.abs(np.diff(pixels.mean(axis=2), axis=0)), np.abs(np.diff(pixels.mean(axis=2)))
    ends = np.argsort(np.hypot(rows - rows.mean(), columns - columns.mean()))[-20:]
    for row, column in zip(rows[ends], columns[ends], strict=True):
        assert steps[0][row - 1 : row + 1, column].max() < 40
        assert steps[1][row, column - 1 : column + 1].max() < 40


@pytest.mark.parametrize(
    "donor",
    [
        pytest.param(crossed_by(), id="no crack"),
        pytest.param(crossed_by((50, 4), (100, 4), (150, 4)), id="several lines, as of joints"),
        pytest.param(crossed_by((60, 80)), id="half of it dark"),
    ],
)
def test_nothing_is_grafted_from_what_shows_no_single_crack(donor):
    assert graft_crack(PLAIN, donor, generator()) is None


def test_a_tilted_surface_keeps_its_size_and_tones():
    wall = render_wall(generator(), (120, 160), "brick")
    for seed in range(6):
        tilted = tilt(wall, generator(seed))
        assert tilted.shape == wall.shape
        assert not np.array_equal(tilted, wall)
        assert abs(tilted.mean() - wall.mean()) < 25


def test_two_joined_surfaces_both_show():
    dark, light = np.full((120, 160, 3), 90, np.uint8), np.full((120, 160, 3), 220, np.uint8)
    for seed in range(8):
        joined = join_surfaces(dark, light, generator(seed))
        assert joined.shape == dark.shape
        spread = np.percentile(joined, 95) - np.percentile(joined, 5)
        assert spread > 20
