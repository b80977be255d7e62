"""From start to first verdict, and memory after ten photos, on OpenVINO and on TensorFlow.

``python -m benchmarks.start_and_memory`` (Linux)
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser

from benchmarks.app import ROOT, open_browser, open_page, start_app, upload, write_photos
from benchmarks.measure import print_table

ENGINES = ("openvino", "tensorflow")
ROUNDS = 3
FIGURES = (
    "command line: one photo, start to end, s",
    "app: start to first verdict in the browser, s",
    "app: memory after ten photos, MB",
    "app: peak memory, MB",
)


def measure_command(engine: str, photo: Path) -> float:
    """Seconds from start to end of ``python -m cracklib inspect``."""
    start = time.perf_counter()
    subprocess.run(  # noqa: S603
        [sys.executable, "-m", "cracklib", "inspect", photo],
        cwd=ROOT,
        env=os.environ | {"CRACKLIB_ENGINE": engine},
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - start


def measure_app(engine: str, photos: Sequence[Path], browser: Browser) -> list[float]:
    """Seconds to the first verdict, then MB resident after ``photos``, and MB at the peak."""
    start = time.perf_counter()
    with start_app(engine) as (url, process_id):
        page = open_page(browser, url)
        seconds = time.perf_counter() - start
        upload(page, photos)
        status = Path(f"/proc/{process_id}/status").read_text()
        page.close()
    return [seconds, *(_read_mb(status, field) for field in ("VmRSS", "VmHWM"))]


def _read_mb(status: str, field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024 / 1e6


def main() -> None:
    """Print the table."""
    runs: dict[str, list[list[float]]] = {engine: [] for engine in ENGINES}
    with TemporaryDirectory() as folder, open_browser() as browser:
        photos = write_photos(Path(folder), 10)
        for _ in range(ROUNDS):
            for engine in ENGINES:
                seconds = measure_command(engine, photos[0])
                runs[engine].append([seconds, *measure_app(engine, photos, browser)])
    columns = [[median(values) for values in zip(*runs[engine], strict=True)] for engine in ENGINES]
    print_table(
        ["ten photos of 1600x1200", "OpenVINO", "TensorFlow"],
        [
            [name, *(f"{value:.1f}" if name.endswith(" s") else f"{value:.0f}" for value in values)]
            for name, *values in zip(FIGURES, *columns, strict=True)
        ],
    )


if __name__ == "__main__":
    main()
