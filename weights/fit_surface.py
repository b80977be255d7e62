"""Fit what tells a known surface from anything else, for the bundled weights.

``PYTHONPATH=. python weights/fit_surface.py FOLDER`` writes ``surface.json`` beside the weights,
and their card again, whose ``surface_prior`` rests on it. FOLDER is the one that
``collect_surfaces.py`` made: the surfaces are its ``train``, but for ``texture``, most of which is
no wall; what is none is ``everyday`` in it, and ``portraits``. Of the surfaces in ``val`` no more
than a twentieth of any source is told as none. To be run again whenever block 4 of the bundled
weights was trained, after ``fit_tracer.py``. Seven to twenty minutes.
"""

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from tqdm import tqdm

from cracklib.architecture import STATISTICS_BLOCK
from cracklib.calibration import calibrate
from cracklib.classifier import find_tracer
from cracklib.config import BUNDLED_WEIGHTS, SURFACE_READOUT
from cracklib.dataset import find_labelled
from cracklib.engines import build_engine
from cracklib.looks import FIRST_LOOK_SIZE
from cracklib.photo import read_photo
from cracklib.preprocess import large_input_size, to_input
from cracklib.surface import SurfaceReadout
from cracklib.types import Photo
from cracklib.weights import card_path, layers_sha256, load_weights

LEFT_OUT, OTHER = "texture", ("everyday", "portraits")
MOST_OF_A_SURFACE, MOST = 80, {"everyday": 300, "portraits": 400}
RIDGE = 0.03
TOLD_AT_MOST = 0.05
MARGIN = 0.01
"""Rounded figures shall not cross the threshold."""


def main() -> None:
    """See above."""
    folder = Path(sys.argv[1])
    weights, card = load_weights(BUNDLED_WEIGHTS)
    engine = build_engine("openvino", weights, card.feature_layer)
    files = defaultdict(list)
    for file in find_labelled(folder / "train"):
        files[file.source].append(file.path)
    files["portraits"] = sorted((folder / "portraits").iterdir())
    del files[LEFT_OUT]

    def roots(photo):
        size = large_input_size(photo.size) or FIRST_LOOK_SIZE
        [deviations] = engine.describe(to_input(photo.pixels, size)[np.newaxis]).deviations
        return np.sqrt(deviations)

    rng = np.random.default_rng(0)
    seen = defaultdict(list)
    for source, paths in files.items():
        most = min(MOST.get(source, MOST_OF_A_SURFACE), len(paths))
        for index in tqdm(np.linspace(0, len(paths) - 1, most).astype(int), desc=source):
            photo = read_photo(sorted(paths)[index])
            seen[source] += map(roots, (photo, vary(photo, rng, is_surface=source not in OTHER)))
    kernel, bias = fit({source: np.array(rows, float) for source, rows in seen.items()})
    held_out = defaultdict(list)
    for file in tqdm(find_labelled(folder / "val"), desc="val"):
        if file.source not in (*OTHER, LEFT_OUT):
            held_out[file.source].append(roots(read_photo(file.path)) @ kernel + bias)
    bias -= max(0, *(highest_but(TOLD_AT_MOST, some) for some in held_out.values())) + MARGIN
    readout = SurfaceReadout(
        layers_sha256=layers_sha256(weights, STATISTICS_BLOCK),
        kernel=tuple(float(f"{value:.5g}") for value in kernel),
        bias=float(f"{bias:.6g}"),
        data={source: len(rows) // 2 for source, rows in seen.items()},
    )
    SURFACE_READOUT.write_text(readout.to_json(), encoding="utf-8")
    calibrated = calibrate(
        weights, card.feature_layer, find_labelled(folder / "val"), find_tracer(weights)
    )
    card_path(BUNDLED_WEIGHTS).write_text(replace(card, **calibrated).to_json(), encoding="utf-8")


def highest_but(share, values):
    """The highest of ``values`` but for a ``share`` of them."""
    return np.quantile(values, 1 - share, method="higher")


def fit(rows):
    """Kernel and bias of a ridge-penalised logistic regression; both sides and, in each, every
    source count alike. ``rows`` maps a source to float (pictures, channels).
    """
    x = np.concatenate(list(rows.values()))
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / deviation
    sign, weight = [], []
    for source, some in rows.items():
        other = source in OTHER
        beside = sum((name in OTHER) == other for name in rows)
        sign += [1 if other else -1] * len(some)
        weight += [0.5 / beside / len(some)] * len(some)
    sign, weight = np.array(sign), np.array(weight)

    def loss(parameters):
        margin = sign * (x @ parameters[:-1] + parameters[-1])
        slope = -sign * weight * expit(-margin)
        penalty = RIDGE / 2 * parameters[:-1] @ parameters[:-1]
        gradient = np.append(x.T @ slope + RIDGE * parameters[:-1], slope.sum())
        return weight @ np.logaddexp(0, -margin) + penalty, gradient

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, options={"maxiter": 500}).x
    kernel = found[:-1] / deviation
    return kernel, found[-1] - kernel @ mean


def vary(photo, rng, is_surface):
    """A part of it in other light, colour, sharpness, grain and compression.

    Alike for both sides: neither a source's sharpness nor its colours shall give it away. A third
    of the surfaces go on, mirrored, as if seen from farther off.
    """
    height, width = photo.size
    least = 0.4 if is_surface else 0.7
    rows, columns = (max(min(48, side), int(side * rng.uniform(least, 1))) for side in photo.size)
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    pixels = photo.pixels[top : top + rows, left : left + columns]
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    side = int(rng.uniform(90, 300))
    size = (side, max(64, int(side * rng.uniform(0.8, 1.25))))
    light = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    light = light ** np.exp(rng.uniform(-0.35, 0.35))
    light *= np.exp(rng.uniform(-0.25, 0.25, 3) * rng.random())
    light = (light - light.mean()) * rng.uniform(0.7, 1.3) + light.mean()
    if rng.random() < 0.3:
        light += rng.normal(0, rng.uniform(0, 0.05), light.shape)
    pixels = (255 * light).clip(0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 98))]
    compressed = cv2.imencode(".jpg", pixels[..., ::-1], quality)[1]
    pixels = cv2.imdecode(compressed, cv2.IMREAD_COLOR_RGB)
    if is_surface and rng.random() < 0.3:
        pixels = np.concatenate([pixels, pixels[:, ::-1]], axis=1)
        pixels = np.concatenate([pixels, pixels[::-1]], axis=0)
    return Photo(pixels)


if __name__ == "__main__":
    main()
