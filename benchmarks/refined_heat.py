"""How well the refined heat follows cracks, and how clean it leaves clean walls.

``python -m benchmarks.refined_heat DATA [--out FILE]``: ``DATA/localisation`` holds photos and
masks, ``DATA/val/no_crack`` uncracked photos. What is chosen by hand in ``cracklib.refine`` is
chosen on the half called *first*; patches of one larger photo are of one half. Beside both maps of
the model stands how dark each pixel is, which needs no model. FILE gets what the Model page shows.
"""

import argparse
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from cracklib.config import DISPLAY_THRESHOLD
from cracklib.dataset import MaskedFile, find_labelled, find_masked
from cracklib.measured import (
    MeasuredHeatmap,
    MeasuredHeatmaps,
    heatmaps_to_dict,
    write_measured,
)
from cracklib.metrics import HeatmapTally
from cracklib.photo import read_photo
from cracklib.pipeline import Inspector
from cracklib.types import FloatArray, Pixels

MAPS = ("plain", "refined", "darkness")


def halves(files: list[MaskedFile]) -> Iterator[tuple[MaskedFile, str]]:
    """Each file with its half: the larger photos, by hash, to the half that has fewer patches."""
    patches = defaultdict(list)
    for file in files:
        stem = file.photo.stem
        photo = stem.rpartition("_")[0] if stem.count("_") > 1 else stem
        patches[file.source, photo].append(file)
    counts: Counter[tuple[str, str]] = Counter()
    for (source, _), of_one in sorted(patches.items(), key=lambda item: _digest(item[0][1])):
        half = min(("first", "second"), key=lambda half: counts[source, half])
        counts[source, half] += len(of_one)
        for file in of_one:
            yield file, half


def _digest(name: str) -> str:
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def local_darkness(pixels: Pixels) -> FloatArray:
    """How much darker than its surroundings each pixel is: blurred grey (sigma 12) minus grey.

    uint8 RGB (height, width, 3) in, float32 (height, width) in [0, 1] out.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.clip(cv2.GaussianBlur(grey, (0, 0), 12) - grey, 0, 255) / np.float32(255)


def main() -> None:
    """Print both tables as Markdown; write them as JSON where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    inspector = Inspector.load()
    measured = MeasuredHeatmaps(
        _score(arguments.data / "localisation", inspector),
        _painted(arguments.data / "val", inspector),
    )
    print("| source | half | photos | map | PxAP | F1 | F1 within 2 px | pointing game |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for row in measured.heatmaps:
        found = row.metrics
        values = (found.pxap, found.f1, found.tolerant_f1, found.pointing)
        figures = " | ".join("–" if value is None else f"{value:.3f}" for value in values)
        print(f"| {row.source} | {row.part} | {found.photos} | {row.heat_map} | {figures} |")
    print("\n| uncracked photos of | painted, plain | painted, refined |")
    print("| --- | ---: | ---: |")
    for source, shares in measured.painted.items():
        print(f"| {source} | {shares['plain']:.2%} | {shares['refined']:.2%} |")
    if arguments.out:
        card = inspector.card
        values = {"model": card.name, "sha256": card.sha256} | heatmaps_to_dict(measured)
        write_measured(arguments.out, values)


def _score(folder: Path, inspector: Inspector) -> list[MeasuredHeatmap]:
    tallies: defaultdict[tuple[str, str, str], HeatmapTally] = defaultdict(HeatmapTally)
    for file, half in halves(find_masked(folder)):
        inspection = inspector.inspect(file.photo)
        mask = read_photo(file.mask).pixels[..., 0] >= 128
        darkness = local_darkness(inspection.photo.pixels)
        for name, heat in zip(
            MAPS, (inspection.heatmap, inspection.refined, darkness), strict=True
        ):
            tally = HeatmapTally()
            tally.add(heat, mask)
            for part in (half, "both"):
                tallies[file.source, part, name] += tally
    return [MeasuredHeatmap(*key, tally.metrics()) for key, tally in sorted(tallies.items())]


def _painted(folder: Path, inspector: Inspector) -> dict[str, dict[str, float]]:
    shares = defaultdict(list)
    for file in find_labelled(folder):
        if file.label == 0:
            inspection = inspector.inspect(file.path)
            maps = inspection.heatmap, inspection.refined
            shares[file.source].append([(heat >= DISPLAY_THRESHOLD).mean() for heat in maps])
    return {
        source: dict(zip(MAPS, np.mean(of_source, axis=0).tolist(), strict=False))
        for source, of_source in sorted(shares.items())
    }


if __name__ == "__main__":
    main()
