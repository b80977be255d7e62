from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import expect

from cracklib.config import weights_path
from cracklib.photo import encode_png
from cracklib.samples import SAMPLES, sample_photo
from tests.browser.running import TIMEOUT_MS, find_chromium, running_app, running_chromium

expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="session")
def app_url(tmp_path_factory):
    if not weights_path().exists():
        pytest.skip(f"no weights at {weights_path()}")
    with running_app(tmp_path_factory.mktemp("app") / "app.log") as url:
        yield url


@pytest.fixture(scope="session")
def chromium():
    if not find_chromium():
        pytest.skip("no Chromium: install one, or name it in the environment variable CHROMIUM")
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def open_page(chromium):
    """Opens pages, each in a session of its own, and fails the test if one logged an error.

    A file that Streamlit dropped while the page ran anew may be missing if it comes when it is
    asked for again.
    """
    contexts, errors, missing = [], [], set()

    def keep(message):
        url = message.location["url"]
        if message.type == "error" and not ("404" in message.text and "/media/" in url):
            errors.append(f"{message.text} {url}")

    def note(response):
        if "/media/" in response.url:
            (missing.add if response.status == 404 else missing.discard)(response.url)

    def open_at(url, **options):
        context = chromium.new_context(accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", keep)
        page.on("response", note)
        page.goto(url)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert not errors
    assert not missing


@pytest.fixture(scope="session")
def photo_file(tmp_path_factory):
    """A PNG file larger than the page shows it: 1500 x 2000 pixels."""
    pixels = sample_photo(list(SAMPLES)[1]).pixels
    pixels = pixels.repeat(3, axis=0).repeat(3, axis=1)[:1500, :2000]
    path = tmp_path_factory.mktemp("photos") / "my wall.png"
    path.write_bytes(encode_png(pixels))
    return path


@pytest.fixture(scope="session")
def photo_url(photo_file):
    """``photo_file`` on a web server of this machine."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = partial(Handler, directory=photo_file.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/my%20wall.png"
        server.shutdown()
