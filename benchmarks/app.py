"""The real app and a headless browser, for the benchmarks that measure both."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.measure import render_photo
from cracklib.photo import encode_jpeg

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 60


def write_photos(folder: Path, count: int) -> list[Path]:
    """Different JPEG photos of 1600x1200."""
    pixels = render_photo()
    paths = [folder / f"wall-{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(encode_jpeg(np.roll(pixels, 100 * number, axis=1)))
    return paths


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Headless Chromium: ``CHROMIUM``, else ``chromium`` on the path, else Playwright's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            args=["--no-sandbox"],
        )
        yield browser
        browser.close()


@contextmanager
def start_app(engine: str = "openvino") -> Iterator[tuple[str, int]]:
    """The app on ``engine``, once it is healthy: its address and process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = ["--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"]
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", *options],
        cwd=ROOT,
        env=os.environ | {"CRACKLIB_ENGINE": engine},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _await_health(url, process)
            yield url, process.pid
        finally:
            process.terminate()


def _await_health(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{url}/_stcore/health"):  # noqa: S310
                return
        except URLError:
            time.sleep(0.05)
    raise RuntimeError("the app did not start; run it by hand to see why")


def open_page(browser: Browser, url: str, script: str = "") -> Page:
    """The app's first page, once it shows a verdict; ``script`` runs in it before its own."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(TIMEOUT_S * 1000)
    page.add_init_script(script)
    page.goto(url)
    page.get_by_role("region", name="Verdict").wait_for()
    return page


def upload(page: Page, photos: Sequence[Path]) -> None:
    """Give the page one photo after the other, each once the one before is shown."""
    for photo in photos:
        page.locator("input[type=file]").set_input_files(photo)
        page.get_by_text(re.compile(rf"{photo.name} · .* px · ")).wait_for()
