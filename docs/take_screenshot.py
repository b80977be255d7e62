"""Take the README's screenshot of the running app: ``python docs/take_screenshot.py``."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cracklib.samples import SAMPLES  # noqa: E402
from tests.browser.running import running_app, running_chromium, wait_for_result  # noqa: E402

with (
    TemporaryDirectory() as folder,
    running_app(Path(folder) / "app.log") as url,
    running_chromium() as browser,
):
    page = browser.new_page(viewport={"width": 1280, "height": 1150})
    page.goto(url)
    wait_for_result(page, f"{next(iter(SAMPLES))}.jpg")
    page.screenshot(path=ROOT / "docs" / "screenshot.png")
