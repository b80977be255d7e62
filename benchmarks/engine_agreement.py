"""Do both engines say the same? ``python -m benchmarks.engine_agreement DIR``

DIR holds ``crack/`` and ``no_crack/``. Prints the largest difference between the probabilities that
OpenVINO and TensorFlow float32 give, and how many verdicts differ.
"""

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cracklib.dataset import find_labelled
from cracklib.pipeline import Inspector


def main() -> None:
    """Print the table."""
    files = find_labelled(Path(sys.argv[1]))
    engines = ("openvino", "tensorflow")
    inspectors = [Inspector.load(engine=engine) for engine in engines]
    found = [
        [inspector.inspect(file.path) for inspector in inspectors]
        for file in tqdm(files, unit="photo")
    ]
    differences = np.array([abs(a.probability - b.probability) for a, b in found])
    changed = sum(a.verdict != b.verdict for a, b in found)
    print("| photos | largest difference | mean difference | verdicts changed |")
    print("| --- | --- | --- | --- |")
    print(f"| {len(files)} | {differences.max():.4f} | {differences.mean():.5f} | {changed} |")


if __name__ == "__main__":
    main()
