"""The sample photos: rendered walls with and without cracks, kept as JPEGs beside the app.

``python -m cracklib.samples`` renders them again. They are kept, not rendered when asked for,
because six take two seconds, and because a picture in a link must not change with the renderer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cracklib.photo import encode_jpeg, read_photo
from cracklib.synthesis import CrackKind, WallKind, render_crack, render_wall
from cracklib.types import Photo, Pixels

SAMPLES_DIR = Path(__file__).resolve().parent.parent / "ui" / "samples"
SIZE = (720, 960)


@dataclass(frozen=True)
class Sample:
    """How a sample is rendered. ``crack`` is None for a sound wall; ``width_px`` is that of
    ``render_crack``.
    """

    title: str
    wall: WallKind
    crack: CrackKind | None
    width_px: float
    seed: int

    def render(self) -> Pixels:
        """The picture, uint8 RGB of ``SIZE``; always the same."""
        rng = np.random.default_rng(self.seed)
        pixels = render_wall(rng, SIZE, self.wall)
        if self.crack:
            pixels, _ = render_crack(pixels, rng, self.crack, self.width_px)
        return pixels


SAMPLES: dict[str, Sample] = {
    "concrete-crack": Sample("Cracked concrete", "concrete", "branching", 3.0, seed=10),
    "plaster-crack": Sample("Cracked plaster", "plaster", "single", 3.0, seed=1),
    "brick-crack": Sample("Cracked brick", "brick", "stepped", 3.5, seed=10),
    "brick": Sample("Sound brick", "brick", None, 0.0, seed=1),
    "tile": Sample("Sound tiles", "tile", None, 0.0, seed=20),
    "stone": Sample("Sound stone", "stone", None, 0.0, seed=20),
}
"""Slug to recipe, in the order shown; the first greets whoever opens the app."""


def sample_photo(slug: str) -> Photo:
    """The sample called ``slug``. Raises ``KeyError`` where there is none."""
    SAMPLES[slug]
    return read_photo(SAMPLES_DIR / f"{slug}.jpg")


if __name__ == "__main__":
    SAMPLES_DIR.mkdir(parents=True, exist_ok=True)
    for slug, sample in SAMPLES.items():
        (SAMPLES_DIR / f"{slug}.jpg").write_bytes(encode_jpeg(sample.render()))
