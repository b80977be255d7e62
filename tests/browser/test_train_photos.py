"""Photos brought to the training page in a real browser: bad ones say why, and nothing is lost."""

import io
import re
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from playwright.sync_api import expect

from cracklib.photo import encode_png
from tests.browser.running import TIMEOUT_MS, wait_for_first_page, wait_until_idle
from tests.test_download import answer, serving
from tests.test_intake import picture

pytestmark = pytest.mark.browser


def photo_file(seed):
    return encode_png(picture(seed))


def zip_of(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return buffer.getvalue()


def go_to_train_page(page, app_url):
    # Through the menu: opened at /train, Streamlit's own page logs two errors to the console.
    page.goto(app_url)
    wait_for_first_page(page)
    page.get_by_role("link", name="Train").first.click()
    expect(page.get_by_role("radio", name="Zip")).to_be_visible(timeout=TIMEOUT_MS)
    wait_until_idle(page)


@pytest.fixture
def train_page(app_url, open_page):
    page = open_page("about:blank")
    go_to_train_page(page, app_url)
    return page


@pytest.fixture
def half_a_site():
    """A web server of this machine that gives ten photos, ten pages and ten times nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            number = int(self.path.strip("/.png"))
            kind, body = (
                ("image/png", photo_file(number))
                if number < 10
                else ("text/html", b"<html></html>")
            )
            self.send_response(200 if number < 20 else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def give(page, uploader, name, data):
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    zone = page.get_by_test_id("stFileUploader").filter(has_text=uploader)
    zone.locator('input[type="file"]').set_input_files(file)


def count_of(page, kind):
    return (
        page.get_by_test_id("stMetric")
        .filter(has=page.get_by_text(kind, exact=True))
        .get_by_test_id("stMetricValue")
    )


def test_zips_that_are_refused_say_why_and_one_class_is_kept(train_page, app_url):
    page = train_page
    photos = {f"crack/{i}.png": photo_file(i) for i in range(12)}
    give(page, "A zip", "one class.zip", zip_of(photos))
    page.get_by_role("button", name="Add photos").click()
    expect(page.get_by_role("alert")).to_contain_text("There are no uncracked photos")
    expect(count_of(page, "Cracked")).to_have_text("12")

    for name, files, reason in [
        ("bomb.zip", {"crack/bomb.bmp": bytes(20_000_000)}, "times as large"),
        ("escape.zip", {"crack/../../../etc/wall.png": photo_file(1)}, "leads out of the zip"),
    ]:
        give(page, "A zip", name, zip_of(files))
        expect(page.get_by_role("alert").filter(has_text=reason)).to_be_visible()
        wait_until_idle(page)
        expect(count_of(page, "Cracked")).to_have_text("12")
    go_to_train_page(page, app_url)
    expect(count_of(page, "Cracked")).to_have_text("12")
    assert "Traceback" not in page.inner_text("body")


def test_what_is_no_photo_is_told_beside_the_good_ones_and_large_photos_are_taken(train_page):
    page = train_page
    page.get_by_role("radio", name="Two folders").click()
    files = [
        ("good.png", photo_file(1)),
        ("large.png", photo_file(2) + bytes(21_000_000)),
        ("notes.txt", b"these are notes"),
    ]
    zone = page.get_by_test_id("stFileUploader").filter(has_text="Not cracked")
    zone.locator('input[type="file"]').set_input_files(
        [{"name": name, "mimeType": "", "buffer": data} for name, data in files]
    )
    report = page.get_by_test_id("stExpander").filter(has_text="1 could not be used")
    expect(report).to_contain_text("'notes.txt' is text, not a photo")
    expect(count_of(page, "Not cracked")).to_have_text("2")


def test_a_list_whose_links_half_fail_gives_the_other_half(train_page, half_a_site):
    page = train_page
    page.get_by_role("radio", name="List of links").click()
    lines = [f"{half_a_site}/{i}.png,{'crack' if i % 2 else 'no crack'}" for i in range(30)]
    give(page, "A CSV file", "walls.csv", "\n".join(["content,label", *lines]).encode())
    page.get_by_role("button", name="Download 30 photos").click()
    expect(page.get_by_text("10 of 30 photos are here, 20 failed.")).to_be_visible(
        timeout=TIMEOUT_MS
    )
    report = page.get_by_test_id("stExpander").filter(has_text="20 could not be used")
    expect(report).to_contain_text("a page, not a photo")
    expect(report).to_contain_text("no photo at this link")
    expect(count_of(page, "Cracked")).to_have_text("5")
    page.get_by_role("button", name="Go on without them").click()
    expect(page.get_by_text("Or paste the list")).to_be_visible()
    expect(count_of(page, "Not cracked")).to_have_text("5")


def test_a_list_goes_on_after_the_tab_was_closed(train_page, app_url):
    page = train_page
    go_on = Event()

    def later(number):
        def give_photo(request):
            go_on.wait(TIMEOUT_MS / 1000)
            answer(photo_file(number))(request)

        return give_photo

    with serving() as site:
        site.answers = {f"/{i}.png": answer(photo_file(i)) for i in range(6)}
        site.answers |= {f"/{i}.png": later(i) for i in range(6, 24)}
        labels = ['["Crack"]', '["no Crack"]', "[]"]
        lines = [
            f'{{"content": "{site.url(f"/{i}.png")}", "annotation": {{"labels": {labels[i % 3]}}}, '
            '"extras": null}'
            for i in range(24)
        ]
        page.get_by_role("radio", name="List of links").click()
        give(page, "A CSV file", "dataturks.json", "\n".join(lines).encode())
        expect(page.get_by_text("8 cracked, 8 not cracked, 8 without a label")).to_be_visible()
        page.get_by_role("combobox", name="Those without a label").click()
        page.get_by_role("option", name="Not cracked").click()
        page.get_by_role("button", name="Download 24 photos").click()
        expect(page.get_by_text("Adding photos: 6 of 24")).to_be_visible(timeout=TIMEOUT_MS)

        page.goto("about:blank")
        go_on.set()
        go_to_train_page(page, app_url)
        expect(page.get_by_text(re.compile("of 24 photos are here"))).to_be_visible()
        page.get_by_role("button", name=re.compile(r"Download \d+ photos")).click()
        expect(page.get_by_text("All 24 photos are here.")).to_be_visible(timeout=TIMEOUT_MS)
    expect(count_of(page, "Cracked")).to_have_text("8")
    expect(count_of(page, "Not cracked")).to_have_text("16")
    page.get_by_role("button", name="Another list").click()
    expect(page.get_by_text("Or paste the list")).to_be_visible()


def test_a_list_that_is_cancelled_while_it_is_downloaded_is_gone(train_page, app_url):
    page = train_page
    go_on = Event()
    with serving() as site:
        site.answers = {f"/{i}.png": answer(photo_file(i)) for i in range(2)}
        site.answers |= {
            f"/{i}.png": lambda request: (
                go_on.wait(TIMEOUT_MS / 1000),
                answer(photo_file(3))(request),
            )
            for i in range(2, 12)
        }
        lines = [f"{site.url(f'/{i}.png')},crack" for i in range(12)]
        page.get_by_role("radio", name="List of links").click()
        give(page, "A CSV file", "walls.csv", "\n".join(["content,label", *lines]).encode())
        page.get_by_role("button", name="Download 12 photos").click()
        expect(page.get_by_text("Adding photos: 2 of 12")).to_be_visible(timeout=TIMEOUT_MS)
        page.get_by_role("button", name="Cancel").click()
        go_on.set()
        expect(page.get_by_text("Or paste the list")).to_be_visible(timeout=TIMEOUT_MS)
        wait_until_idle(page)
        expect(page.get_by_text("Adding photos")).to_have_count(0)
    go_to_train_page(page, app_url)
    expect(page.get_by_text("of 12 photos are here")).to_have_count(0)


def test_from_the_photos_one_finds_where_all_is_deleted_and_is_told_when_it_is(app_url, chromium):
    # Not by ``open_page``: some of Streamlit's own requests fail where a later page is loaded.
    page = chromium.new_page()
    go_to_train_page(page, app_url)
    page.get_by_role("radio", name="Two folders").click()
    give(page, "Not cracked", "wall.png", photo_file(1))
    page.get_by_role("button", name="Remove all photos").click()
    page.get_by_role("link", name="Delete everything of mine").click()
    page.locator("summary").get_by_text("Delete everything of mine").click()
    page.get_by_role("button", name="Delete it all").click()
    expect(page.get_by_text("Everything of yours was deleted.")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page).to_have_url(f"{app_url}/about")
    page.context.close()


def test_a_practice_set_can_be_corrected_at_phone_width(train_page):
    page = train_page
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("radio", name="Practice set").click()
    expect(page.get_by_role("button", name="Add practice photos")).to_be_visible()
    wait_until_idle(page)
    page.get_by_role("button", name="Add practice photos").click()
    expect(count_of(page, "Cracked")).to_have_text("40", timeout=TIMEOUT_MS)
    wait_until_idle(page)
    # Of those held out, a wall whose pictures have one label no longer fits into its fifth.
    photos = page.locator('.st-key-gallery [class*="st-key-photo-"]')
    cracked = photos.filter(has_text=re.compile(r"\d crack\.jpg"), has_not_text="held out")
    cracked.first.get_by_role("radio", name="Not cracked").click()
    expect(count_of(page, "Cracked")).to_have_text("39")
    expect(count_of(page, "Held out")).to_have_text("16")
    cracked.first.get_by_role("button", name=re.compile("^Remove ")).click()
    expect(count_of(page, "Not cracked")).to_have_text("40")
    wait_until_idle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= 390


def test_adding_goes_on_after_another_click_until_it_is_stopped(train_page):
    page = train_page
    page.get_by_role("radio", name="Practice set").click()
    page.get_by_role("spinbutton", name="Photos of each kind").fill("500")
    page.get_by_role("button", name="Add practice photos").click()
    expect(page.get_by_text("of 1,000")).to_be_visible()
    page.get_by_role("radio", name="Zip").click()
    page.get_by_role("link", name="How it works").click()
    expect(page.get_by_role("heading", name="Limits")).to_be_visible()
    page.get_by_role("link", name="Train").click()
    expect(page.get_by_text("of 1,000")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(count_of(page, "Cracked")).to_be_visible()
    wait_until_idle(page)
    assert 0 < int(count_of(page, "Cracked").inner_text()) < 500
    expect(page.get_by_text("came twice")).to_have_count(0)
