import csv
import io
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cracklib.doubts import Doubt
from cracklib.export import ExportedPhoto, to_coco, to_csv, to_geojson
from cracklib.regions import CrackRegion
from cracklib.scale import Scale

SQUARE = np.array([[10, 20], [50, 20], [50, 60], [10, 60], [10, 20]], float)
HOLE = np.array([[20, 30], [40, 30], [40, 50], [20, 50], [20, 30]], float)


def region(**changes):
    values = {
        "outline": SQUARE,
        "holes": (),
        "centreline": (np.array([[10.0, 40.0], [50.0, 40.0]]),),
        "widths_px": (np.array([2.0, 4.0]),),
        "length_px": 40.0,
        "mean_width_px": 3.0,
        "max_width_px": 4.0,
        "orientation_deg": 0.0,
        "branches": 0,
        "area_px": 120.0,
        "share": 0.16,
        "evidence": 0.5,
    }
    return CrackRegion(**(values | changes))


SIZE = (80, 125)
PHOTO = ExportedPhoto("wall.jpg", SIZE, "crack", 0.97531, "ab12")
SCALED = replace(PHOTO, scale=Scale(0.5))
REGIONS = [region(), region(holes=(HOLE,), orientation_deg=None, max_width_px=30.0)]


def test_csv_has_a_row_a_crack():
    first, second = csv.DictReader(io.StringIO(to_csv(REGIONS, PHOTO)))
    assert first["crack"] == "1"
    assert float(first["length_px"]) == 40
    assert float(first["mean_width_px"]) == 3
    assert [float(first[name]) for name in ("x", "y", "box_width", "box_height")] == [
        *(10, 20, 40, 40)
    ]
    assert "length_mm" not in first
    assert (second["crack"], second["orientation_deg"]) == ("2", "")


def test_csv_in_millimetres():
    first, second = csv.DictReader(io.StringIO(to_csv(REGIONS, SCALED)))
    assert float(first["length_mm"]) == 20
    assert float(first["mean_width_mm"]) == 1.5
    assert float(first["max_width_mm"]) == 2
    assert first["width_class"] == "up to 5 mm"
    assert second["width_class"] == "up to 15 mm"


def test_a_hair_under_180_degrees_is_written_as_level():
    [row] = csv.DictReader(io.StringIO(to_csv([region(orientation_deg=179.99)], PHOTO)))
    assert float(row["orientation_deg"]) == 0


def test_csv_of_nothing_still_has_its_header():
    [header] = to_csv([], PHOTO).splitlines()
    assert header.startswith("photo,crack,length_px,")


def test_geojson_gives_outline_and_centreline():
    collection = json.loads(json.dumps(to_geojson(REGIONS, SCALED)))
    assert collection["type"] == "FeatureCollection"
    assert collection["photo"] == {
        "name": "wall.jpg",
        "width_px": 125,
        "height_px": 80,
        "verdict": "crack",
        "probability": 0.9753,
        "mm_per_px": 0.5,
        "doubts": [],
        "model_sha256": "ab12",
    }
    outline, centreline, with_hole, _ = collection["features"]
    assert outline["geometry"] == {"type": "Polygon", "coordinates": [SQUARE.tolist()]}
    assert centreline["geometry"] == {
        "type": "MultiLineString",
        "coordinates": [[[10, 40], [50, 40]]],
    }
    assert outline["properties"]["part"] == "outline"
    assert centreline["properties"]["length_mm"] == 20
    assert with_hole["geometry"]["coordinates"] == [SQUARE.tolist(), HOLE.tolist()]


def filled(polygon, size=SIZE):
    """A mask of the even-odd inside of a COCO polygon, as its tools draw it."""
    corners = np.rint(np.reshape(polygon, (-1, 2))).astype(np.int32)
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [corners], 1)
    return canvas


@pytest.mark.parametrize("hole", [HOLE, HOLE[::-1]])
def test_coco_polygons_leave_holes_out(hole):
    coco = json.loads(json.dumps(to_coco([region(holes=(hole,))], PHOTO)))
    [annotation] = coco["annotations"]
    [polygon] = annotation["segmentation"]
    mask = filled(polygon)
    assert (mask[25, 30], mask[40, 15], mask[40, 30], mask[5, 5]) == (1, 1, 0, 0)
    x, y = np.reshape([*polygon, *polygon[:2]], (-1, 2)).T
    area = abs((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2
    assert annotation["area"] == area == 40 * 40 - 20 * 20


def test_coco_polygons_leave_many_holes_out():
    corners = [(x, y) for x in (14, 30, 42) for y in (24, 34, 50)]
    square = np.array([(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)], float)
    holes = tuple(square + corner for corner in corners)
    coco = to_coco([region(holes=holes)], PHOTO)
    [polygon] = coco["annotations"][0]["segmentation"]
    mask = filled(polygon)
    assert [mask[y + 2, x + 2] for x, y in corners] == [0] * 9
    assert mask[40, 25] == 1


def test_coco():
    coco = to_coco(REGIONS, PHOTO)
    [image] = coco["images"]
    assert (image["file_name"], image["width"], image["height"]) == ("wall.jpg", 125, 80)
    first, second = coco["annotations"]
    assert (first["id"], second["id"]) == (1, 2)
    assert first["segmentation"] == [[10, 20, 50, 20, 50, 60, 10, 60]]
    assert first["bbox"] == [10, 20, 40, 40]
    assert (first["area"], first["iscrowd"], first["category_id"]) == (1600, 0, 1)
    assert first["attributes"]["area_px"] == 120
    assert first["attributes"]["mean_width_px"] == 3
    [category] = coco["categories"]
    assert (category["id"], category["name"]) == (1, "crack")


def test_every_file_tells_the_doubts():
    doubts = [Doubt("small", "It is small.", "Go closer."), Doubt("dark", "It is dark.", "Light.")]
    photo = replace(PHOTO, doubts=doubts)
    rows = csv.DictReader(io.StringIO(to_csv(REGIONS, photo)))
    assert [row["doubts"] for row in rows] == ["small dark"] * 2
    assert to_geojson([], photo)["photo"]["doubts"] == ["small", "dark"]
    [image] = to_coco([], photo)["images"]
    assert image["attributes"]["doubts"] == ["small", "dark"]


def test_every_row_of_a_csv_names_photo_verdict_and_model():
    first, second = csv.DictReader(io.StringIO(to_csv(REGIONS, SCALED)))
    for row in (first, second):
        assert (row["photo"], row["verdict"], row["probability"]) == ("wall.jpg", "crack", "0.9753")
        assert (row["mm_per_px"], row["model_sha256"]) == ("0.5", "ab12")
    [formula] = csv.DictReader(io.StringIO(to_csv([region()], replace(PHOTO, name="=1+1.jpg"))))
    assert formula["photo"] == "'=1+1.jpg"
