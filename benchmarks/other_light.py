"""Does the verdict hold in other light? ``python -m benchmarks.other_light DIR [--weights FILE]``

DIR holds labelled photos, ``crack/`` and ``no_crack/``. Of each source at most fifty of either
are seen as they are, with less light, in light of another colour, and in grey: false alarms and
cracks found, in percent.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import print_table
from cracklib.dataset import find_labelled
from cracklib.photo import read_photo
from cracklib.pipeline import Inspector
from cracklib.types import Photo, Pixels

AT_MOST = 50


def lit(*gains: float) -> Callable[[Pixels], Pixels]:
    """Light of so much red, green and blue."""
    return lambda pixels: np.clip(pixels * np.array(gains), 0, 255).astype(np.uint8)


def grey(pixels: Pixels) -> Pixels:
    """Every channel the mean of all."""
    return np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)


LIGHTS: dict[str, Callable[[Pixels], Pixels]] = {
    "as given": lit(1, 1, 1),
    "dark": lit(0.4, 0.4, 0.4),
    "orange": lit(1.1, 0.62, 0.35),
    "blue": lit(0.4, 0.6, 1.1),
    "grey": grey,
}


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="instead of the bundled ones")
    arguments = parser.parse_args()
    inspector = Inspector.load(arguments.weights)
    cells = defaultdict(list)
    for file in find_labelled(arguments.folder):
        cells[file.source, file.label].append(file)
    rows = []
    for (source, label), files in sorted(cells.items()):
        photos = [read_photo(file.path) for file in files[:: -(-len(files) // AT_MOST)]]
        shares = [
            np.mean([_is_called_cracked(inspector, change(photo.pixels)) for photo in photos])
            for change in LIGHTS.values()
        ]
        what = "found" if label else "alarms"
        rows.append([source, f"{what}, {len(photos)}", *(f"{share:.0%}" for share in shares)])
    print_table(["source", "photos", *LIGHTS], rows)


def _is_called_cracked(inspector: Inspector, pixels: Pixels) -> bool:
    return inspector.inspect(Photo(pixels, "photo")).verdict == "crack"


if __name__ == "__main__":
    main()
