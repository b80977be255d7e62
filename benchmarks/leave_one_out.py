"""How good on surfaces never trained on? ``python -m benchmarks.leave_one_out DATA FOLDER``

Trains a model without each source in turn, with the quick recipe, into FOLDER, and measures it on
that source's validation photos. Epoch and temperature are those of the other sources. With
``--cracks`` one model is trained without any real crack, on rendered ones alone, and measured on
all; its epoch and temperature are those of the real validation photos.
What is in FOLDER already is not trained again. A quarter of an hour for each model on 2 cores.
"""

import argparse
from pathlib import Path

import cv2

from benchmarks.measure import print_table
from cracklib.config import LABELS
from cracklib.dataset import LabelledFile, find_labelled
from cracklib.metrics import ClassificationMetrics, Estimate, measure_classification
from cracklib.pipeline import Inspector
from cracklib.recipes import RECIPES
from cracklib.views import CRACK, NO_CRACK, Mix, make_view, plan_views

SOURCES = ("slab", "tile", "brickwork", "texture")
RENDERED = Mix(per_class_min=0, per_class_max=0, pairs=400, mosaics=0)
"""What takes the place of cracked photos, beside the pairs of the recipe."""


def main() -> None:
    """Train what is missing, print the table."""
    from cracklib.training import train

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cracks", action="store_true")
    arguments = parser.parse_args()
    data, folder = arguments.data, arguments.folder
    val = find_labelled(data / "val")
    rows = []
    for source in ("concrete", *SOURCES) if arguments.cracks else SOURCES:
        weights = folder / f"without-{'cracks' if arguments.cracks else source}.safetensors"
        if not weights.exists() and arguments.cracks:
            train(_rendered_instead(data, folder / "rendered"), weights, RECIPES["quick"])
        elif not weights.exists():
            train(data, weights, RECIPES["quick"], without=[source])
        measured = _measure(weights, [file for file in val if file.source == source])
        estimates = (measured.auc, measured.balanced_accuracy, measured.calibration_error)
        rows.append([source, str(measured.photos), *map(_with_interval, estimates)])
    print_table(["source", "photos", "AUC", "balanced accuracy", "calibration error"], rows)


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


def _measure(weights: Path, files: list[LabelledFile]) -> ClassificationMetrics:
    inspector = Inspector.load(weights)
    probabilities = [inspector.inspect(file.path).probability for file in files]
    labels = [file.label for file in files]
    return measure_classification(labels, probabilities, inspector.card.verdict_threshold)


def _with_interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


if __name__ == "__main__":
    main()
