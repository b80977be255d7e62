import cv2
import numpy as np
import pytest

from cracklib.regions import find_regions

SIZE = (200, 240)


def cover(polygon, size=SIZE):
    """The share of each pixel inside a polygon of (x, y), by 16 × 16 points a pixel."""
    parts = 16
    canvas = np.zeros((size[0] * parts, size[1] * parts), np.uint8)
    # fillPoly takes the centres of its pixels, whose first is at half a part.
    cv2.fillPoly(canvas, [np.rint(np.array(polygon) * parts - 0.5).astype(int)], 1)
    return canvas.reshape(size[0], parts, size[1], parts).mean(axis=(1, 3))


def bar(width, length, angle_deg, centre=(120, 100)):
    """Corners of a bar that rises to the right by ``angle_deg``."""
    along = np.array([np.cos(np.radians(angle_deg)), -np.sin(np.radians(angle_deg))])
    across = np.array([-along[1], along[0]])
    ends = ((-1, -1), (-1, 1), (1, 1), (1, -1))
    return [np.array(centre) + a * along * length / 2 + b * across * width / 2 for a, b in ends]


def photograph(coverage, blur=0.5, wall=180, floor=40):
    """A wall with a dark thing on it; in a pixel it is light that mixes, not pixel values."""
    shade = ((np.array([wall, floor]) / 255 + 0.055) / 1.055) ** 2.4
    light = shade[0] + (shade[1] - shade[0]) * cv2.GaussianBlur(coverage, (0, 0), blur)
    grey = np.rint(255 * (1.055 * light ** (1 / 2.4) - 0.055)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def regions_of(coverage, mask=None, evidence=1.0):
    mask = coverage >= 0.4 if mask is None else mask
    heat = np.broadcast_to(np.asarray(evidence, np.float32), mask.shape)
    return find_regions(photograph(coverage), mask, heat)


@pytest.mark.parametrize("angle", [0, 17, 45, 90, 120, 161])
@pytest.mark.parametrize("width", [1.5, 3, 6.5, 14])
def test_a_bar(width, angle):
    [region] = regions_of(cover(bar(width, 140, angle)))
    assert region.length_px == pytest.approx(140, abs=2)
    assert region.mean_width_px == pytest.approx(width, abs=0.35)
    assert region.max_width_px == pytest.approx(width, abs=0.5)
    assert (region.orientation_deg - angle + 90) % 180 - 90 == pytest.approx(0, abs=1)
    assert region.branches == 0
    assert len(region.centreline) == 1


@pytest.mark.parametrize("grown_by", [1, 2, 3])
def test_the_width_is_the_photos_and_not_the_masks(grown_by):
    coverage = cover(bar(2, 140, 30))
    grown = cv2.dilate((coverage > 0.4).astype(np.uint8), None, iterations=grown_by) > 0
    [region] = regions_of(coverage, mask=grown)
    assert region.mean_width_px == pytest.approx(2, abs=0.4)


@pytest.mark.parametrize("mortar", [235, 90])
def test_joints_crossed_and_beside_do_not_widen_a_thin_crack(mortar):
    coverage = cover(bar(1.2, 180, 0))
    pixels = photograph(coverage)
    joints = np.zeros(SIZE, bool)
    joints[105:117] = True
    joints[:, 80:88] = joints[:, 160:168] = True
    joints &= coverage == 0
    pixels[joints] = mortar
    grown = cv2.dilate((coverage > 0.2).astype(np.uint8), None) > 0
    [region] = find_regions(pixels, grown, grown.astype(np.float32))
    assert region.mean_width_px == pytest.approx(1.2, abs=0.5)
    assert region.max_width_px == pytest.approx(1.2, abs=0.8)


def test_the_centreline_lies_in_the_middle():
    # From (20, 61) to (220, 61): the bar's upper edge is at 58.5, its lower at 63.5.
    [region] = regions_of(cover(bar(5, 200, 0, centre=(120, 61))))
    [line] = region.centreline
    # A line of whole pixels can't be nearer than half a one; thinning bends its very ends.
    np.testing.assert_allclose(line[4:-4, 1], 61, atol=0.51)
    assert sorted((line[0, 0], line[-1, 0])) == pytest.approx([20, 220], abs=1)


def test_where_the_photo_shows_nothing_the_width_is_the_masks():
    mask = np.zeros(SIZE, bool)
    mask[50:57, 20:220] = True
    flat = np.full((*SIZE, 3), 150, np.uint8)
    [region] = find_regions(flat, mask, np.ones(SIZE, np.float32))
    assert region.mean_width_px == pytest.approx(7, abs=0.1)
    assert region.area_px == pytest.approx(7 * 200, rel=0.03)
    assert region.share == region.area_px / (200 * 240)
    assert region.box == pytest.approx((20, 50, 200, 7), abs=0.1)


def test_t_has_one_branch():
    coverage = np.maximum(
        cover(bar(4, 180, 0, centre=(120, 60))), cover(bar(4, 80, 90, centre=(120, 100)))
    )
    [region] = regions_of(coverage)
    assert region.branches == 1
    assert len(region.centreline) == 3
    # 180 along, and from the line's middle at 60 down to 140.
    assert region.length_px == pytest.approx(180 + 80, abs=4)
    assert region.mean_width_px == pytest.approx(4, abs=0.35)


def test_x_has_two():
    coverage = np.maximum(cover(bar(4, 120, 20)), cover(bar(4, 120, 110)))
    [region] = regions_of(coverage)
    assert region.branches == 2
    assert region.length_px == pytest.approx(240, abs=6)
    assert region.orientation_deg is None


def test_ring():
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    radius = np.hypot(columns + 0.5 - 120, rows + 0.5 - 100)
    coverage = np.clip(2.5 - np.abs(radius - 60) + 0.5, 0, 1)
    [region] = regions_of(coverage)
    assert region.branches == 0
    assert region.length_px == pytest.approx(2 * np.pi * 60, rel=0.01)
    assert region.mean_width_px == pytest.approx(5, abs=0.35)
    assert region.orientation_deg is None
    [hole] = region.holes
    assert np.ptp(region.outline, axis=0) == pytest.approx([125, 125], abs=1.5)
    assert np.ptp(hole, axis=0) == pytest.approx([115, 115], abs=1.5)


def test_bumps_on_the_edge_are_no_branches():
    coverage = cover(bar(9, 160, 0))
    for x in range(60, 190, 15):
        coverage[91:96, x : x + 3] = 1
    [region] = regions_of(coverage)
    assert region.branches == 0
    assert region.length_px == pytest.approx(160, abs=4)


def test_a_small_gap_parts_no_crack_and_a_wide_one_does():
    coverage = cover(bar(2, 200, 0, centre=(120, 50)))
    mask = coverage > 0.4
    mask[:, 100:104] = False
    [region] = regions_of(coverage, mask)
    assert region.length_px == pytest.approx(200, abs=2)
    mask[:, 100:112] = False
    assert [r.length_px for r in regions_of(coverage, mask)] == pytest.approx([108, 80], abs=2)


def test_specks_are_no_cracks():
    coverage = cover(bar(3, 8, 30))
    assert regions_of(coverage) == ()


def test_ranked_by_length_and_evidence():
    long, short = bar(3, 160, 0, centre=(120, 50)), bar(3, 100, 0, centre=(120, 150))
    coverage = np.maximum(cover(long), cover(short))
    evidence = np.full(SIZE, 0.25, np.float32)
    assert [round(r.length_px, -1) for r in regions_of(coverage, evidence=evidence)] == [160, 100]
    evidence[100:] = 0.75
    first, second = regions_of(coverage, evidence=evidence)
    assert (round(first.length_px, -1), first.evidence) == (100, 0.75)
    assert (round(second.length_px, -1), second.evidence) == (160, 0.25)


def test_a_crack_that_runs_out_of_the_photo():
    [region] = regions_of(cover(bar(3, 600, 0)))
    assert region.length_px == pytest.approx(240, abs=1)
    assert region.mean_width_px == pytest.approx(3, abs=0.35)
    x, _, width, _ = region.box
    assert (x, width) == pytest.approx((0, 240), abs=0.5)


def test_no_mask_no_regions():
    assert regions_of(np.zeros(SIZE)) == ()


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="differ"):
        find_regions(
            np.zeros((40, 50, 3), np.uint8), np.zeros((50, 40), bool), np.zeros((40, 50), "f4")
        )
