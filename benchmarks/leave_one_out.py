"""How good on surfaces never trained on? ``python -m benchmarks.leave_one_out DATA FOLDER``

Trains a model without each source in turn, with the quick recipe, into FOLDER, and a tracer on it,
and measures both on that source: on its validation photos, as all else is, and on all its photos,
of which it saw none. Epoch, temperature and what else is fitted are those of the other sources.
With ``--cracks`` one model is trained without any real crack, on rendered ones alone, and measured
on all; its epoch and temperature are those of the real validation photos. What is in FOLDER already
is not trained again. Twenty-five minutes for each model on 2 cores.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from benchmarks.measure import print_table
from cracklib.calibration import calibrate
from cracklib.classifier import Classifier
from cracklib.config import LABELS, engine_name
from cracklib.dataset import LabelledFile, find_labelled, find_split
from cracklib.engines import build_engine
from cracklib.metrics import Estimate, measure_classification
from cracklib.pipeline import Inspector
from cracklib.recipes import RECIPES
from cracklib.surface import find_readout
from cracklib.tracer import ALL_BLOCKS, read_tracer
from cracklib.views import CRACK, NO_CRACK, Mix, make_view, plan_views
from cracklib.weights import load_weights

SOURCES = ("slab", "tile", "brickwork", "texture")
RENDERED = Mix(per_class_min=0, per_class_max=0, pairs=400, mosaics=0)
"""What takes the place of cracked photos, beside the pairs of the recipe."""


def main() -> None:
    """Train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cracks", action="store_true")
    arguments = parser.parse_args()
    data, folder = arguments.data, arguments.folder
    train_files, val_files = find_split(data)
    rows: list[list[str]] = []
    if arguments.cracks:
        rendered = _rendered_instead(data, folder / "rendered")
        inspector = _train(rendered, folder / "without-cracks.safetensors", without=())
        for source in ("concrete", *SOURCES):
            rows += _measure(inspector, source, val_files)
    else:
        for source in SOURCES:
            weights = folder / f"without-{source}.safetensors"
            inspector = _train(data, weights, without=(source,))
            rows += _measure(inspector, source, val_files, train_files)
    print_table(["source", "photos", "AUC", "balanced accuracy", "calibration error"], rows)


def _train(data: Path, path: Path, without: tuple[str, ...]) -> Inspector:
    """A model and its tracer, both at ``path`` afterwards, and calibrated together."""
    from cracklib.training import train
    from weights import fit_tracer

    tracer_path = path.with_suffix(".tracer")
    if not path.exists():
        train(data, path, RECIPES["quick"], without=without)
    weights, card = load_weights(path)
    train_files, val_files = (
        [file for file in files if file.source not in without] for files in find_split(data)
    )
    if not tracer_path.exists():
        layer, sets = card.feature_layer, fit_tracer.SETS // 2
        fitted = fit_tracer.fit(train_files, weights, layer, ALL_BLOCKS, sets)
        fit_tracer.save(fitted, tracer_path)
    tracer = read_tracer(tracer_path)
    calibrated = calibrate(weights, card.feature_layer, val_files, tracer)
    engine = build_engine(engine_name(), weights, card.feature_layer, tracer)
    card = replace(card, **calibrated)  # type: ignore[arg-type]
    return Inspector(Classifier(engine, weights, card, find_readout(weights)))


def _rendered_instead(data: Path, folder: Path) -> Path:
    """``data`` with rendered cracks instead of the cracked photos that are trained on."""
    cracked = folder / "train" / LABELS[CRACK]
    cracked.mkdir(parents=True, exist_ok=True)
    for part in (Path("train") / LABELS[NO_CRACK], Path("val")):
        if not (folder / part).exists():
            (folder / part).symlink_to((data / part).resolve())
    sound = [file for file in find_labelled(data / "train") if file.label == NO_CRACK]
    views = [view for view in plan_views(sound, RENDERED, [0]) if view.label == CRACK]
    for number, view in enumerate(views):
        pixels = make_view(view).pixels
        cv2.imwrite(str(cracked / f"rendered-{number:04}.png"), pixels[..., ::-1])
    return folder


def _measure(
    inspector: Inspector, source: str, *parts: Sequence[LabelledFile]
) -> Iterator[list[str]]:
    """A row for the photos of the source in the first of ``parts``, in the first two, and so on."""
    labels: list[int] = []
    probabilities: list[float] = []
    for part in parts:
        files = [file for file in part if file.source == source]
        labels += [file.label for file in files]
        probabilities += [inspector.inspect(file.path).probability for file in files]
        yield _row(inspector, source, labels, probabilities)


def _row(
    inspector: Inspector, source: str, labels: list[int], probabilities: list[float]
) -> list[str]:
    threshold = inspector.card.verdict_threshold
    measured = measure_classification(labels, probabilities, threshold)
    error = measured.calibration_error
    return [
        source,
        str(measured.photos),
        _with_interval(measured.auc),
        _with_interval(measured.balanced_accuracy),
        f"{error.value:.3f} (chance {error.chance_low:.3f}–{error.chance_high:.3f})",
    ]


def _with_interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


if __name__ == "__main__":
    main()
