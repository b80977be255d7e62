"""The check set: rendered walls that every trained model is tried on, so that forgetting is seen.

Every kind of wall with every kind of crack, each wall once without and once with it, half of the
walls with something that looks like a crack. The pictures are always the same, and are in no
training set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cracklib.config import INPUT_SIZE
from cracklib.synthesis import (
    CRACK_KINDS,
    WALL_KINDS,
    CrackKind,
    WallKind,
    render_crack,
    render_lines,
    render_wall,
)
from cracklib.types import Photo

# More than 32 bits: NumPy then draws from another stream than for any seed of a practice set.
_SEED = 0xC4AC_2016_0415
_NARROWEST_PX, _WIDEST_PX = 2.0, 8.0
"""Wide enough that a person sees every crack."""


@dataclass(frozen=True)
class CheckPicture:
    """How a picture of the check set is rendered. Those of one ``number`` show the same wall."""

    number: int
    wall: WallKind
    crack: CrackKind
    cracked: bool

    @property
    def name(self) -> str:
        """What to call the picture; no two share a name."""
        name = f"{self.wall} wall {self.number + 1}"
        return f"{name}, {self.crack} crack" if self.cracked else name

    def render(self) -> Photo:
        """The picture, 224x224; always the same, in some 30 ms."""
        rng = np.random.default_rng((_SEED, self.number))
        pixels = render_wall(rng, INPUT_SIZE, self.wall)
        if self.number % 2:
            pixels = render_lines(pixels, rng)
        if self.cracked:
            width_px = float(np.exp(rng.uniform(*np.log((_NARROWEST_PX, _WIDEST_PX)))))
            pixels, _ = render_crack(pixels, rng, self.crack, width_px)
        return Photo(pixels, self.name)


_COMBINATIONS = tuple((wall, crack) for wall in WALL_KINDS for crack in CRACK_KINDS)


def check_pictures(numbers: range) -> tuple[CheckPicture, ...]:
    """The pictures of these numbers, each first without and then with its crack.

    Numbers go through every kind of wall with every kind of crack, again and again.
    """
    return tuple(
        CheckPicture(number, *_COMBINATIONS[number % len(_COMBINATIONS)], cracked)
        for number in numbers
        for cracked in (False, True)
    )


CHECK_SET: tuple[CheckPicture, ...] = check_pictures(range(len(_COMBINATIONS)))
"""60 pictures, half of them cracked."""
