"""Which photos are unsure, as given and with each fault: ``python -m benchmarks.doubts FOLDER``.

The folder holds ``crack`` and ``no_crack``, as that of ``evaluate``. Blur is in pixels of the photo
at 224 on its shorter side, darkness the mean that is left, burnt out is the median brought to 293.
"unknown" are photos that are not faulty but look like no surface that the bundled model knows.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from cracklib.dataset import find_labelled
from cracklib.doubts import find_doubts
from cracklib.photo import read_photo
from cracklib.pipeline import Inspector
from cracklib.types import Pixels


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    sigma *= min(pixels.shape[:2]) / 224
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def _brought(pixels: Pixels, level: float, to: float) -> Pixels:
    return np.asarray((pixels * (to / max(level, 1.0))).clip(0, 255).round(), np.uint8)


def _shrunk(pixels: Pixels, side: int) -> Pixels:
    scale = side / min(pixels.shape[:2])
    return np.asarray(
        cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
    )


FAULTS: dict[str, Callable[[Pixels], Pixels]] = {
    "as given": lambda pixels: pixels,
    "blur 2 px": lambda pixels: _blurred(pixels, 2),
    "blur 3 px": lambda pixels: _blurred(pixels, 3),
    "blur 5 px": lambda pixels: _blurred(pixels, 5),
    "mean 25": lambda pixels: _brought(pixels, float(pixels.mean()), 25),
    "burnt out": lambda pixels: _brought(pixels, float(np.median(pixels)), 293),
    "60 px": lambda pixels: _shrunk(pixels, 60),
}


def main(folder: Path) -> None:
    """Print, per source, the percentage of photos in doubt."""
    inspector = Inspector.load()
    seen: defaultdict[str, list[list[bool]]] = defaultdict(list)
    for file in find_labelled(folder):
        photo = read_photo(file.path)
        faulty = [bool(find_doubts(spoil(photo.pixels))) for spoil in FAULTS.values()]
        kinds = [doubt.kind for doubt in inspector.inspect(photo).doubts]
        seen[file.source].append([*faulty, "unknown" in kinds])
    print(f"| source | photos | {' | '.join(FAULTS)} | unknown |")
    print(f"| --- |{' ---: |' * (len(FAULTS) + 2)}")
    for source, rows in sorted(seen.items()):
        shares = 100 * np.mean(rows, axis=0)
        print(f"| {source} | {len(rows)} | {' | '.join(f'{share:.1f}' for share in shares)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
