"""The viewer at 12 megapixels: from a slider's move to the picture, and from the result to it.

``python -m benchmarks.viewer_speed``
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from playwright.sync_api import Locator, Page

from benchmarks.app import open_browser, open_page, start_app
from benchmarks.measure import print_table, render_photo
from cracklib.photo import encode_jpeg

SIZE = (3000, 4000)
SWEEPS = 24
STEPS = 20
DISPLAYS = 8
IDLE_APP = "[data-testid=stApp][data-test-script-state=notRunning]"

# A picture is drawn when pixels are put on the heat's canvas, or its opacity is another. `move`
# resolves to the milliseconds from the event's own time stamp, before it waits for a frame, to the
# frame after that picture's.
WATCH = """
const put = CanvasRenderingContext2D.prototype.putImageData;
let drawn = () => {};
CanvasRenderingContext2D.prototype.putImageData = function (...args) {
  put.apply(this, args);
  drawn();
};
const blended = new MutationObserver(() => drawn());
window.awaitPicture = (type) => {
  blended.observe(find('.viewer canvas'), {attributeFilter: ['style']});
  window.move = new Promise((resolve) => {
    addEventListener(type, (event) => {
      drawn = () => {
        drawn = () => {};
        requestAnimationFrame(() => resolve(performance.now() - event.timeStamp));
      };
    }, {capture: true, once: true});
  });
};
const find = (selector) => {
  for (const host of document.querySelectorAll('[data-testid="stBidiComponentIsolated"]')) {
    const found = host.shadowRoot?.querySelector(selector);
    if (found) return found;
  }
};
window.awaitDisplay = () => {
  const shown = () => find('.viewer')?.dataset.shown;
  const before = shown();
  window.display = new Promise((resolve) => {
    let resultAt;
    const look = () => {
      if (document.querySelector('.verdict.crack')) resultAt ??= performance.now();
      if (!shown() || shown() === before || resultAt === undefined)
        return requestAnimationFrame(look);
      requestAnimationFrame(() => resolve(performance.now() - resultAt));
    };
    look();
  });
};
"""


def write_photos(folder: Path) -> list[Path]:
    """Different JPEG photos of 12 megapixels, grain and all."""
    height, width = SIZE
    pixels = cv2.resize(render_photo(), (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).integers(-6, 7, pixels.shape)
    pixels = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    paths = [folder / f"wall-{number}.jpg" for number in range(DISPLAYS)]
    for number, path in enumerate(paths):
        path.write_bytes(encode_jpeg(np.roll(pixels, 40 * number, axis=1)))
    return paths


def measure_displays(page: Page, photos: list[Path]) -> list[float]:
    """From the verdict to the photo under its heat, each photo after a sound wall."""
    times = []
    for photo in photos:
        page.get_by_role("button", name="Sound brick").click()
        page.get_by_text("brick.jpg · ").wait_for()
        page.locator(".verdict:not(.crack)").wait_for()
        page.locator(".viewer[data-shown]").wait_for()
        page.evaluate("awaitDisplay()")
        page.locator("input[type=file]").set_input_files(photo)
        times.append(page.evaluate("display"))
        page.get_by_text(f"{photo.name} · 4000 × 3000 px").wait_for()
    return times


def measure_drag(page: Page, key: str) -> list[float]:
    """A slider dragged to and fro, one of its steps at a time, while the app has nothing to do."""
    page.locator(IDLE_APP).wait_for()
    track = page.locator(f".st-key-{key} [role=group] > div")
    thumb = page.locator(f".st-key-{key} [role=group] input").locator("xpath=../..")
    track.scroll_into_view_if_needed()
    at, box = _box(thumb), _box(track)
    y = at["y"] + at["height"] / 2
    page.mouse.move(at["x"] + at["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"], y)
    times = []
    for sweep in range(SWEEPS):
        for step in range(1, STEPS + 1):
            share = (step if sweep % 2 == 0 else STEPS - step) / STEPS
            times.append(_time_move(page, box["x"] + share * box["width"], y))
    page.mouse.up()
    return times


def measure_pan(page: Page) -> list[float]:
    """The photo dragged at its own pixels."""
    page.get_by_role("button", name="The photo's own pixels").click()
    page.locator(".viewer[data-full]").wait_for()
    box = _box(page.locator(".viewer .stage"))
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y)
    times = []
    for step in range(SWEEPS * STEPS):
        times.append(_time_move(page, x + 20 * (step % 2), y + 3 * (step % STEPS)))
    page.mouse.up()
    return times


def _time_move(page: Page, x: float, y: float) -> float:
    page.evaluate("awaitPicture('pointermove')")
    # A hand moves at any time between two frames; this script would always at the same.
    time.sleep(random.uniform(0, 1 / 60))  # noqa: S311
    page.mouse.move(x, y)
    return float(page.evaluate("move"))


def _box(locator: Locator) -> dict[str, float]:
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    assert box is not None
    return dict(box)


def main() -> None:
    """Print the table."""
    rows = []

    def report(what: str, times: list[float], bar_ms: float | None) -> None:
        middle, high = np.percentile(times, [50, 95])
        bar = "" if bar_ms is None else f"≤ {bar_ms:.0f}"
        rows.append([what, f"{len(times)}", f"{middle:.1f}", f"{high:.1f}", bar])

    with TemporaryDirectory() as folder, open_browser() as browser, start_app() as (url, _):
        page = open_page(browser, f"{url}?sample=brick", WATCH)
        displays = measure_displays(page, write_photos(Path(folder)))
        report("opacity dragged to picture", measure_drag(page, "opacity"), 33)
        report("threshold dragged to picture", measure_drag(page, "threshold"), 33)
        report("photo dragged at its own pixels to picture", measure_pan(page), None)
        report("result to first picture", displays, 1000)
        size = page.locator(".viewer canvas").evaluate("c => `${c.width}x${c.height}`")
        version = browser.version
    print_table(["4000x3000", "times", "median, ms", "95 %, ms", "bar for 95 %, ms"], rows)
    load = os.getloadavg()[0]
    print(
        f"\nHeadless Chromium {version} without a GPU, so all is drawn by the processor; heat "
        f"canvas {size}; {os.cpu_count()} cores with a load of {load:.1f}."
    )


if __name__ == "__main__":
    main()
