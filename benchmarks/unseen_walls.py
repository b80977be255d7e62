"""How good on walls that nobody trained on? ``python -m benchmarks.unseen_walls DATA FOLDER``

Sound walls, floors and roofs of the game UFO: Alien Invasion, picked by eye (``unseen_walls.csv``;
under the GPL, so only measured on); the masonry of ``DATA/localisation``, all cracked; and scenes
of those sound walls, tiled, tilted and joined, each without a crack and with one taken from a
validation photo. The walls are fetched with ``apt-get download`` (Debian 12) where there is no
FOLDER yet. With ``--search`` scenes, enlarged walls and walls of six megapixels with a thin crack
are searched at their own resolution besides, which takes twenty minutes on 2 cores.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import print_table
from cracklib.config import DISPLAY_THRESHOLD
from cracklib.dataset import find_labelled, find_masked
from cracklib.metrics import measure_classification
from cracklib.photo import read_photo
from cracklib.pipeline import Inspector
from cracklib.synthesis import graft_crack, join_surfaces, render_crack, render_lines, tilt
from cracklib.types import Photo, Pixels
from cracklib.views import DONORS, spread
from weights.collect_surfaces import collect

WALLS = Path(__file__).with_suffix(".csv")
PAIRS, LARGE_PAIRS = 150, 20
SCENE_PX = (480, 1000)
LARGE_SIZE = (2000, 3000)
THIN_PX = (0.5, 1.0)
"""Widest opening, as ``render_crack`` has it: 4 to 9 pixels of the wall."""
ENLARGED_PX = 2048

Example = tuple[Pixels, int]


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="instead of the bundled ones")
    parser.add_argument("--search", action="store_true")
    arguments = parser.parse_args()
    inspector = Inspector.load(arguments.weights)
    walls = read_walls(arguments.folder)
    data = arguments.data
    pictures = [
        ("sound walls and cracked masonry", walls_and_masonry(walls, data), False),
        ("scenes of 0.2 to 1 MP", scenes(walls, data), False),
    ]
    if arguments.search:
        pictures += [
            ("scenes of 0.2 to 1 MP", scenes(walls, data), True),
            ("sound walls enlarged", enlarged(walls), True),
            ("walls of 6 MP with a thin crack", large_walls(walls), True),
        ]
    rows = [_measure(inspector, *row) for row in pictures]
    header = ["pictures", "looked at", "alarms", "found", "AUC", "called cracked, nothing drawn"]
    print_table(header, rows)


def read_walls(folder: Path) -> list[Pixels]:
    """The sound walls, fetched if there is no ``folder``."""
    if not folder.is_dir():
        fetched = folder.with_name(f"{folder.name}.fetched")
        collect(WALLS, fetched)
        fetched.rename(folder)
    return [read_photo(path).pixels for path in sorted(folder.glob("*.jpg"))]


def walls_and_masonry(walls: list[Pixels], data: Path) -> Iterator[Example]:
    """Every sound wall, and every masonry photo."""
    yield from ((wall, 0) for wall in walls)
    for file in find_masked(data / "localisation"):
        if file.source == "masonry":
            yield read_photo(file.photo).pixels, 1


def scenes(walls: list[Pixels], data: Path) -> Iterator[Example]:
    """Pairs of the same scene without a crack and with one; the same each time."""
    donors = [f.path for f in find_labelled(data / "val") if f.label and f.source in DONORS]
    for number in range(PAIRS):
        rng = np.random.default_rng((1, number))
        size = (int(rng.integers(*SCENE_PX)), int(rng.integers(*SCENE_PX)))
        shown = [spread(walls[int(rng.integers(len(walls)))], size, rng) for _ in range(2)]
        shown = [tilt(wall, rng) if rng.random() < 0.6 else wall for wall in shown]
        sound = join_surfaces(shown[0], shown[1], rng) if rng.random() < 0.5 else shown[0]
        if rng.random() < 0.45:
            sound = render_lines(sound, rng)
        grafted = None
        while grafted is None or grafted[1].mean() < 0.002:
            donor = donors[int(rng.integers(len(donors)))]
            grafted = graft_crack(sound, read_photo(donor).pixels, rng)
        yield from ((sound, 0), (grafted[0], 1))


def enlarged(walls: list[Pixels]) -> Iterator[Example]:
    """Every second sound wall, so large that it is searched."""
    for wall in walls[::2]:
        scale = ENLARGED_PX / max(wall.shape[:2])
        yield cv2.resize(wall, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), 0


def large_walls(walls: list[Pixels]) -> Iterator[Example]:
    """Pairs of the same large wall without a crack and with a thin crack; the same each time."""
    for number in range(LARGE_PAIRS):
        rng = np.random.default_rng((2, number))
        sound = spread(walls[int(rng.integers(len(walls)))], LARGE_SIZE, rng)
        cracked, _ = render_crack(sound, rng, "single", rng.uniform(*THIN_PX))
        yield from ((sound, 0), (cracked, 1))


def _measure(
    inspector: Inspector, name: str, examples: Iterable[Example], searched: bool
) -> list[str]:
    labels, probabilities, undrawn = [], [], 0
    for pixels, label in examples:
        inspection = inspector.inspect(Photo(pixels, name), scan=searched)
        labels.append(label)
        probabilities.append(inspection.probability)
        if inspection.verdict == "crack":
            undrawn += inspection.crack_heat.max() < DISPLAY_THRESHOLD
    threshold = inspector.card.verdict_threshold
    measured = measure_classification(labels, probabilities, threshold)
    called = np.array(probabilities) >= threshold
    counts = [
        f"{called[of].sum()} of {of.sum()}" if of.any() else "–"
        for of in (np.array(labels) == label for label in (0, 1))
    ]
    auc = f"{measured.auc.value:.3f}" if measured.auc else "–"
    return [name, "and searched" if searched else "twice", *counts, auc, str(undrawn)]


if __name__ == "__main__":
    main()
