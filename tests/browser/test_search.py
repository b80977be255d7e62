"""A large photo searched at its own resolution, in a real browser with the real weights."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from cracklib.photo import encode_jpeg
from cracklib.samples import SAMPLES, sample_photo
from tests.browser.running import SEARCHING, wait_for_result, wait_until_idle

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """A JPEG file of 17 megapixels."""
    pixels = np.tile(sample_photo(next(iter(SAMPLES))).pixels, (5, 5, 1))
    path = tmp_path_factory.mktemp("photos") / "large.jpg"
    path.write_bytes(encode_jpeg(pixels, quality=80))
    return path


def upload(page, path):
    page.locator('input[type="file"]').set_input_files(path)


def test_a_large_photo_is_searched_by_itself_and_the_switch_takes_it_back(
    app_url, open_page, photo_file
):
    page = open_page(app_url)
    wait_for_result(page, f"{next(iter(SAMPLES))}.jpg")
    upload(page, photo_file)
    expect(page.get_by_text("Searched in")).to_be_visible()
    wait_for_result(page, "my wall.png")
    page.get_by_role("radio", name="Off").click()
    expect(page.get_by_text("Searched in")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"[?&]scan=Off"))


def test_a_search_shows_the_first_result_leaves_the_page_live_and_can_be_cancelled_and_go_on(
    app_url, open_page, large_file
):
    page = open_page(app_url)
    wait_for_result(page, f"{next(iter(SAMPLES))}.jpg")
    upload(page, large_file)
    expect(page.locator(SEARCHING)).to_contain_text(re.compile(r"\d+ %, \d+ s left"))
    expect(page.locator(".st-key-result")).to_contain_text("large.jpg")
    page.get_by_role("radio", name="Class activation map").click()
    expect(page.locator(".colour-bar")).to_contain_text("log-odds")
    expect(page.locator(SEARCHING)).to_contain_text("left")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(SEARCHING)).to_have_count(0)
    wait_until_idle(page)
    expect(page.locator(".st-key-result")).to_contain_text("large.jpg")
    expect(page.get_by_text("Search cancelled")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(SEARCHING)).to_contain_text("left")
