"""From a slider's move to the new picture, as the browser sees it.

``python -m benchmarks.browser_slider``
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import Page

from benchmarks.app import open_browser, open_page, start_app, upload, write_photos
from benchmarks.measure import print_table

MOVES = 10

NOTE_MESSAGES = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  window.sentAt ??= performance.now();
  return send.call(this, data);
};
"""

# Resolves to [milliseconds from key to message, from key to the new picture decoded].
AWAIT_PICTURE = """
() => {
  const picture = () => document.querySelector('img[alt^="The photo with the evidence"]');
  const before = picture().src;
  let pressedAt;
  addEventListener('keydown', () => {
    pressedAt = performance.now();
    window.sentAt = undefined;
  }, {capture: true, once: true});
  window.move = new Promise(resolve => {
    const observer = new MutationObserver(async () => {
      const now = picture();
      if (!now || now.src === before) return;
      observer.disconnect();
      await now.decode();
      resolve([window.sentAt - pressedAt, performance.now() - pressedAt]);
    });
    observer.observe(document.body, {subtree: true, childList: true, attributeFilter: ['src']});
  });
}
"""


def measure_move(page: Page, label: str) -> tuple[float, float]:
    """One step of a slider: milliseconds to the message, and from there to the picture."""
    page.evaluate(AWAIT_PICTURE)
    page.get_by_role("slider", name=label).press("ArrowRight")
    sent_ms, shown_ms = page.evaluate("window.move")
    return sent_ms, shown_ms - sent_ms


def main() -> None:
    """Print the table."""
    rows = []
    with TemporaryDirectory() as folder, open_browser() as browser, start_app() as (url, _):
        page = open_page(browser, url, NOTE_MESSAGES)
        upload(page, write_photos(Path(folder), 1))
        for label in ("Opacity of the heat", "Hide heat below"):
            moves = [measure_move(page, label) for _ in range(MOVES)]
            sent_ms, shown_ms = (median(values) for values in zip(*moves, strict=True))
            rows.append([label, *(f"{ms:.0f}" for ms in (sent_ms, shown_ms, sent_ms + shown_ms))])
    print_table(
        ["slider", "key to message, ms", "message to new picture, ms", "key to new picture, ms"],
        rows,
    )


if __name__ == "__main__":
    main()
