"""Every page, run by Streamlit's own tester, with the tiny network in place of the real one."""

import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cracklib.errors import WeightsError
from cracklib.photo import encode_png
from cracklib.pipeline import Inspector
from cracklib.samples import SAMPLES, sample_photo
from ui.errors import APOLOGY
from ui.model import load_inspector
from ui.quality import quality_rows

APP = str(Path(__file__).resolve().parent.parent / "streamlit_app.py")
FIRST, *_, LAST = SAMPLES


@pytest.fixture
def app(inspector, monkeypatch):
    """The app with the tiny network, not yet run."""
    monkeypatch.setattr(Inspector, "load", lambda: inspector)
    load_inspector.clear()
    yield AppTest.from_file(APP, default_timeout=60)
    load_inspector.clear()


@pytest.fixture
def dark_png(dark_corner):
    return encode_png(dark_corner.pixels)


@pytest.fixture
def photo_server(dark_png, monkeypatch):
    """An address on this machine that gives ``dark_png``, and the list of paths asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(len(dark_png)))
            self.end_headers()
            self.wfile.write(dark_png)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/wall.png", asked
        server.shutdown()


def shown(app):
    """The name of the photo on the page, or None."""
    results = [caption.value for caption in app.caption if " px · " in caption.value]
    return results[0].split(" · ")[0].replace("\\", "") if results else None


def verdict(app):
    [html] = [html.value for html in app.get("html") if 'aria-label="Verdict"' in html.value]
    return html


def images(app):
    """URLs of photo and overlay; the media file manager names files by their contents."""
    pictures = {caption: image.value[0] for image in app.get("image") for caption in image.captions}
    return pictures.pop("Photo"), next(
        url for caption, url in pictures.items() if "vidence" in caption
    )


def upload(app, name, data):
    app.file_uploader[0].set_value((name, data, "image/png")).run()


def test_first_load_shows_the_first_sample(app, inspector):
    app.run()
    assert not app.exception
    assert shown(app) == f"{FIRST}.jpg"
    expected = inspector.inspect(sample_photo(FIRST))
    title = {"crack": "Crack found", "no_crack": "No crack found"}[expected.verdict]
    assert title in verdict(app)
    assert app.query_params == {}


@pytest.mark.parametrize("page", ["pages/inspect.py", "pages/about.py"])
def test_every_page_runs(app, page):
    app.run().switch_page(page).run()
    assert not app.exception
    assert not app.error


def test_sliders_blend_again_and_never_run_the_model(app, inspector, dark_png):
    app.run()
    upload(app, "dark.png", dark_png)
    before = inspector.classifier.forward_passes
    overlays = {images(app)[1]}
    for change in (
        lambda: app.slider(key="opacity").set_value(0.8),
        lambda: app.slider(key="threshold").set_value(0.9),
        lambda: app.button_group(key="colormap").set_value("magma"),
    ):
        change()
        app.run()
        overlays.add(images(app)[1])
    assert len(overlays) == 4
    assert inspector.classifier.forward_passes == before


def test_reset_gives_the_defaults_back(app):
    app.run()
    app.slider(key="opacity").set_value(0.8)
    app.button_group(key="colormap").set_value("magma").run()
    [reset] = [button for button in app.button if button.label == "Reset view"]
    reset.click().run()
    assert app.slider(key="opacity").value == 0.35
    assert app.slider(key="threshold").value == 0.25
    assert app.button_group(key="colormap").value == "jet"


def test_link_restores_sample_and_view(app):
    app.query_params.update(sample=LAST, opacity="0.8", threshold="0.5", colormap="viridis")
    app.run()
    assert shown(app) == f"{LAST}.jpg"
    assert app.slider(key="opacity").value == 0.8
    assert app.slider(key="threshold").value == 0.5
    assert app.button_group(key="colormap").value == "viridis"


def test_link_with_unusable_values_says_so_and_shows_the_defaults(app):
    app.query_params.update(sample="moon", opacity="7", colormap="pink")
    app.run()
    assert shown(app) == f"{FIRST}.jpg"
    assert app.slider(key="opacity").value == 0.35
    assert "moon" in app.toast[0].value
    assert any("opacity and colormap" in caption.value for caption in app.caption)


def test_address_is_fetched_once_and_becomes_the_link(app, photo_server):
    url, asked = photo_server
    app.run()
    app.button_group[0].set_value("Web address").run()
    app.text_input[0].set_value(url)
    app.button[0].click().run()
    assert shown(app) == "wall.png"
    assert app.query_params["url"] == url
    app.slider(key="opacity").set_value(0.8).run()
    app.run()
    assert asked == ["/wall.png"]


def test_link_with_an_address_shows_that_photo(app, photo_server):
    app.query_params["url"] = photo_server[0]
    app.run()
    assert shown(app) == "wall.png"


def test_failed_address_keeps_the_last_result_and_its_link(app, monkeypatch):
    monkeypatch.setenv("CRACKLIB_ALLOWED_HOSTS", "")
    app.query_params["sample"] = LAST
    app.run()
    app.button_group[0].set_value("Web address").run()
    app.text_input[0].set_value("http://127.0.0.1/wall.png")
    app.button[0].click().run()
    assert "not public" in app.error[0].value
    assert shown(app) == f"{LAST}.jpg"
    assert app.query_params["sample"] == LAST
    assert "url" not in app.query_params


def test_failed_link_falls_back_to_the_first_sample(app):
    app.query_params["url"] = "ftp://example.org/wall.png"
    app.run()
    assert "http" in app.error[0].value
    assert shown(app) == f"{FIRST}.jpg"


def test_garbage_upload_keeps_the_last_result_until_the_next_success(app, dark_png):
    app.query_params["sample"] = LAST
    app.run()
    upload(app, "notes.png", b"these are notes, not a photo")
    assert "notes.png" in app.error[0].value
    assert shown(app) == f"{LAST}.jpg"
    upload(app, "dark.png", dark_png)
    assert not app.error
    assert shown(app) == "dark.png"
    assert "sample" not in app.query_params


def test_the_latest_action_wins_over_what_other_widgets_hold(app, dark_png):
    app.run()
    upload(app, "dark.png", dark_png)
    app.button(key=f"show-{LAST}").click().run()
    assert shown(app) == f"{LAST}.jpg"
    app.run()
    assert shown(app) == f"{LAST}.jpg"


def test_result_and_link_survive_a_visit_to_the_other_page(app):
    app.query_params["sample"] = LAST
    app.run()
    app.slider(key="opacity").set_value(0.8).run()
    app.query_params.clear()
    app.switch_page("pages/about.py").run()
    app.query_params.clear()
    app.switch_page("pages/inspect.py").run()
    assert shown(app) == f"{LAST}.jpg"
    assert app.query_params["sample"] == LAST
    assert app.slider(key="opacity").value == 0.8


def test_going_back_to_an_address_shows_its_photo(app):
    app.query_params["sample"] = LAST
    app.run()
    app.query_params.clear()
    app.run()
    assert shown(app) == f"{FIRST}.jpg"


def test_own_photo_stays_when_the_page_runs_again(app, dark_png):
    app.run()
    upload(app, "dark.png", dark_png)
    app.run()
    assert shown(app) == "dark.png"
    assert any("no link" in markdown.value for markdown in app.markdown)


def test_two_sessions_share_no_photo(app, dark_png):
    app.run()
    upload(app, "dark.png", dark_png)
    other = AppTest.from_file(APP, default_timeout=60).run()
    assert shown(other) == f"{FIRST}.jpg"


def test_unusable_weights_fill_the_page_with_their_message(app, monkeypatch):
    def fail():
        raise WeightsError("the weights are not here")

    monkeypatch.setattr(Inspector, "load", fail)
    app.run()
    assert [error.value for error in app.error] == ["the weights are not here"]
    assert not app.exception


def test_a_bug_is_logged_and_apologised_for(app, inspector, monkeypatch, caplog):
    app.run()
    monkeypatch.setattr(inspector, "inspect", lambda photo: 1 / 0)
    with caplog.at_level(logging.ERROR):
        app.button(key=f"show-{LAST}").click().run()
    assert app.error[0].value == APOLOGY
    assert "ZeroDivisionError" in caplog.text
    assert shown(app) == f"{FIRST}.jpg"


def test_names_are_shown_as_text(app, dark_png):
    app.run()
    upload(app, "**bold** <b>[x](y).png", dark_png)
    assert shown(app) == "**bold** <b>[x](y).png"


def test_quality_table_reads_the_card():
    row = {"photos": 12, "recall": {"value": 0.975, "low": 0.9, "high": 1.0}, "auc": None}
    assert quality_rows({"brickwork": row}) == [
        {
            "Source": "brickwork",
            "Photos": "12",
            "Balanced accuracy": "–",
            "Cracks found": "97.5 % (90–100)",
            "False alarms": "–",
            "Calibration error": "–",
        }
    ]


def test_samples_are_the_rendered_recipes():
    photo, sample = sample_photo(FIRST), SAMPLES[FIRST]
    rendered = sample.render()
    assert photo.pixels.shape == rendered.shape
    difference = np.abs(photo.pixels.astype(int) - rendered.astype(int))
    assert difference.mean() < 8
