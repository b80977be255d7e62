"""Where a crack runs, as the blocks of the network see it: a decoder on their feature maps.

The class activation map has a cell for 16 pixels; blocks 2 and 3 still know where a dark line ends,
blocks 4 and 5 what is a crack and what a joint. The decoder goes from the coarsest to the finest
(as in U-Net; Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597), and was trained by
``weights/fit_tracer.py`` on the renderer's exact masks. There are two. That of ``ALL_BLOCKS``
belongs to the bundled weights alone, and counts for the verdict, too. That of ``EARLY_BLOCKS``
reads what no training run changes, and serves every model that started from the same layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from cracklib.architecture import BLOCKS
from cracklib.errors import WeightsError
from cracklib.types import FloatArray, Trace
from cracklib.weights import Weights

ALL_BLOCKS, EARLY_BLOCKS = (5, 4, 3, 2), (3, 2)
"""The blocks that are read, each after its last convolution, in this order."""
CHANNELS = {5: 48, 4: 48, 3: 32, 2: 24}
"""Of what the decoder makes of each of them."""
PIXELS_TO_A_CELL = 2
"""Of the photo as the network sees it, each way."""
OUTPUT = "trace"


@dataclass(frozen=True, eq=False)
class Tracer:
    """The weights of a decoder on ``blocks``, named as in ``tracer_shapes``, float32.

    They belong to the layers whose hash (``weights.layers_sha256``) is ``layers_sha256``.
    """

    blocks: tuple[int, ...]
    layers_sha256: str
    weights: Weights


def tracer_shapes(blocks: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Name to shape of every weight, as ``architecture.weight_shapes``.

    ``block<n>_side`` takes fewer channels of a block; ``block<n>_join`` joins them with what came
    from the coarser block, enlarged twice; ``trace`` is the one channel that comes out. A sigmoid
    follows the last and a ReLU each of the others.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    coarser = 0
    for block in blocks:
        channels = CHANNELS[block]
        shapes[f"block{block}_side/kernel"] = (1, 1, BLOCKS[block - 1][1], channels)
        shapes[f"block{block}_side/bias"] = (channels,)
        shapes[f"block{block}_join/kernel"] = (3, 3, coarser + channels, channels)
        shapes[f"block{block}_join/bias"] = (channels,)
        coarser = channels
    shapes[f"{OUTPUT}/kernel"] = (1, 1, coarser, 1)
    shapes[f"{OUTPUT}/bias"] = (1,)
    return shapes


def read_tracer(path: Path) -> Tracer:
    """The decoder in a file of ``weights/fit_tracer.py``. Raises ``WeightsError``."""
    try:
        with safe_open(path, framework="np") as file:
            layers = file.metadata()["layers_sha256"]
            names = file.keys()
            weights = {name: np.asarray(file.get_tensor(name), np.float32) for name in names}
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise WeightsError(f"Can't use {path} ({error}). {_ADVICE}") from error
    shapes = {name: array.shape for name, array in weights.items()}
    for blocks in (ALL_BLOCKS, EARLY_BLOCKS):
        if shapes == tracer_shapes(blocks):
            return Tracer(blocks, layers, weights)
    raise WeightsError(f"{path} holds other arrays than a tracer has. {_ADVICE}")


def to_trace(trace: FloatArray, size: tuple[int, int]) -> Trace:
    """What an engine's tracer made of a photo of ``size`` (height, width), in 256 steps.

    ``trace`` is float32 (rows, columns) in [0, 1]. It is continued over the last pixels that
    pooling left out.
    """
    missing = [
        (0, -(-side // PIXELS_TO_A_CELL) - cells)
        for side, cells in zip(size, trace.shape, strict=True)
    ]
    return np.pad(np.rint(trace * 255).astype(np.uint8), missing, mode="edge")


_ADVICE = (
    "Expected what weights/fit_tracer.py writes, which comes with the repository; fetch it again, "
    "or delete it to do without."
)
