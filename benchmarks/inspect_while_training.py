"""What inspecting a photo costs while a training run is under way on the same machine.

``python -m benchmarks.inspect_while_training``
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import print_table, render_photo
from cracklib.intake.photo_set import PhotoSet
from cracklib.intake.split import split_photos
from cracklib.jobs import Job, Stage, advance, submit
from cracklib.pipeline import Inspector
from cracklib.store import Store
from cracklib.types import Photo

ROUNDS = 31
PHOTOS_PER_CLASS = 150
RUN = ("--recipe", "session", "--trainable", "block4-5", "--epochs", "50", "--patience", "0")
"""Long enough for either stage not to end while it is watched."""
STAGES: tuple[Stage, ...] = ("features", "training")
TIMEOUT_S = 600


def main() -> None:
    """Print the table."""
    inspector, photo = Inspector.load(engine="openvino"), Photo(render_photo())

    def inspect() -> None:
        inspector.inspect(photo).overlay()

    with TemporaryDirectory() as folder:
        store = Store(Path(folder, "store"))
        session = store.create()
        photos = PhotoSet(session.path / "photos")
        photos.add_practice(PHOTOS_PER_CLASS)
        data = photos.write_split(split_photos(photos.photos))

        inspect()
        seconds = {"no run": _median_seconds(inspect)}
        job = submit(session, ["--data", str(data), *RUN], session.model_path("benchmark"))
        advance(store)
        try:
            for stage in STAGES:
                _wait_for(job, stage)
                seconds[stage] = _median_seconds(inspect)
                if job.progress().stage != stage:
                    raise SystemExit(f"'{stage}' was over too soon: give more photos or epochs.")
        finally:
            job.cancel()
            while not job.has_ended():
                time.sleep(0.1)
    print_table(
        ["one photo of 1600x1200, beside", "ms", "slower", "bar"],
        [
            [name, f"{1000 * value:.0f}", f"{value / seconds['no run']:.2f}×", "< 2×"]
            for name, value in seconds.items()
        ],
    )


def _median_seconds(call: Callable[[], None]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def _wait_for(job: Job, stage: Stage) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while job.progress().stage != stage:
        if job.has_ended():
            raise SystemExit(f"{job.failure()}\n{job.log(20)}")
        if time.monotonic() > deadline:
            raise SystemExit(f"Not at '{stage}' after {TIMEOUT_S} s.")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
