"""From trained weights to a model card: temperature, heat scale, quality.

Everything is fitted and measured with the engine that serves, so that the card says what users get.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit
from tqdm import tqdm

from cracklib.architecture import HEAD, FeatureLayer
from cracklib.cam import Windows, measure_windows, strongest_window
from cracklib.classifier import look_at
from cracklib.config import LARGE_INPUT_SIDE_PX, WINDOW_CELLS, engine_name
from cracklib.dataset import LabelledFile
from cracklib.engines import build_engine, measure_ranges
from cracklib.errors import TrainingError
from cracklib.looks import FIRST_LOOK_SIZE, look_twice
from cracklib.metrics import (
    balanced_weights,
    fit_line,
    fit_temperature,
    measure_by_source,
)
from cracklib.photo import read_photo
from cracklib.preprocess import large_input_size, resize_to_input, to_input
from cracklib.refine import prominence
from cracklib.surface import find_readout
from cracklib.tracer import ALL_BLOCKS, Tracer
from cracklib.types import FloatArray, HeatScale, Look, Pixels, Progress, SurfacePrior, WindowScale
from cracklib.weights import Weights

VERDICT_THRESHOLD = 0.5
"""Cracked when that is likelier than not. A threshold fitted for the best balanced accuracy does
worse on a source that it was not fitted on (weights/DIARY.md).
"""
SCENES = 30
"""Of each source and label, but no more than it has photos, to fit the window scale on."""
SCENE_GRID, WIDE_GRID = 3, 6
"""Photos a side in a scene, and in one that is seen so small that thin cracks are lost."""
SCENE_SIZE = (LARGE_INPUT_SIDE_PX, LARGE_INPUT_SIDE_PX)
SQUARE_PX, WIDE_SQUARE_PX = LARGE_INPUT_SIDE_PX // SCENE_GRID, LARGE_INPUT_SIDE_PX // WIDE_GRID
MAX_DEDUCTION = 100.0
"""So much that a search finds nothing."""
MAX_RISE = 0.01
LEAST_OTHERS = 50
OTHERS_CRACKED_AT_MOST = 0.1
OTHERS_ALARM_AT_MOST = 0.02
OTHERS_MEAN_AT_MOST = 0.025
"""Of the probabilities of the sound others: by so much they are wrong, all of them together."""
MARGIN = 0.01
"""So that no engine's rounding calls the highest of them cracked."""
MAX_OFFSET = 3.0
TRACE_WEIGHT = 0.5
"""Of how much the places that look most like a crack stand out (``refine.prominence``). With a
source left out of all training more would be better; the bundled weights know theirs, and with
more tiles fall below what they are held to (weights/DIARY.md).
"""
RANGE_PHOTOS = 64
"""So many photos, evenly taken of all, tell how large activations get."""
CLEAN_QUANTILE = 0.5
CRACK_QUANTILE = 0.99
"""Heat 0 is this quantile of the evidence over uncracked photos, heat 1 this one over cracked."""


def calibrate(
    weights: Weights,
    feature_layer: FeatureLayer,
    files: Sequence[LabelledFile],
    tracer: Tracer | None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """The fields of the model card that are fitted or measured on the validation ``files``.

    ``temperature`` (Guo et al. 2017), ``verdict_threshold``, ``heat_scale``, ``window_scale``,
    ``surface_prior``, ``trace_weight``, ``activation_ranges``, ``quality``. ``tracer`` is what
    belongs to the weights. Raises ``TrainingError`` where these tell no crack.
    """
    if tracer and tracer.blocks != ALL_BLOCKS:
        tracer = None
    photos, scenes = _look_at_all(weights, feature_layer, tracer, files, progress)
    labels = np.array([file.label for file in files])
    sources = [file.source for file in files]
    balance = balanced_weights(labels, sources)
    margins = np.array([photo.whole.evidence.mean(dtype=np.float64) for photo in photos])
    temperature = fit_temperature(np.stack([0 * margins, margins], axis=1), labels, balance)
    log_odds = margins / temperature
    if are_others_sound(np.array([(p.large or p.whole).is_known for p in photos]), labels):
        scenes = [seen for seen in scenes if seen.is_known]
    window_scale = _fit_window_scale(scenes, temperature)
    as_whole = np.array([window_scale is None or photo.large is None for photo in photos])
    served = [p.large if window_scale and p.large else p.whole for p in photos]
    if window_scale:
        strongest = np.array([strongest_window(s.evidence, WINDOW_CELLS) for s in served])
        as_large = window_scale.slope * strongest / temperature + window_scale.offset
        log_odds[~as_whole] = as_large[~as_whole]
    by_trace = np.array([seen.by_trace for seen in served])
    log_odds += by_trace
    known = np.array([seen.is_known for seen in served])
    surface_prior = None
    # What the trace counts for is never negative, and nothing above makes up for it.
    if are_others_sound(known, labels) or by_trace.any():
        surface_prior = fit_surface_prior(log_odds, labels, sources, known, as_whole)
        log_odds += np.where(as_whole, surface_prior.offset, 0)
        log_odds -= np.where(known, 0, surface_prior.deduction)
    probabilities = expit(log_odds)
    measured = measure_by_source(labels, probabilities, sources, VERDICT_THRESHOLD)
    maps = np.stack([photo.whole.evidence for photo in photos])
    return {
        "temperature": temperature,
        "verdict_threshold": VERDICT_THRESHOLD,
        "heat_scale": fit_heat_scale(maps / temperature, labels, balance),
        "window_scale": window_scale,
        "surface_prior": surface_prior,
        "trace_weight": TRACE_WEIGHT if tracer else 0.0,
        "activation_ranges": find_ranges(weights, feature_layer, files),
        "quality": {source: metrics.to_dict() for source, metrics in measured.items()},
    }


def find_ranges(
    weights: Weights, feature_layer: FeatureLayer, files: Sequence[LabelledFile]
) -> dict[str, float]:
    """``engines.measure_ranges`` of some of ``files``; none for an engine without use for them."""
    if engine_name() != "openvino":
        return {}
    some = files[:: -(-len(files) // RANGE_PHOTOS)]
    photos = (to_input(read_photo(file.path).pixels, FIRST_LOOK_SIZE) for file in some)
    return measure_ranges(weights, feature_layer, photos)


class _Seen(NamedTuple):
    """``evidence`` is the class activation map of two looks, in log-odds that no temperature was
    applied to. ``by_trace`` is what the trace counts for.
    """

    evidence: FloatArray
    is_known: bool
    by_trace: float


class _SeenPhoto(NamedTuple):
    """As all photos are seen, and as a large one is; weights with no window scale see none so."""

    whole: _Seen
    large: _Seen | None


class _SeenScene(NamedTuple):
    """``by_scale`` has the windows of the whole and those of a search at each finer scale."""

    scene: Scene
    by_scale: list[Windows]
    is_known: bool
    by_trace: float


def _look_at_all(
    weights: Weights,
    feature_layer: FeatureLayer,
    tracer: Tracer | None,
    files: Sequence[LabelledFile],
    progress: Progress | None,
) -> tuple[list[_SeenPhoto], list[_SeenScene]]:
    """All photos, and the scenes made of them."""
    engine = build_engine(engine_name(), weights, feature_layer, tracer)
    surface = find_readout(weights)
    head = weights[f"{HEAD}/kernel"], weights[f"{HEAD}/bias"]
    scenes, wide_scenes = plan_scenes(files, SCENE_GRID), plan_scenes(files, WIDE_GRID)
    total = len(files) + len(scenes) + len(wide_scenes)
    bar = tqdm(total=total, desc="calibrating", unit="photo", mininterval=1)

    def look(photo: FloatArray) -> Look:
        return look_at(photo, engine, head, surface, temperature=1.0)

    def twice(pixels: Pixels, size: tuple[int, int]) -> _Seen:
        found = look_twice(look, pixels, size)
        likeness = found.likeness
        by_trace = 0.0 if likeness is None else TRACE_WEIGHT * prominence(likeness)
        return _Seen(found.evidence, found.known_surface is not False, by_trace)

    def count() -> None:
        bar.update()
        if progress:
            progress(int(bar.n), total)

    seen_photos = []
    squares: dict[Path, Pixels] = {}
    wide_squares: dict[Path, Pixels] = {}
    from_afar: dict[Path, FloatArray] = {}
    from_near: dict[Path, FloatArray] = {}
    for file in files:
        pixels = read_photo(file.path).pixels
        large = large_input_size(pixels.shape[:2])
        whole = twice(pixels, FIRST_LOOK_SIZE)
        seen_photos.append(_SeenPhoto(whole, twice(pixels, large) if large else None))
        squares[file.path] = resize_to_input(pixels, (SQUARE_PX, SQUARE_PX))
        wide_squares[file.path] = resize_to_input(pixels, (WIDE_SQUARE_PX, WIDE_SQUARE_PX))
        from_near[file.path] = look(to_input(pixels)).evidence
        from_afar[file.path] = look(to_input(pixels, (SQUARE_PX, SQUARE_PX))).evidence
        count()
    seen_scenes = []
    for planned, parts, scales in (
        (scenes, squares, (from_near,)),
        (wide_scenes, wide_squares, (from_afar, from_near)),
    ):
        for scene in planned:
            once = twice(make_scene(scene, parts), SCENE_SIZE)
            # What a search would find in it at each finer scale: the windows of its photos.
            searched = [[found[file.path] for file in scene.files] for found in scales]
            maps = ([once.evidence], *searched)
            by_scale = [measure_windows(of_scale, WINDOW_CELLS) for of_scale in maps]
            seen_scenes.append(_SeenScene(scene, by_scale, once.is_known, once.by_trace))
            count()
    bar.close()
    return seen_photos, seen_scenes


class Scene(NamedTuple):
    """A large picture made of ``files``, row by row; ``label`` is 1 if one of them is cracked."""

    files: tuple[LabelledFile, ...]
    label: int


def plan_scenes(files: Sequence[LabelledFile], grid: int = SCENE_GRID) -> list[Scene]:
    """For each source, scenes of its uncracked photos, and as many with one cracked among them.

    A scene has ``grid`` photos a side. A source without uncracked photos has none. The same
    ``files`` give the same scenes.
    """
    rng = np.random.default_rng(0)
    scenes = []
    for source in sorted({file.source for file in files}):
        sound, cracked = (
            [file for file in files if file.source == source and file.label == label]
            for label in (0, 1)
        )
        if not sound:
            continue
        for label in (0, 1) if cracked else (0,):
            for _ in range(min(SCENES, len(sound) + len(cracked))):
                shown = [sound[int(rng.integers(len(sound)))] for _ in range(grid**2)]
                if label:
                    shown[int(rng.integers(len(shown)))] = cracked[int(rng.integers(len(cracked)))]
                scenes.append(Scene(tuple(shown), label))
    return scenes


def make_scene(scene: Scene, squares: Mapping[Path, Pixels]) -> Pixels:
    """uint8 RGB, ``LARGE_INPUT_SIDE_PX`` a side: a grid of its files' ``squares``, uint8 RGB."""
    shown = [squares[file.path] for file in scene.files]
    grid = math.isqrt(len(shown))
    rows = [shown[at : at + grid] for at in range(0, len(shown), grid)]
    return np.vstack([np.hstack(row) for row in rows])


def _fit_window_scale(seen: Sequence[_SeenScene], temperature: float) -> WindowScale | None:
    """None where there are not scenes of both labels."""
    strengths = [
        np.array([(w.strongest, w.by_chance(by_scale[0].beside)) for w in by_scale]) / temperature
        for _, by_scale, _, _ in seen
    ]
    scenes = [one.scene for one in seen]
    by_trace = np.array([one.by_trace for one in seen])
    as_large = [at for at, scene in enumerate(scenes) if len(scene.files) == SCENE_GRID**2]
    labels = np.array([scenes[at].label for at in as_large])
    if set(labels) != {0, 1}:
        return None
    balance = balanced_weights(labels, [scenes[at].files[0].source for at in as_large])
    strongest = [strengths[at][0, 0] for at in as_large]
    line = fit_line(strongest, labels, balance, by_trace[as_large])
    return fit_deduction(WindowScale(*line), strengths, scenes, by_trace)


def fit_deduction(
    scale: WindowScale,
    strengths: Sequence[NDArray[np.float64]],
    scenes: Sequence[Scene],
    by_trace: NDArray[np.float64],
) -> WindowScale:
    """``scale`` with the least deduction by which a search does not make sound scenes suspect: it
    raises the mean probability of those of no source by more than ``MAX_RISE``.

    ``strengths``, (scales, 2) for each scene, are the evidence of the strongest window at each
    scale, and what of it is to be expected by chance; the first scale is that of one look.
    ``by_trace``, (scenes,), is what the trace of that look adds to the log-odds of all scales.
    """
    sound = [index for index, scene in enumerate(scenes) if scene.label == 0]
    sources = np.array([scenes[index].files[0].source for index in sound])

    def suspicion(deduction: float) -> NDArray[np.float64]:
        """The mean probability of each source's."""
        strongest = [
            (strengths[index][:, 0] - deduction * strengths[index][:, 1]).max() for index in sound
        ]
        log_odds = scale.slope * np.array(strongest) + scale.offset + by_trace[sound]
        probabilities = expit(log_odds)
        return np.array([probabilities[sources == source].mean() for source in np.unique(sources)])

    most = suspicion(MAX_DEDUCTION) + MAX_RISE
    deductions = np.arange(0.0, MAX_DEDUCTION, 0.1).tolist()
    least = next((d for d in deductions if (suspicion(d) <= most).all()), MAX_DEDUCTION)
    return replace(scale, deduction=least)


def are_others_sound(known: NDArray[np.bool_], labels: np.ndarray) -> bool:
    """Whether the photos of no ``known`` surface are enough to fit on, and hardly ever cracked.

    Where they often are, it is walls that the model takes for something else.
    """
    others = labels[~known]
    return len(others) >= LEAST_OTHERS and float(others.mean()) <= OTHERS_CRACKED_AT_MOST


def fit_surface_prior(
    log_odds: NDArray[np.float64],
    labels: np.ndarray,
    sources: Sequence[str],
    known: NDArray[np.bool_],
    as_whole: NDArray[np.bool_],
) -> SurfacePrior:
    """What ``log_odds`` lack for photos of ``known`` surfaces, and have too much for all others.

    Temperature alone makes one scale for walls, a half of which are cracked, and for streets and
    woods, which never are. An offset is fitted for the lowest log loss over known surfaces that are
    judged ``as_whole``, with all sources and without each, and the lowest is taken, so that no
    source by itself makes the others look cracked; it is 0 where they are not of both labels. The
    deduction is the least by which no more than ``OTHERS_ALARM_AT_MOST`` of the sound others are
    called cracked and their mean probability is no more than ``OTHERS_MEAN_AT_MOST``. Where
    ``are_others_sound`` says no, all photos count as walls, and the deduction is 0. All are
    (photos,).
    """
    has_others = are_others_sound(known, labels)
    names = np.array(sources)
    balance = balanced_weights(labels, sources)

    def fit_offset(fitted: NDArray[np.bool_]) -> float:
        z, signs = log_odds[fitted], np.where(labels[fitted] == 1, 1, -1)

        def loss(offset: float) -> float:
            return float(balance[fitted] @ np.logaddexp(0.0, -signs * (z + offset)))

        found = minimize_scalar(loss, bounds=(-MAX_OFFSET, MAX_OFFSET), method="bounded")
        return float(found.x)

    walls = known & as_whole if has_others else as_whole
    parts = [walls, *(walls & (names != name) for name in np.unique(names))]
    offset = min((fit_offset(part) for part in parts if set(labels[part]) == {0, 1}), default=0.0)
    if not has_others:
        return SurfacePrior(offset, deduction=0.0)
    others = (log_odds + np.where(as_whole, offset, 0))[~known & (labels == 0)]
    highest = float(np.quantile(others, 1 - OTHERS_ALARM_AT_MOST, method="higher"))
    deduction = max(0.0, highest + MARGIN)

    def excess(deduction: float) -> float:
        return float(expit(others - deduction).mean()) - OTHERS_MEAN_AT_MOST

    if excess(deduction) > 0:
        deduction = float(brentq(excess, deduction, MAX_DEDUCTION))
    return SurfacePrior(offset, deduction)


def fit_heat_scale(
    evidence: FloatArray, labels: np.ndarray, balance: NDArray[np.float64]
) -> HeatScale:
    """The scale on which uncracked walls stay cold and cracks get hot.

    ``evidence`` is float32 (n, rows, columns) in log-odds, ``balance`` how much each photo counts.
    Raises ``TrainingError`` where the evidence over cracked photos is no higher.
    """
    per_cell = np.broadcast_to(balance[:, None, None], evidence.shape)
    clean, cracked = labels == 0, labels == 1
    low = _quantile(evidence[clean], per_cell[clean], CLEAN_QUANTILE)
    high = _quantile(evidence[cracked], per_cell[cracked], CRACK_QUANTILE)
    if not low < high:
        raise TrainingError(
            "After this training the network tells no cracked wall from a sound one. Use a smaller "
            "learning rate, and see that the photos are labelled the right way round."
        )
    return HeatScale(low, high)


def _quantile(values: FloatArray, weights: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values.ravel(), share, weights=weights.ravel(), method="inverted_cdf"))
