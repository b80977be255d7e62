"""Fit what follows cracks on the network's feature maps, for the bundled weights.

``PYTHONPATH=. python weights/fit_tracer.py FOLDER`` writes ``tracer.safetensors`` beside the
weights, and has to be run again whenever they changed. With ``--early`` it writes
``early_tracer.safetensors``, which serves other weights, too, and is to be fitted again only where
blocks 1 to 3 are others; no recipe trains them. FOLDER is the one that ``collect_surfaces.py``
made. What is learned from are the pairs of ``views``: cracks that are rendered, or taken from
another photo, whose pixels are known. No mask that anybody drew is used.
"""

import argparse
import multiprocessing
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file
from tqdm import tqdm

from cracklib.config import BUNDLED_WEIGHTS, TRACERS
from cracklib.dataset import find_labelled
from cracklib.model import build_model, build_tracer
from cracklib.preprocess import brighten, light_gain, preprocess_pixels
from cracklib.tracer import (
    ALL_BLOCKS,
    EARLY_BLOCKS,
    OUTPUT,
    PIXELS_TO_A_CELL,
    Tracer,
    tracer_shapes,
)
from cracklib.views import CRACK, Mix, make_view, plan_views, plan_wide_views
from cracklib.weights import layers_sha256, load_weights

SETS = 8
MIX = Mix(per_class_min=0, per_class_max=0, pairs=800, mosaics=0, wide_pairs=250)
BATCH, WIDE_BATCH = 16, 8
RATE = 2e-3
CRACKED_COUNTS = 4.0
"""A cracked pixel among the others; one in fifty is."""
OVERLAP_COUNTS = 0.3
"""Of the Dice loss (Milletari et al. 2016, https://arxiv.org/abs/1606.04797)."""
SOFTNESS = 3.0
"""What log-odds are divided by at last: real cracks are not those that were drawn."""


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--early", action="store_true")
    arguments = parser.parse_args()
    tracer_file, early_tracer_file = TRACERS
    blocks, path = ALL_BLOCKS, tracer_file
    if arguments.early:
        blocks, path = EARLY_BLOCKS, early_tracer_file
    weights, card = load_weights(BUNDLED_WEIGHTS)
    fitted = fit(find_labelled(arguments.folder / "train"), weights, card.feature_layer, blocks)
    save(fitted, path)


def save(tracer, path):
    """Write it as ``tracer.read_tracer`` reads it."""
    arrays = {name: array.astype(np.float16) for name, array in tracer.weights.items()}
    save_file(arrays, path, metadata={"layers_sha256": tracer.layers_sha256})


def fit(files, weights, feature_layer, blocks, sets=SETS):
    """A ``Tracer`` on ``blocks`` of a network with ``weights``, from so many ``sets`` of pairs."""
    keras.utils.set_random_seed(0)
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
    network = build_model(feature_layer, weights)
    network.trainable = False
    tracer = build_tracer(network, blocks)

    batches = [batch for number in range(sets) for batch in plan(files, number)]
    rate = keras.optimizers.schedules.CosineDecay(RATE, len(batches))
    step = build_step(tracer, keras.optimizers.Adam(rate))
    # Processes of their own: forked from TensorFlow they would hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, cv2.setNumThreads, (1,)) as pool:
        progress = tqdm(ahead(pool, batches), total=len(batches))
        for number, (pixels, truth) in enumerate(progress):
            photos = preprocess_pixels(pixels)
            if number == 0:
                even_out(tracer, blocks, photos)
            loss = step(photos, truth)
            progress.set_postfix(loss=f"{float(loss):.3f}")

    arrays = {
        f"{name}/{part}": np.array(value, np.float32)
        for name in {key.split("/")[0] for key in tracer_shapes(blocks)}
        for part, value in zip(
            ("kernel", "bias"), tracer.get_layer(name).get_weights(), strict=True
        )
    }
    for part in ("kernel", "bias"):
        arrays[f"{OUTPUT}/{part}"] /= SOFTNESS
    return Tracer(blocks, layers_sha256(weights, max(blocks)), arrays)


def plan(files, number):
    """The batches of one set of views, in random order; pictures of a batch are of one size."""
    rng = np.random.default_rng([1, number])
    close = plan_views(files, MIX, [1, number])
    wide = plan_wide_views(files, MIX, [1, number])
    batches = [close[start : start + BATCH] for start in range(0, len(close), BATCH)]
    batches += [wide[start : start + WIDE_BATCH] for start in range(0, len(wide), WIDE_BATCH)]
    return [batches[index] for index in rng.permutation(len(batches))]


def ahead(pool, batches):
    """What ``make`` makes of the batches in turn, some of them made before they are asked for."""
    under_way = deque()
    for batch in batches:
        under_way.append(pool.submit(make, batch))
        if len(under_way) > 8:
            yield under_way.popleft().result()
    for made in under_way:
        yield made.result()


def make(views):
    """Their pixels, as bright as photos are shown, and truths as two arrays."""
    pictures = [make_view(view) for view in views]
    pixels = [brighten(p.pixels, light_gain(p.pixels)) for p in pictures]
    return np.stack(pixels), np.stack([p.truth for p in pictures])


def even_out(tracer, blocks, photos):
    """Divide the kernels that read the network by how large its values are, block by block."""
    for block in blocks:
        layer = tracer.get_layer(f"block{block}_side")
        seen = keras.Model(tracer.input, layer.input).predict_on_batch(photos)
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel / seen.std(), bias])


def build_step(tracer, optimizer):
    """A function of photos and truths that trains on them once and returns the loss."""
    variables = tracer.trainable_variables

    @tf.function(reduce_retracing=True)
    def step(photos, truth):
        pixels = tf.cast(truth == CRACK, tf.float32)[..., None]
        cracked = tf.nn.avg_pool2d(pixels, PIXELS_TO_A_CELL, PIXELS_TO_A_CELL, "VALID")
        with tf.GradientTape() as tape:
            logits = tracer(photos, training=True)
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(cracked, logits)
            found = tf.sigmoid(logits)
            overlap = 2 * tf.reduce_sum(found * cracked) + 1
            overlap /= tf.reduce_sum(found) + tf.reduce_sum(cracked) + 1
            loss = tf.reduce_mean((1 + (CRACKED_COUNTS - 1) * cracked) * entropy)
            loss += OVERLAP_COUNTS * (1 - overlap)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step


if __name__ == "__main__":
    main()
