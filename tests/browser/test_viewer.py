"""The viewer: photo and heat as layers, blended, enlarged, wiped, read and measured in Chromium."""

import io
import re
from collections import Counter

import numpy as np
import pytest
from playwright.sync_api import expect

from cracklib.photo import decode_photo, encode_png, read_photo
from cracklib.samples import SAMPLES
from cracklib.synthesis import render_crack, render_wall
from tests.browser.running import picture, wait_for_other_picture, wait_for_result, wait_until_idle

pytestmark = pytest.mark.browser

FIRST = next(iter(SAMPLES))
FLAT = "threshold=0&heat=Class activation map"
"""Every pixel of the photo has its colour over it."""


@pytest.fixture
def open_viewer(app_url, open_page):
    """Opens the first sample, drawn as a link's ``query`` says."""

    def open_at(query="", **options):
        options = {"viewport": {"width": 1280, "height": 1700}} | options
        page = open_page(f"{app_url}?{query}", **options)
        wait_for_result(page, f"{FIRST}.jpg")
        return page

    return open_at


@pytest.fixture
def big_photo(open_viewer, photo_file):
    """A page that shows ``photo_file``, which is larger than what the viewer shows at first."""
    page = open_viewer()
    page.locator('input[type="file"]').set_input_files(photo_file)
    wait_for_result(page, "my wall.png")
    return page


def test_files_that_were_dropped_while_the_page_ran_anew_are_asked_for_again(
    open_viewer, photo_file
):
    page = open_viewer()
    asked = Counter()

    def drop_once(route):
        asked[route.request.url] += 1
        if asked[route.request.url] == 1:
            route.fulfill(status=404, body="")
        else:
            route.continue_()

    page.route("**/media/*", drop_once)
    page.locator('input[type="file"]').set_input_files(photo_file)
    wait_for_result(page, "my wall.png")
    assert any(url.endswith(".bin") for url in asked)
    expect(stage(page).locator("canvas")).to_be_visible()
    tool(page, "The photo's own pixels").click()
    expect(page.locator(".viewer[data-full]")).to_be_visible()


def stage(page):
    return page.locator(".viewer .stage")


def tool(page, name):
    return page.locator(".viewer").get_by_role("button", name=name)


def seen(page):
    """What is on the screen of the stage: uint8 RGB (height, width, 3)."""
    return decode_photo(stage(page).screenshot()).pixels


def corner(page):
    """Where the photo's upper left corner is on the stage, and its scale: (x, y, scale)."""
    style = stage(page).locator("img").first.evaluate("image => image.style.transform")
    return [float(number) for number in re.findall(r"-?[\d.]+", style)]


def downloaded(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return download.value.path().read_bytes()


def point(page, x, y):
    """A place of the stage in the window's coordinates."""
    box = stage(page).bounding_box()
    return box["x"] + x, box["y"] + y


def middle(page):
    box = stage(page).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def reading(page):
    """(x, y, value) of what the viewer reads under the pointer."""
    text = page.locator(".viewer .reading").inner_text()
    found = re.fullmatch(r"x (\d+), y (\d+): ([\d.]+)", text)
    assert found, text
    return int(found[1]), int(found[2]), float(found[3])


@pytest.mark.parametrize("query", ["opacity=0.6", f"{FLAT}&opacity=0.5&colormap=viridis"])
def test_blend_is_that_of_python(open_viewer, query):
    page = open_viewer(query)
    overlay = decode_photo(downloaded(page, "Overlay, PNG")).pixels
    tool(page, "The photo's own pixels").click()
    expect(page.locator(".viewer .zoom")).to_have_text("100 %")
    page.mouse.move(0, 0)
    shown = seen(page)
    left, top, _ = (round(number) for number in corner(page))
    # Away from the stage's round corners.
    margin = 12
    rows = slice(max(top, 0) + margin, min(top + overlay.shape[0], shown.shape[0]) - margin)
    columns = slice(max(left, 0) + margin, min(left + overlay.shape[1], shown.shape[1]) - margin)
    wanted = overlay[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    off = np.abs(shown[rows, columns].astype(int) - wanted).max(axis=2)
    # The photo comes as a JPEG, and the heat in 256 steps: a rim of it may be drawn or not.
    assert np.median(off) <= 2
    assert np.mean(off > 16) < 0.001


def test_a_dragged_slider_moves_the_picture_before_the_server_hears_of_it(open_viewer):
    page = open_viewer(FLAT)
    page.evaluate("""() => {
        window.sent = 0;
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (data) {
            window.sent += 1;
            return send.call(this, data);
        };
    }""")
    for key, last in (("opacity", "0.5"), ("threshold", "0.5")):
        group = page.locator(f".st-key-{key} [role=group]")
        track = group.locator("> div").bounding_box()
        thumb = group.locator("input").locator("xpath=../..").bounding_box()
        before, sent = picture(page), page.evaluate("sent")
        page.mouse.move(thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2)
        page.mouse.down()
        page.mouse.move(track["x"] + track["width"] / 2, thumb["y"], steps=4)
        during = wait_for_other_picture(page, before)
        assert page.evaluate("sent") == sent
        page.mouse.up()
        expect(page).to_have_url(re.compile(f"{key}={last}"))
        wait_until_idle(page)
        assert picture(page) == during


def test_wheel_goes_near_to_the_photos_own_pixels(big_photo, photo_file):
    page = big_photo
    pixels = read_photo(photo_file).pixels
    page.mouse.move(*point(page, 400, 200))
    at = reading(page)[:2]
    for _ in range(16):
        page.mouse.wheel(0, -240)
    expect(page.locator(".viewer .zoom")).to_have_text("1600 %")
    page.mouse.move(*point(page, 401, 200))
    assert np.abs(np.subtract(reading(page)[:2], at)).max() <= 1
    expect(page.locator(".viewer[data-full]")).to_be_visible()
    left, top, scale = corner(page)
    shown = seen(page)
    # Without heat here, the middle of each of these squares is a pixel of the photo.
    x0, y0 = (int(np.ceil(-corner_px / scale)) + 1 for corner_px in (left, top))
    differences = [
        np.abs(
            shown[int(top + (y + 0.5) * scale), int(left + (x + 0.5) * scale)].astype(int)
            - pixels[y, x]
        ).max()
        for y in range(y0, y0 + 20)
        for x in range(x0, x0 + 20)
    ]
    assert np.median(differences) <= 8
    page.mouse.dblclick(*point(page, 300, 200))
    expect(page.locator(".viewer .zoom")).not_to_have_text("1600 %")
    assert corner(page)[2] < 1


def test_wipe_shows_the_bare_photo_to_the_left(open_viewer):
    page = open_viewer(f"{FLAT}&opacity=1")
    tool(page, "Wipe").click()
    divider = page.get_by_role("slider", name="Divider")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    x, y = middle(page)
    left, top, scale = corner(page)
    photo = read_photo_of_sample()
    at = seen(page)
    row, column = at.shape[0] // 2, at.shape[1] // 2 - 60
    own = photo[int((row - top) / scale), int((column - left) / scale)]
    assert np.abs(at[row, column].astype(int) - own).max() < 40
    coloured = at[row, column + 120]
    assert coloured.max() - coloured.min() > 100

    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 200, y, steps=4)
    page.mouse.up()
    after = seen(page)[row, column]
    assert after.max() - after.min() > 100
    divider.press("End")
    expect(divider).to_have_attribute("aria-valuenow", "100")
    divider.press("ArrowLeft")
    expect(divider).to_have_attribute("aria-valuenow", "98")


def test_a_message_that_comes_and_goes_above_leaves_the_viewer_as_it_was(open_viewer, tmp_path):
    page = open_viewer()
    tool(page, "Wipe").click()
    divider = page.get_by_role("slider", name="Divider")
    divider.press("End")
    garbage = tmp_path / "notes.jpg"
    garbage.write_text("these are notes, not a photo")
    page.locator('input[type="file"]').set_input_files(garbage)
    expect(page.get_by_role("alert")).to_be_visible()
    wait_until_idle(page)
    expect(divider).to_have_attribute("aria-valuenow", "100")
    page.get_by_role("button", name=SAMPLES[FIRST].title).click()
    expect(page.get_by_role("alert")).to_be_hidden()
    wait_until_idle(page)
    expect(divider).to_have_attribute("aria-valuenow", "100")


def read_photo_of_sample():
    from cracklib.samples import sample_photo

    return sample_photo(FIRST).pixels


def test_the_pointer_reads_the_heat_under_it(open_viewer):
    page = open_viewer()
    heatmap = np.load(io.BytesIO(downloaded(page, "Heatmap, NPY")))
    left, top, scale = corner(page)
    hottest = np.unravel_index(heatmap.argmax(), heatmap.shape)
    for y, x in (hottest, (30, 40), (hottest[0] + 3, hottest[1] - 2)):
        page.mouse.move(*point(page, left + (x + 0.5) * scale, top + (y + 0.5) * scale))
        read_x, read_y, value = reading(page)
        assert max(abs(read_x - x), abs(read_y - y)) <= 1
        assert value == pytest.approx(heatmap[read_y, read_x], abs=0.01)


def test_keys_move_and_enlarge(open_viewer):
    page = open_viewer()
    fitted = corner(page)
    stage(page).focus()
    page.keyboard.press("1")
    expect(page.locator(".viewer .zoom")).to_have_text("100 %")
    page.keyboard.press("+")
    expect(page.locator(".viewer .zoom")).to_have_text("150 %")
    before = reading(page)
    page.keyboard.press("ArrowRight")
    after = reading(page)
    assert after[0] == before[0] + 40
    assert after[1] == before[1]
    page.keyboard.press("0")
    page.wait_for_function(
        """(scale) => document.querySelector(
            '.st-key-viewer [data-testid^="stBidiComponentIso"]'
        ).shadowRoot.querySelector("img").style.transform.includes(`scale(${scale})`)""",
        arg=fitted[2],
    )


def test_the_ruler_gives_millimetres_and_a_row_goes_to_its_crack(open_viewer):
    page = open_viewer()
    tool(page, "Ruler").click()
    x, y = middle(page)
    page.mouse.click(x - 200, y)
    # The second end by the keyboard: the middle of the stage.
    stage(page).focus()
    page.keyboard.press("Enter")
    scale = corner(page)[2]
    length = page.get_by_label("Its length on the wall, mm")
    expect(length).to_be_focused()
    length.fill("500")
    length.press("Enter")
    said = page.get_by_text("mm a pixel, by the ruler")
    mm_per_px = float(said.inner_text().split()[0])
    assert mm_per_px == pytest.approx(500 / (200 / scale), rel=0.02)
    wait_until_idle(page)

    zoom = page.locator(".viewer .zoom")
    stage(page).focus()
    for _ in range(8):
        page.keyboard.press("+")
    expect(zoom).to_have_text("1600 %")
    page.get_by_test_id("stDataFrame").click(position={"x": 15, "y": 52})
    expect(page.locator(".viewer .stage.near")).to_have_count(0)
    fitted = corner(page)
    tool(page, "Fit").click()
    assert corner(page) == fitted, "a crack across the photo shows all of it, no smaller"

    page.get_by_role("link", name="How it works").click()
    expect(page.get_by_role("heading", name="Limits")).to_be_visible()
    page.get_by_role("link", name="Inspect").click()
    wait_for_result(page, f"{FIRST}.jpg")
    assert corner(page) == pytest.approx(fitted, abs=0.5)
    tool(page, "Ruler").click()
    page.mouse.click(x - 200, y)
    page.mouse.click(x, y)
    expect(page.locator(".viewer .hint")).to_contain_text(" mm")


def test_a_row_goes_near_to_a_short_crack(open_viewer, tmp_path):
    rng = np.random.default_rng(1)
    wall = render_wall(rng, (720, 960), "concrete")
    wall[240:480, 320:640], _ = render_crack(wall[240:480, 320:640], rng, "single", 4.0)
    photo = tmp_path / "short.png"
    photo.write_bytes(encode_png(wall))
    page = open_viewer()
    page.locator('input[type="file"]').set_input_files(photo)
    wait_for_result(page, "short.png")
    fitted = corner(page)
    page.get_by_text("Measure the cracks").click()
    page.get_by_test_id("stDataFrame").click(position={"x": 15, "y": 52})
    expect(page.locator(".viewer .stage.near")).to_be_visible()
    assert corner(page)[2] > 1.5 * fitted[2]


def test_two_points_on_one_spot_give_no_scale_and_escape_leaves_the_ruler(open_viewer):
    page = open_viewer()
    stage(page).focus()
    for key in ("r", "Enter", "Enter"):
        page.keyboard.press(key)
    length = page.get_by_label("Its length on the wall, mm")
    length.fill("100")
    length.press("Enter")
    expect(page.locator(".viewer .reading")).to_contain_text("Too near")
    expect(page.get_by_text("mm a pixel, by the ruler")).to_have_count(0)
    length.press("Escape")
    expect(tool(page, "Ruler")).to_have_attribute("aria-pressed", "false")
    expect(stage(page)).to_be_focused()


def test_a_photo_that_does_not_come_leaves_nothing_of_the_one_before(open_viewer):
    page = open_viewer()
    page.route("**/media/**", lambda route: route.fulfill(status=404, body=""))
    show = page.get_by_role("button", name=SAMPLES["brick"].title)
    show.click()
    expect(stage(page)).to_have_attribute("aria-label", "brick.jpg")
    expect(stage(page).locator("canvas")).to_be_hidden()
    expect(stage(page).locator("img:not(.plain)")).to_have_count(0)
    page.unroute("**/media/**")
    show.click()
    wait_for_result(page, "brick.jpg")


def test_fingers_on_a_phone(open_viewer):
    page = open_viewer(viewport={"width": 390, "height": 844}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    stage(page).scroll_into_view_if_needed()
    x, y = middle(page)
    page.touchscreen.tap(x, y)
    assert reading(page)[0] > 0
    scale = corner(page)[2]
    cdp = page.context.new_cdp_session(page)

    def touch(kind, apart):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        cdp.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [] if kind == "touchEnd" else points},
        )

    touch("touchStart", 30)
    for apart in (45, 60, 90):
        touch("touchMove", apart)
    touch("touchEnd", 90)
    expect(page.locator(".viewer .stage.near")).to_be_visible()
    assert corner(page)[2] == pytest.approx(3 * scale, rel=0.2)


def test_without_a_canvas_the_photo_is_still_there(app_url, open_page):
    page = open_page("about:blank")
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(app_url)
    image = stage(page).locator("img")
    expect(image).to_be_visible()
    page.wait_for_function(
        """() => document.querySelector('.st-key-viewer [data-testid^="stBidiComponentIso"]')
            ?.shadowRoot.querySelector("img")?.naturalWidth > 0"""
    )
    expect(page.locator(".viewer .caption")).to_contain_text("The heat can't be drawn here")
