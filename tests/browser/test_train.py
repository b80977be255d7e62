"""Training in a real browser, on the real app with the real network and few photos."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import zipfile

import pytest
from playwright.sync_api import expect

from cracklib.config import weights_path
from cracklib.samples import SAMPLES
from cracklib.store import is_locked
from cracklib.weights import unpack_upload
from tests.browser.running import (
    ROOT,
    TIMEOUT_MS,
    running_app,
    wait_for_first_page,
    wait_for_result,
    wait_until_idle,
)

pytestmark = pytest.mark.browser

RUN_TIMEOUT_MS = 600_000
FIRST = next(iter(SAMPLES))


@pytest.fixture(scope="module")
def store_root(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def app_url(store_root):
    """An app of its own, where no other test's run stands in the queue."""
    if not weights_path().exists():
        pytest.skip(f"no weights at {weights_path()}")
    log = store_root.with_name("app.log")
    with running_app(log, CRACKLIB_STORE=str(store_root)) as url:
        yield url


def open_training(page, url):
    """By way of the first page: at /train itself Streamlit asks for its own files in vain first."""
    if page.url != url:
        page.goto(url)
    wait_for_first_page(page)
    page.get_by_role("link", name="Train", exact=True).first.click()
    expect(page.get_by_role("heading", name="1 · Photos")).to_be_visible(timeout=TIMEOUT_MS)


def with_practice_photos(app_url, open_page):
    page = open_page(app_url)
    open_training(page, page.url)
    bring_practice_photos(page)
    return page


def bring_practice_photos(page):
    page.get_by_role("radio", name="Practice set").click()
    page.get_by_role("spinbutton", name="Photos of each kind").fill("12")
    page.keyboard.press("Enter")
    wait_until_idle(page)
    page.get_by_role("button", name="Add practice photos").click()
    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=TIMEOUT_MS)
    wait_until_idle(page)


def set_number(page, label, value):
    page.get_by_role("spinbutton", name=label, exact=True).fill(str(value))
    page.keyboard.press("Enter")
    wait_until_idle(page)


def runs(page):
    return page.locator('[class*="st-key-run-"]').first


def ending(page):
    """How the run ended, or that it is about to."""
    return runs(page).get_by_test_id("stAlert")


def start_training(page):
    page.get_by_role("button", name="Start training").click()


def start_long_training(page):
    page.get_by_text("Last block", exact=True).click()
    page.get_by_text("More settings").click()
    set_number(page, "Epochs (1–100)", 100)
    set_number(page, "Patience, epochs (0–100)", 0)
    start_training(page)
    expect(stop_button(page)).to_be_visible(timeout=RUN_TIMEOUT_MS)


def stop_button(page):
    return page.get_by_role("button", name="Stop, keep the best epoch")


def downloaded(page, button, path):
    with page.expect_download() as download:
        button.click()
    download.value.save_as(path)
    return path


def run_again(page, folder):
    """The run on the page once more, by what the page says to do; its card."""
    page.get_by_text("The same run on the command line").click()
    command = page.locator('[class*="st-key-same-"] code.language-bash').inner_text()
    button = page.locator('[class*="st-key-same-"]').get_by_role("button", name="DATA, ZIP")
    button.scroll_into_view_if_needed()  # what is above it is still being laid out
    wait_until_idle(page)
    with zipfile.ZipFile(downloaded(page, button, folder / "data.zip")) as archive:
        archive.extractall(folder)
    python, *arguments = shlex.split(command)
    assert python == "python"
    subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    [card] = (folder / "weights").glob("*.json")
    return json.loads(card.read_text("utf-8"))


def test_practice_set_to_a_model_in_use(app_url, open_page, photo_file, tmp_path):
    page = with_practice_photos(app_url, open_page)
    start_training(page)
    expect(ending(page)).to_be_visible(timeout=RUN_TIMEOUT_MS)
    expect(ending(page)).to_contain_text("Finished.")
    comparison = page.locator(".st-key-comparison")
    expect(comparison.locator(".headline")).to_contain_text("on your walls", timeout=RUN_TIMEOUT_MS)
    wait_until_idle(page)
    for heading in ("Your held-out photos", "Our check set"):
        expect(comparison.get_by_role("heading", name=heading)).to_be_visible()
    expect(comparison.get_by_role("row", name=re.compile("^Recall"))).to_have_count(2)

    cell = comparison.locator('[class*="st-key-cell-right-"] button:enabled').last
    n_photos = int(cell.locator("strong").inner_text())
    cell.click()
    pictures = comparison.locator('[class*="st-key-pictures-"]').get_by_role("img")
    expect(pictures).to_have_count(min(n_photos, 12), timeout=TIMEOUT_MS)
    expect(pictures.first).to_have_attribute("alt", re.compile("evidence for a crack as colours"))
    wait_until_idle(page)
    for curve in ("Precision–recall", "Calibration"):
        comparison.get_by_role("radio", name=curve).click()
        charts = comparison.locator(f'[role="graphics-document"][aria-label^="{curve} of both"]')
        expect(charts).to_have_count(2)
    wait_until_idle(page)

    comparison.get_by_role("button", name="Use this model").click()
    expect(comparison.get_by_role("button", name="In use")).to_be_disabled()
    expect(page.locator(".st-key-use-model-1").get_by_role("button")).to_be_disabled()
    wait_until_idle(page)
    button = page.locator(".st-key-download-model-1").get_by_role("button")
    model = downloaded(page, button, tmp_path / "model.zip")
    _, text = unpack_upload([("model.zip", model.read_bytes())])
    card = json.loads(text)
    assert card["name"] == "model 1"
    assert card["data"] == {"practice": {"crack": 10, "no_crack": 10}}
    assert "practice" in card["quality"]
    assert run_again(page, tmp_path)["sha256"] == card["sha256"]

    page.get_by_role("link", name="Inspect").click()
    wait_for_result(page, f"{FIRST}.jpg")
    page.locator('input[type="file"]').set_input_files(photo_file)
    wait_for_result(page, "my wall.png")
    expect(page.locator(".st-key-result")).to_contain_text("model model 1")

    other = open_page(app_url)
    wait_for_result(other, f"{FIRST}.jpg")
    expect(other.locator(".st-key-result")).not_to_contain_text("model 1")
    open_training(other, other.url)
    expect(other.get_by_text("model 1", exact=True)).to_have_count(0)
    other.get_by_text("Upload a model").click()
    other.get_by_test_id("stForm").locator('input[type="file"]').set_input_files(model)
    expect(other.get_by_test_id("stForm").get_by_text("model.zip")).to_be_visible()
    wait_until_idle(other)
    other.get_by_role("button", name="Add the model").click()
    other.locator(".st-key-use-model").get_by_role("button").click(timeout=TIMEOUT_MS)
    expect(other.locator(".st-key-use-model").get_by_role("button")).to_be_disabled()
    wait_until_idle(other)
    other.get_by_role("link", name="Inspect").click()
    expect(other.locator(".st-key-result")).to_contain_text(card["sha256"][:8], timeout=TIMEOUT_MS)

    page.get_by_role("button", name="Back to the bundled model").click()
    expect(page.locator(".st-key-result")).not_to_contain_text("model 1", timeout=TIMEOUT_MS)


def test_found_again_after_leaving_the_app_and_stopped_half_way(app_url, open_page):
    page = with_practice_photos(app_url, open_page)
    start_long_training(page)
    open_training(page, app_url)
    stop_button(page).click(timeout=TIMEOUT_MS)
    expect(ending(page)).to_contain_text(
        re.compile(r"Stopped\. Epoch \d+ of \d+ was the best"), timeout=RUN_TIMEOUT_MS
    )
    expect(page.locator(".st-key-use-model-1").get_by_role("button")).to_be_enabled()


def test_a_run_is_found_after_a_reload_and_in_a_new_tab_and_its_end_is_told(
    app_url, chromium, store_root
):
    # Not by ``open_page``: loaded at /train, Streamlit's own page logs two errors to the console.
    context = chromium.new_context()
    page = context.new_page()
    page.goto(app_url)
    open_training(page, page.url)
    bring_practice_photos(page)
    start_long_training(page)

    page.reload()
    expect(stop_button(page)).to_be_visible(timeout=TIMEOUT_MS)
    expect(runs(page)).to_contain_text("photos a second", timeout=TIMEOUT_MS)
    page.close()
    page = context.new_page()
    page.goto(f"{app_url}/train")
    expect(stop_button(page)).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.locator(".st-key-news")).to_contain_text("model 1 is being trained")

    [process] = [path for path in store_root.glob("*/jobs/*/process") if is_locked(path)]
    os.killpg(int(process.read_text()), signal.SIGKILL)
    expect(ending(page)).to_contain_text("was killed", timeout=TIMEOUT_MS)
    expect(ending(page)).to_contain_text("The model in use is unchanged.")
    expect(page.locator(".st-key-use- button")).to_be_disabled()
    page.get_by_role("link", name="Inspect").click()
    wait_for_result(page, f"{FIRST}.jpg")
    context.close()


def test_one_trains_while_another_inspects_and_waits_for_its_turn(app_url, open_page, photo_file):
    one = with_practice_photos(app_url, open_page)
    start_long_training(one)

    other = open_page(app_url)
    wait_for_result(other, f"{FIRST}.jpg")
    other.locator('input[type="file"]').set_input_files(photo_file)
    wait_for_result(other, "my wall.png")
    open_training(other, other.url)
    expect(other.get_by_text("Starts once there are enough")).to_be_visible()
    expect(other.locator(".st-key-news")).to_have_count(0)
    expect(runs(other)).to_have_count(0)
    bring_practice_photos(other)
    expect(other.get_by_text("One run is ahead of it.")).to_be_visible(timeout=TIMEOUT_MS)
    start_training(other)
    expect(runs(other)).to_contain_text("Next in the queue", timeout=TIMEOUT_MS)

    one.get_by_role("button", name="Cancel").click()
    expect(runs(one)).to_contain_text("Cancelled; nothing was kept.", timeout=TIMEOUT_MS)
    expect(runs(other)).to_contain_text("Computing features", timeout=RUN_TIMEOUT_MS)
    other.get_by_role("button", name="Cancel").click()
    expect(runs(other)).to_contain_text("Cancelled", timeout=TIMEOUT_MS)


def test_settings_survive_a_visit_to_another_page(app_url, open_page):
    page = with_practice_photos(app_url, open_page)
    estimate = page.get_by_text(re.compile("^Takes "))
    expect(estimate).to_be_visible(timeout=RUN_TIMEOUT_MS)
    of_the_head = estimate.inner_text()
    page.get_by_role("textbox", name="Name of the new model").fill("bricks")
    page.get_by_text("Last two blocks", exact=True).click()
    # Until the server has answered it knows of neither.
    expect(estimate).not_to_have_text(of_the_head, timeout=TIMEOUT_MS)
    page.get_by_role("link", name="How it works").click()
    expect(page.get_by_role("heading", name="Limits")).to_be_visible()
    page.get_by_role("link", name="Train").click()
    expect(page.get_by_role("textbox", name="Name of the new model")).to_have_value("bricks")
    expect(page.get_by_role("radio", name="Last two blocks")).to_be_checked()


def test_phone_width_needs_no_sideways_scrolling(app_url, open_page):
    page = with_practice_photos(app_url, open_page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_text("More settings").click()
    wait_until_idle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= 390
