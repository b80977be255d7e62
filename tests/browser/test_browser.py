"""What a person does with the page, in a real browser, on the real app with the real weights."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from cracklib.photo import read_photo
from cracklib.samples import SAMPLES, SAMPLES_DIR
from tests.browser.running import (
    picture,
    press_on_slider,
    wait_for_other_picture,
    wait_for_picture,
    wait_for_result,
    wait_until_idle,
)

pytestmark = pytest.mark.browser

FIRST, *_, LAST = SAMPLES


def upload(page, path):
    page.locator('input[type="file"]').set_input_files(path)


def test_first_load_shows_a_verdict_on_a_sample(app_url, open_page):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    expect(page.locator(".verdict")).to_contain_text(re.compile(r"(No c|C)rack found"))
    expect(page.get_by_role("meter")).to_be_visible()
    assert (
        page.locator(".verdict .sign").evaluate("sign => getComputedStyle(sign).maskImage")
        != "none"
    )


def test_upload_and_both_downloads(app_url, open_page, photo_file, tmp_path):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    upload(page, photo_file)
    wait_for_result(page, "my wall.png")

    with page.expect_download() as download:
        page.get_by_role("button", name="Overlay, PNG").click()
    assert download.value.suggested_filename == "my wall_overlay.png"
    download.value.save_as(tmp_path / "overlay.png")
    overlay = read_photo(tmp_path / "overlay.png")
    assert overlay.size == (1500, 2000)

    with page.expect_download() as download:
        page.get_by_role("button", name="Heatmap, NPY").click()
    download.value.save_as(tmp_path / "heatmap.npy")
    heatmap = np.load(tmp_path / "heatmap.npy")
    assert (heatmap.shape, heatmap.dtype) == ((1500, 2000), np.float32)
    changed = (overlay.pixels != read_photo(photo_file).pixels).any(axis=2)
    assert not changed[heatmap < 0.25].any()


def test_a_name_is_shown_as_it_is(app_url, open_page, photo_file):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    name = "www.example.com a@b.example -- x -> y &copy; **z**.png"
    upload(page, {"name": name, "mimeType": "image/png", "buffer": photo_file.read_bytes()})
    caption = page.locator(".st-key-result").get_by_test_id("stCaptionContainer").last
    expect(caption).to_contain_text("www")
    assert name in caption.inner_text().replace("\N{WORD JOINER}", "")
    expect(caption.get_by_role("link")).to_have_count(0)


def test_of_several_files_the_first_is_inspected_and_that_is_said(app_url, open_page, photo_file):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    upload(page, [photo_file, SAMPLES_DIR / f"{LAST}.jpg"])
    expect(page.get_by_text("One photo at a time")).to_be_visible()
    wait_for_result(page, "my wall.png")


def test_address_of_a_photo(app_url, open_page, photo_url):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    page.get_by_text("Web address", exact=True).click()
    page.get_by_role("textbox").fill(photo_url)
    page.get_by_role("button", name="Inspect").click()
    wait_for_result(page, "my wall.png")
    assert "url=" in page.url


def test_camera(app_url, open_page):
    page = open_page(app_url, permissions=["camera"])
    wait_for_result(page, f"{FIRST}.jpg")
    page.get_by_text("Camera", exact=True).click()
    page.wait_for_function("document.querySelector('video')?.currentTime > 0")
    page.get_by_role("button", name="Take Photo").click()
    wait_for_result(page, "camera.jpg")


def test_sliders_colormap_and_kind_of_heat_change_the_picture(app_url, open_page):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    seen = [picture(page)]
    for label, key in (("Opacity of the heat", "ArrowRight"), ("Hide heat below", "ArrowLeft")):
        seen.append(press_on_slider(page, label, key))
    page.locator(".st-key-colormap").get_by_text("viridis").click()
    seen.append(wait_for_other_picture(page, seen[-1]))
    page.locator(".st-key-heat").get_by_text("Class activation map").click()
    seen.append(wait_for_other_picture(page, seen[-1]))
    assert len(set(seen)) == 5
    for setting in ("colormap=viridis", "heat=Class", "opacity=0.4", "threshold=0.2"):
        expect(page).to_have_url(re.compile(rf"[?&]{re.escape(setting)}\b"))

    page.get_by_role("button", name="Reset the controls").click()
    wait_for_picture(page, seen[0])
    expect(page.get_by_text("can't be used")).to_have_count(0)


@pytest.mark.parametrize("source", ["sample", "url"])
def test_shared_link_shows_the_same_thing(app_url, open_page, photo_url, source):
    name = {"sample": f"{LAST}.jpg", "url": "my wall.png"}[source]
    page = open_page(f"{app_url}?{source}={LAST if source == 'sample' else photo_url}")
    wait_for_result(page, name)
    press_on_slider(page, "Hide heat below", "Home")
    press_on_slider(page, "Opacity of the heat", "End")
    page.get_by_role("button", name="Share").click()
    code = page.get_by_test_id("stPopoverBody").locator("code")
    expect(code).to_contain_text(re.compile(r"(?=.*\bopacity=1(\.0)?\b).*\bthreshold=0(\.0)?\b"))
    link = code.inner_text()

    other = open_page(link)
    wait_for_result(other, name)
    wait_for_picture(other, picture(page))
    expect(other.get_by_role("slider").first).to_have_value("1")
    expect(other.get_by_role("slider").last).to_have_value("0")


def test_going_back_shows_the_photo_before(app_url, open_page):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    page.get_by_role("button", name=SAMPLES[LAST].title).click()
    wait_for_result(page, f"{LAST}.jpg")
    page.go_back()
    wait_for_result(page, f"{FIRST}.jpg")


def test_screen_readers_are_told_the_verdict_of_another_photo(app_url, open_page):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    page.locator(".verdict-told[role=status]").evaluate(
        "place => { window.told = []; new MutationObserver(() => told.push(place.textContent))"
        ".observe(place, { childList: true }); }"
    )
    press_on_slider(page, "Opacity of the heat", "ArrowRight")
    page.get_by_role("button", name=SAMPLES[LAST].title).click()
    wait_for_result(page, f"{LAST}.jpg")
    [told] = page.evaluate("told")
    assert told.startswith(f"{page.locator('.verdict h2').inner_text()}, ")


def test_result_survives_a_visit_to_how_it_works(app_url, open_page, photo_file):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    upload(page, photo_file)
    wait_for_result(page, "my wall.png")
    page.get_by_role("link", name="How it works").click()
    expect(page.get_by_role("heading", name="Limits")).to_be_visible()
    page.get_by_role("link", name="Inspect").click()
    wait_for_result(page, "my wall.png")


def test_garbage_says_so_and_keeps_the_last_result(app_url, open_page, tmp_path):
    garbage = tmp_path / "notes.jpg"
    garbage.write_text("these are notes, not a photo")
    page = open_page(f"{app_url}?sample={LAST}")
    wait_for_result(page, f"{LAST}.jpg")
    upload(page, garbage)
    expect(page.get_by_role("alert")).to_contain_text("notes.jpg")
    wait_for_result(page, f"{LAST}.jpg")
    assert "Traceback" not in page.inner_text("body")


def test_how_it_works_leads_to_the_model_and_its_curves(app_url, open_page):
    page = open_page(app_url)
    wait_for_result(page, f"{FIRST}.jpg")
    expect(page).to_have_title("Inspect · Wall Crack Inspector")
    page.get_by_role("link", name="How it works").click()
    expect(page).to_have_title("How it works · Wall Crack Inspector")
    page.get_by_role("link", name="How good the model is").click()
    expect(page).to_have_url(re.compile("/model$"))
    expect(page.get_by_role("heading", name="How to get these figures")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg")).to_have_count(3)
    worst = page.locator("[class*='st-key-pictures-'] img")
    expect(worst.first).to_be_visible()
    page.wait_for_function(
        "[...document.querySelectorAll(\"[class*='st-key-pictures-'] img\")]"
        ".every(image => image.naturalWidth === 224)"
    )
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize(
    ("link", "heading"),
    [(None, None), ("How it works", "Limits"), ("Model", "How to get these figures")],
)
def test_phone_width_needs_no_sideways_scrolling(app_url, open_page, link, heading):
    page = open_page(app_url, viewport={"width": 390, "height": 844})
    wait_for_result(page, f"{FIRST}.jpg")
    if link:
        page.get_by_test_id("stExpandSidebarButton").click()
        page.get_by_role("link", name=link, exact=True).click()
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        wait_until_idle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= 390
