"""Regions for other tools: CSV, GeoJSON and COCO annotations.

Coordinates are pixels, x to the right and y down from the photo's upper left corner.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cracklib.centreline import Points
from cracklib.doubts import Doubt
from cracklib.regions import CrackRegion
from cracklib.scale import Scale, width_class
from cracklib.types import Verdict

_DECIMALS = 2


@dataclass(frozen=True)
class ExportedPhoto:
    """What the files say of the photo. ``size`` is its (height, width), ``model_sha256`` that of
    the weights that judged it.
    """

    name: str
    size: tuple[int, int]
    verdict: Verdict
    probability: float
    model_sha256: str
    doubts: Sequence[Doubt] = ()
    scale: Scale | None = None

    def judgement(self) -> dict[str, Any]:
        """Plain values; a millimetre scale is there where one was given."""
        scale = {"mm_per_px": self.scale.mm_per_px} if self.scale else {}
        return {
            "verdict": self.verdict,
            "probability": round(self.probability, 4),
            "doubts": [doubt.kind for doubt in self.doubts],
            **scale,
            "model_sha256": self.model_sha256,
        }


def measures(region: CrackRegion, number: int, scale: Scale | None) -> dict[str, Any]:
    """What is known of one crack as plain values under the names the files use; ``number`` is its
    rank from 1. Millimetres and the class are there where a scale is given.
    """
    values: dict[str, Any] = {
        "crack": number,
        "length_px": round(region.length_px, _DECIMALS),
        "mean_width_px": round(region.mean_width_px, _DECIMALS),
        "max_width_px": round(region.max_width_px, _DECIMALS),
        "orientation_deg": None
        if region.orientation_deg is None
        else round(region.orientation_deg, 1) % 180,
        "branches": region.branches,
        "area_px": round(region.area_px, _DECIMALS),
        "share": round(region.share, 6),
        "evidence": round(region.evidence, 4),
    }
    if scale:
        widest_mm = region.max_width_px * scale.mm_per_px
        values |= {
            "length_mm": round(region.length_px * scale.mm_per_px, _DECIMALS),
            "mean_width_mm": round(region.mean_width_px * scale.mm_per_px, _DECIMALS + 1),
            "max_width_mm": round(widest_mm, _DECIMALS + 1),
            "width_class": width_class(widest_mm),
        }
    return values


def to_csv(regions: Sequence[CrackRegion], photo: ExportedPhoto) -> str:
    """A table with a row a crack; its header is there even where there is none.

    What is known of the photo is the same in every row; the kinds of ``doubts`` have a space
    between.
    """
    judgement = photo.judgement()
    judgement["doubts"] = " ".join(judgement["doubts"])
    # A spreadsheet would take it for a formula.
    name = f"'{photo.name}" if photo.name.startswith(("=", "+", "-", "@")) else photo.name
    columns = ["photo", *_MEASURES, *(_MEASURES_MM if photo.scale else ()), *judgement]
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    for number, region in enumerate(regions, start=1):
        corner_and_size = zip(("x", "y", "box_width", "box_height"), region.box, strict=True)
        box = {name: round(value, _DECIMALS) for name, value in corner_and_size}
        values = measures(region, number, photo.scale) | box | judgement
        writer.writerow({"photo": name, **values})
    return file.getvalue()


def to_geojson(regions: Sequence[CrackRegion], photo: ExportedPhoto) -> dict[str, Any]:
    """A ``FeatureCollection`` (RFC 7946 but for its coordinates, which are pixels, not degrees).

    Each crack gives two features of the same properties: its ``outline``, a polygon with holes, and
    its ``centreline``, a line a branch. ``photo`` has what is known of the photo.
    """
    features = []
    for number, region in enumerate(regions, start=1):
        rings = [_pairs(ring) for ring in (region.outline, *region.holes)]
        lines = [_pairs(line) for line in region.centreline]
        properties = measures(region, number, photo.scale)
        for part, kind, coordinates in (
            ("outline", "Polygon", rings),
            ("centreline", "MultiLineString", lines),
        ):
            features.append(
                {
                    "type": "Feature",
                    "properties": {"part": part, **properties},
                    "geometry": {"type": kind, "coordinates": coordinates},
                }
            )
    height, width = photo.size
    about = {"name": photo.name, "width_px": width, "height_px": height, **photo.judgement()}
    return {"type": "FeatureCollection", "photo": about, "features": features}


def to_coco(regions: Sequence[CrackRegion], photo: ExportedPhoto) -> dict[str, Any]:
    """Instance annotations of one photo, category ``crack`` (Lin et al. 2014).

    COCO's polygons have no holes, so a hole is joined to the outline by a slit of no width. The
    measures are under ``attributes``, where CVAT looks for them, as is what is known of the image;
    ``area`` is that of the polygon.
    """
    height, width = photo.size
    rings = [_slit(region.outline, region.holes) for region in regions]
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": 1,
            "segmentation": [_flat(ring)],
            "area": round(abs(_signed_area(ring)), _DECIMALS),
            "bbox": [round(value, _DECIMALS) for value in region.box],
            "iscrowd": 0,
            "attributes": measures(region, number, photo.scale),
        }
        for number, (region, ring) in enumerate(zip(regions, rings, strict=True), start=1)
    ]
    return {
        "images": [
            {
                "id": 1,
                "file_name": photo.name,
                "width": width,
                "height": height,
                "attributes": photo.judgement(),
            }
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "crack", "supercategory": "damage"}],
    }


_MEASURES = (
    *("crack", "length_px", "mean_width_px", "max_width_px", "orientation_deg", "branches"),
    *("area_px", "share", "evidence", "x", "y", "box_width", "box_height"),
)
_MEASURES_MM = ("length_mm", "mean_width_mm", "max_width_mm", "width_class")


def _slit(outline: Points, holes: Sequence[Points]) -> Points:
    """One ring that runs along the outline and, on the way, around each hole, the other way."""
    ring = outline
    for hole in holes:
        if _signed_area(hole) * _signed_area(outline) > 0:
            hole = hole[::-1]
        apart, nearest = cKDTree(ring).query(hole[:-1])
        first = int(apart.argmin())
        at = int(nearest[first])
        around = np.roll(hole[:-1], -first, axis=0)
        ring = np.concatenate([ring[: at + 1], around, around[:1], ring[at:]])
    return ring


def _signed_area(ring: Points) -> float:
    x, y = ring.T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def _pairs(points: NDArray[np.float64]) -> list[list[float]]:
    pairs: list[list[float]] = np.round(points, _DECIMALS).tolist()
    return pairs


def _flat(ring: Points) -> list[float]:
    # COCO closes its polygons itself.
    flat: list[float] = np.round(ring[:-1], _DECIMALS).ravel().tolist()
    return flat
