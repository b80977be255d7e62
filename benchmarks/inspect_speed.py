"""One photo from preprocessing to blended overlay, and the forward pass alone.

``python -m benchmarks.inspect_speed``
"""

from __future__ import annotations

import logging
from functools import partial

import numpy as np

from benchmarks.measure import Call, median_seconds, print_table, render_photo
from cracklib.config import INPUT_SIZE, weights_path
from cracklib.preprocess import large_input_size
from cracklib.types import Photo, Pixels
from cracklib.weights import load_weights


def prepare_cracklib(pixels: Pixels) -> Call:
    """``Inspector.inspect`` and ``overlay`` on OpenVINO: two looks, and the heat refined."""
    from cracklib.pipeline import Inspector

    inspector, photo = Inspector.load(engine="openvino"), Photo(pixels)
    return lambda: inspector.inspect(photo).overlay()


def prepare_article(pixels: Pixels) -> Call:
    """The article's function on TensorFlow."""
    from benchmarks.article import article_overlay, build_article_model

    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of a new graph at each call
    weights, card = load_weights(weights_path())
    model = build_article_model(weights, card.feature_layer)
    return lambda: article_overlay(model, card.feature_layer, pixels)


def prepare_forward(engine_name: str, pixels: Pixels, size: tuple[int, int] = INPUT_SIZE) -> Call:
    """One forward pass at batch 1, of the photo seen at ``size``."""
    from cracklib.engines import build_engine
    from cracklib.preprocess import to_input

    weights, card = load_weights(weights_path())
    engine = build_engine(engine_name, weights, card.feature_layer)
    batch = to_input(pixels, size)[np.newaxis]
    return lambda: engine.describe(batch)


def main() -> None:
    """Print the table."""
    pixels = render_photo()
    whole = median_seconds(
        {"cracklib": partial(prepare_cracklib, pixels), "other": partial(prepare_article, pixels)},
        rounds=9,
    )
    forward = median_seconds(
        {
            "cracklib": partial(prepare_forward, "openvino", pixels),
            "other": partial(prepare_forward, "tensorflow", pixels),
        },
        rounds=21,
    )
    large = large_input_size(pixels.shape[:2]) or INPUT_SIZE
    by_size = median_seconds(
        {
            "cracklib": partial(prepare_forward, "openvino", pixels, large),
            "other": partial(prepare_forward, "openvino", pixels),
        },
        rounds=21,
    )
    print_table(
        ["one photo of 1600x1200", "cracklib, ms", "compared with, ms", "faster", "bar"],
        [
            [
                name,
                f"{times['cracklib'] * 1000:.0f}",
                f"{times['other'] * 1000:.0f}",
                f"{times['other'] / times['cracklib']:.1f}×",
                f"≥ {bar}×" if bar else "",
            ]
            for name, times, bar in (
                ("preprocessing to blended overlay, against the article's function", whole, 15),
                ("forward pass at 224x224, OpenVINO against TensorFlow fp32", forward, 2),
                ("forward pass as a large photo gets it, against 224x224", by_size, 0),
            )
        ],
    )


if __name__ == "__main__":
    main()
