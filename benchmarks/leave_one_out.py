"""How good on surfaces never trained on? ``python -m benchmarks.leave_one_out DATA FOLDER``

Trains a model without each source in turn, with the quick recipe, into FOLDER, and measures it on
that source's validation photos. Epoch and temperature are those of the other sources.
What is in FOLDER already is not trained again. Close to an hour for four sources on 2 cores.
"""

import sys
from pathlib import Path

from benchmarks.measure import print_table
from cracklib.dataset import LabelledFile, find_labelled
from cracklib.metrics import ClassificationMetrics, Estimate, measure_classification
from cracklib.pipeline import Inspector
from cracklib.recipes import RECIPES

SOURCES = ("slab", "tile", "brickwork", "texture")


def main() -> None:
    """Train what is missing, print the table."""
    from cracklib.training import train

    data, folder = Path(sys.argv[1]), Path(sys.argv[2])
    val = find_labelled(data / "val")
    rows = []
    for source in SOURCES:
        weights = folder / f"without-{source}.safetensors"
        if not weights.exists():
            train(data, weights, RECIPES["quick"], without=[source])
        measured = _measure(weights, [file for file in val if file.source == source])
        estimates = (measured.auc, measured.balanced_accuracy, measured.calibration_error)
        rows.append([source, str(measured.photos), *map(_with_interval, estimates)])
    print_table(["left out", "photos", "AUC", "balanced accuracy", "calibration error"], rows)


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
