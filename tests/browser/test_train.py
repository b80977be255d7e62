"""Training in a real browser, on the real app with the real network and few photos."""

import re

import pytest
from playwright.sync_api import expect

from cracklib.config import weights_path
from cracklib.samples import SAMPLES
from cracklib.weights import unpack_upload
from tests.browser.running import TIMEOUT_MS, running_app, wait_for_result, wait_until_idle

pytestmark = pytest.mark.browser

RUN_TIMEOUT_MS = 180_000
FIRST = next(iter(SAMPLES))


@pytest.fixture(scope="module")
def app_url(tmp_path_factory):
    """An app of its own, where no other test's run stands in the queue."""
    if not weights_path().exists():
        pytest.skip(f"no weights at {weights_path()}")
    folder = tmp_path_factory.mktemp("app")
    with running_app(folder / "app.log", CRACKLIB_STORE=str(folder / "store")) as url:
        yield url


def open_training(page, url):
    """By way of the first page: at /train itself Streamlit asks for its own files in vain first."""
    if page.url != url:
        page.goto(url)
    page.get_by_role("link", name="Train", exact=True).click()
    expect(page.get_by_role("heading", name="1 · Photos")).to_be_visible(timeout=TIMEOUT_MS)


def with_practice_photos(app_url, open_page):
    page = open_page(app_url)
    open_training(page, page.url)
    page.get_by_role("radio", name="Practice set").click()
    page.get_by_role("spinbutton", name="Photos of each kind").fill("12")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Add practice photos").click()
    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=TIMEOUT_MS)
    wait_until_idle(page)
    return page


def set_number(page, label, value):
    page.get_by_role("spinbutton", name=label, exact=True).fill(str(value))
    page.keyboard.press("Enter")
    wait_until_idle(page)


def runs(page):
    return page.locator('[class*="st-key-run-"]').first


def test_practice_set_to_a_model_in_use(app_url, open_page, photo_file, tmp_path):
    page = with_practice_photos(app_url, open_page)
    page.get_by_role("button", name="Start training").click()
    expect(runs(page)).to_contain_text("Finished.", timeout=RUN_TIMEOUT_MS)
    expect(page.locator(".st-key-comparison .headline")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    wait_until_idle(page)

    with page.expect_download() as download:
        page.locator(".st-key-download-model-1").get_by_role("button").click()
    download.value.save_as(tmp_path / "model.zip")
    _, card = unpack_upload([("model.zip", (tmp_path / "model.zip").read_bytes())])
    assert '"model 1"' in card

    page.locator(".st-key-use-model-1").get_by_role("button").click()
    expect(page.locator(".st-key-use-model-1").get_by_role("button")).to_be_disabled()
    page.get_by_role("link", name="Inspect").click()
    wait_for_result(page, f"{FIRST}.jpg")
    page.locator('input[type="file"]').set_input_files(photo_file)
    wait_for_result(page, "my wall.png")
    expect(page.locator(".st-key-result")).to_contain_text("model model 1")

    other = open_page(app_url)
    wait_for_result(other, f"{FIRST}.jpg")
    expect(other.locator(".st-key-result")).not_to_contain_text("model 1")


def test_found_again_after_leaving_the_app_and_stopped_half_way(app_url, open_page):
    page = with_practice_photos(app_url, open_page)
    page.get_by_text("Last block", exact=True).click()
    page.get_by_text("More settings").click()
    set_number(page, "Epochs", 100)
    set_number(page, "Patience, epochs", 0)
    page.get_by_role("button", name="Start training").click()
    stop = page.get_by_role("button", name="Stop, keep the best epoch")
    expect(stop).to_be_visible(timeout=RUN_TIMEOUT_MS)

    open_training(page, app_url)
    stop.click(timeout=TIMEOUT_MS)
    expect(runs(page)).to_contain_text(
        re.compile(r"Stopped\. Epoch \d+ of \d+ was the best"), timeout=RUN_TIMEOUT_MS
    )
    expect(page.locator(".st-key-use-model-1").get_by_role("button")).to_be_enabled()


def test_settings_survive_a_visit_to_another_page(app_url, open_page):
    page = with_practice_photos(app_url, open_page)
    page.get_by_role("textbox", name="Name of the new model").fill("bricks")
    page.get_by_text("Last two blocks", exact=True).click()
    wait_until_idle(page)
    page.get_by_role("link", name="How it works").click()
    expect(page.get_by_role("heading", name="Measured quality")).to_be_visible()
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
