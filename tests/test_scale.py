import cv2
import numpy as np
import pytest

from cracklib.errors import ScaleError
from cracklib.scale import (
    WIDTH_CLASS_NOTE,
    Scale,
    render_marker,
    scale_from_marker,
    scale_from_points,
    width_class,
)


def wall_with_marker(side_px, turn_deg=0.0, squeeze=1.0):
    """A grey wall, 480 × 640, with a printed marker whose black square is ``side_px`` wide."""
    marker = render_marker(200)
    scale, turn = side_px / 200, np.radians(turn_deg)
    matrix = scale * np.array(
        [[np.cos(turn), -np.sin(turn)], [np.sin(turn) * squeeze, np.cos(turn) * squeeze]]
    )
    shift = np.array([320, 240]) - matrix @ np.array([149.5, 149.5])
    return cv2.warpAffine(
        marker, np.column_stack([matrix, shift]), (640, 480),
        flags=cv2.INTER_AREA, borderMode=cv2.BORDER_CONSTANT, borderValue=(150, 150, 150),
    )  # fmt: skip


def test_two_points():
    # A 3-4-5 triangle: 50 px for 215 mm, the length of a brick.
    assert scale_from_points((10, 20), (40, 60), 215).mm_per_px == pytest.approx(4.3)


def test_points_too_near():
    with pytest.raises(ScaleError, match=r"1\.0 px apart"):
        scale_from_points((10, 20), (11, 20), 215)


@pytest.mark.parametrize("distance", [0, -3, float("nan"), float("inf")])
def test_distance_must_be_one(distance):
    with pytest.raises(ScaleError, match="above 0"):
        scale_from_points((0, 0), (100, 0), distance)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_number_must_be_one(value):
    with pytest.raises(ScaleError, match="above 0"):
        Scale(value)


@pytest.mark.parametrize("side_px", [60, 101, 180])
@pytest.mark.parametrize("turn_deg", [0, 33, 200])
def test_marker(side_px, turn_deg):
    photo = wall_with_marker(side_px, turn_deg)
    assert scale_from_marker(photo, 50).mm_per_px == pytest.approx(50 / side_px, rel=0.02)


def test_no_marker():
    with pytest.raises(ScaleError, match="No ArUco marker of DICT_4X4_50"):
        scale_from_marker(np.full((100, 100, 3), 90, np.uint8), 50)


def test_a_marker_at_an_angle_gives_no_scale():
    with pytest.raises(ScaleError, match="at an angle"):
        scale_from_marker(wall_with_marker(150, squeeze=0.7), 50)


def test_marker_side_must_be_a_length():
    with pytest.raises(ScaleError, match="The marker's side"):
        scale_from_marker(wall_with_marker(150), 0)


@pytest.mark.parametrize(
    ("width_mm", "expected"),
    [
        (0.05, "hairline, under 0.1 mm"),
        (0.1, "fine, up to 1 mm"),
        (1.0, "fine, up to 1 mm"),
        (1.01, "up to 5 mm"),
        (5.0, "up to 5 mm"),
        (15.0, "up to 15 mm"),
        (25.0, "up to 25 mm"),
        (25.1, "over 25 mm"),
    ],
)
def test_classes_of_bre_digest_251(width_mm, expected):
    assert width_class(width_mm) == expected


def test_the_note_gives_an_indication_and_no_opinion():
    assert "indication" in WIDTH_CLASS_NOTE
    assert "not an opinion on the structure" in WIDTH_CLASS_NOTE
