"""Draw the sheet of what the renderer makes: ``python docs/render_examples.py``."""

import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cracklib.photo import encode_jpeg  # noqa: E402
from cracklib.synthesis import (  # noqa: E402
    CRACK_KINDS,
    LINE_KINDS,
    WALL_KINDS,
    WallKind,
    join_surfaces,
    render_crack,
    render_lines,
    render_wall,
    tilt,
)
from cracklib.types import Pixels  # noqa: E402

SIDE = 224


def row(pictures: list[Pixels], title: str) -> Pixels:
    """The pictures side by side under a title."""
    strip = np.full((SIDE + 34, len(pictures) * (SIDE + 6), 3), 255, np.uint8)
    cv2.putText(strip, title, (2, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (40, 40, 40), 1, cv2.LINE_AA)
    for place, picture in enumerate(pictures):
        strip[30 : 30 + SIDE, place * (SIDE + 6) : place * (SIDE + 6) + SIDE] = picture
    return strip


def wall(seed: int, kind: WallKind) -> Pixels:
    """A wall of the sheet."""
    return render_wall(np.random.default_rng(seed), (SIDE, SIDE), kind)


rows = [row([wall(3, kind) for kind in WALL_KINDS], "sound walls: " + ", ".join(WALL_KINDS))]
for crack in CRACK_KINDS:
    cracked = [
        render_crack(wall(3, kind), np.random.default_rng(10 + place), crack)[0]
        for place, kind in enumerate(WALL_KINDS)
    ]
    rows.append(row(cracked, f"the same walls, {crack} crack"))
lines = [render_lines(wall(5, "plaster"), np.random.default_rng(6), kind) for kind in LINE_KINDS]
half = len(LINE_KINDS) // 2 + 2
rows.append(row(lines[:half], "no cracks: " + ", ".join(LINE_KINDS[:half])))
scenes = [tilt(wall(7, kind), np.random.default_rng(8)) for kind in WALL_KINDS[2:4]]
scenes += [
    join_surfaces(wall(7, first), wall(9, second), np.random.default_rng(11 + place))
    for place, (first, second) in enumerate((WALL_KINDS[1:3], WALL_KINDS[3:5]))
]
rest = lines[half:]
rows.append(row(rest + scenes, "; ".join((", ".join(LINE_KINDS[half:]), "tilted", "joined"))))
(ROOT / "docs" / "renderer.jpg").write_bytes(encode_jpeg(np.vstack(rows)))
