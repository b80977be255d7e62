"""The real app in a process of its own, and a real browser to drive it."""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60
TIMEOUT_MS = 30_000

SEARCHING = ".st-key-scan-progress"
_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

# The heat as the viewer draws it: its pixels, and how they are blended with the photo.
_PICTURE = """
    () => {
        const host = document.querySelector('.st-key-viewer [data-testid^="stBidiComponentIso"]');
        const canvas = host.shadowRoot.querySelector("canvas");
        return canvas.toDataURL() + canvas.style.opacity + canvas.style.clipPath;
    }
"""


def find_chromium():
    """Path of a Chromium or Chrome, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def running_app(log_path, **environment):
    """Start the app on a free port; yields its address once it says it is healthy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    environment = os.environ | {"CRACKLIB_ALLOWED_HOSTS": "localhost,127.0.0.1"} | environment
    with (
        log_path.open("wb") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as app,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_healthy(app, address, log_path)
            yield address
        finally:
            app.terminate()


def _wait_until_healthy(app, address, log_path):
    for _ in range(10 * START_TIMEOUT_S):
        try:
            with urlopen(f"{address}/_stcore/health", timeout=1):
                return
        except (URLError, OSError):
            pass
        try:
            app.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise RuntimeError(f"the app did not start:\n{log_path.read_text(errors='replace')}")


@contextmanager
def running_chromium():
    """A headless Chromium with a made-up camera."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", *_CAMERA]
        )
        try:
            yield browser
        finally:
            browser.close()


def wait_for_result(page: Page, name: str):
    """Wait until the photo called ``name`` is shown, searched if it is large, and nothing runs."""
    expect(page.locator(".st-key-result")).to_contain_text(name, timeout=TIMEOUT_MS)
    stage = page.locator(f'.viewer[data-shown] .stage[aria-label*="{name},"]')
    # While the page is made anew, the one that was there can be beside it.
    expect(stage).to_have_count(1, timeout=TIMEOUT_MS)
    expect(stage).to_be_visible()
    expect(page.locator(SEARCHING)).to_have_count(0, timeout=TIMEOUT_MS)
    wait_until_idle(page)


def wait_for_first_page(page: Page):
    """Wait until the inspect page is whole: left with its pictures on their way, it would ask for
    them in vain, which the browser logs as errors.
    """
    expect(page.locator(".st-key-result")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.locator(".viewer[data-shown]")).to_be_visible()
    wait_until_idle(page)


def wait_until_idle(page: Page):
    """Wait until no script runs and every picture is there."""
    expect(
        page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]')
    ).to_be_visible(timeout=TIMEOUT_MS)
    page.wait_for_function("[...document.images].every((image) => image.complete)")


def picture(page: Page) -> str:
    """The heat as the viewer draws it now."""
    return page.evaluate(_PICTURE)


def wait_for_other_picture(page: Page, before: str) -> str:
    """Wait until the viewer no longer draws ``before``; what it draws then."""
    page.wait_for_function(f"(before) => ({_PICTURE})() !== before", arg=before)
    return picture(page)


def wait_for_picture(page: Page, wanted: str):
    """Wait until the viewer draws ``wanted``."""
    page.wait_for_function(f"(wanted) => ({_PICTURE})() === wanted", arg=wanted)


def press_on_slider(page: Page, label: str, key: str) -> str:
    """Move a slider by one key press; the picture after it."""
    before = picture(page)
    page.get_by_role("group", name=label).get_by_role("slider").focus()
    page.keyboard.press(key)
    return wait_for_other_picture(page, before)
