"""How well the refined heat follows cracks, and how clean it leaves clean walls.

``python -m benchmarks.refined_heat DATA``: ``DATA/localisation`` holds photos and masks,
``DATA/val/no_crack`` uncracked photos. What is chosen by hand in ``cracklib.refine`` is chosen on
the half called *first*; patches of one larger photo are of one half.
"""

import argparse
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from cracklib.config import DISPLAY_THRESHOLD
from cracklib.dataset import MaskedFile, find_labelled, find_masked
from cracklib.metrics import HeatmapTally
from cracklib.photo import read_photo
from cracklib.pipeline import Inspector

MAPS = ("plain", "refined")


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


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    inspector = Inspector.load()

    tallies: defaultdict[tuple[str, str, str], HeatmapTally] = defaultdict(HeatmapTally)
    for file, half in halves(find_masked(data / "localisation")):
        inspection = inspector.inspect(file.photo)
        mask = read_photo(file.mask).pixels[..., 0] >= 128
        for name, heat in zip(MAPS, (inspection.heatmap, inspection.refined), strict=True):
            for part in (half, "both"):
                tallies[file.source, part, name].add(heat, mask)
    print("| source | half | photos | map | PxAP | F1 | F1 within 2 px | pointing game |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for (source, half, name), tally in sorted(tallies.items()):
        found = tally.metrics()
        values = (found.pxap, found.f1, found.tolerant_f1, found.pointing)
        figures = " | ".join("–" if value is None else f"{value:.3f}" for value in values)
        print(f"| {source} | {half} | {found.photos} | {name} | {figures} |")

    painted = defaultdict(list)
    for labelled in find_labelled(data / "val"):
        if labelled.label == 0:
            inspection = inspector.inspect(labelled.path)
            painted[labelled.source].append(
                [
                    (heat >= DISPLAY_THRESHOLD).mean()
                    for heat in (inspection.heatmap, inspection.refined)
                ]
            )
    print("\n| uncracked photos of | photos | painted, plain | painted, refined |")
    print("| --- | ---: | ---: | ---: |")
    for source, shares in sorted(painted.items()):
        plain, refined = (sum(column) / len(shares) for column in zip(*shares, strict=True))
        print(f"| {source} | {len(shares)} | {plain:.2%} | {refined:.2%} |")


if __name__ == "__main__":
    main()
