"""Where it fails on our own renderer: walls of every kind, each without and with a crack.

``python -m benchmarks.rendered_walls [--out FILE]``. The pictures are those of
``cracklib.check_set`` and more made in the same way, in no training set. FILE gets what the Model
page shows: numbers, from which it renders the worst again.
"""

import argparse
from pathlib import Path

from benchmarks.measure import print_table
from cracklib.check_set import CHECK_SET, check_pictures
from cracklib.measured import (
    MeasuredRendered,
    RenderedPhoto,
    rendered_to_dict,
    write_measured,
)
from cracklib.metrics import measure_classification
from cracklib.pipeline import Inspector

ROUNDS = 6
"""Through every kind of wall with every kind of crack."""


def main() -> None:
    """Print the table by kind of wall; write the probabilities where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, metavar="FILE")
    out = parser.parse_args().out
    inspector = Inspector.load()
    card = inspector.card
    photos = [
        RenderedPhoto(picture, inspector.inspect(picture.render()).probability)
        for picture in check_pictures(range(ROUNDS * len(CHECK_SET) // 2))
    ]
    measured = MeasuredRendered(card.verdict_threshold, photos)
    rows = []
    for wall, scores in measured.by_wall().items():
        found = measure_classification(scores.labels, scores.probabilities, measured.threshold)
        estimates = (found.recall, found.false_alarm_rate, found.auc)
        rows.append(
            [wall, str(found.photos)]
            + [f"{e.value:.3f} ({e.low:.3f}–{e.high:.3f})" for e in estimates if e]
        )
    print_table(["wall", "pictures", "cracks found", "false alarms", "AUC"], rows)
    if out:
        values = {"model": card.name, "sha256": card.sha256} | rendered_to_dict(measured)
        write_measured(out, values)


if __name__ == "__main__":
    main()
