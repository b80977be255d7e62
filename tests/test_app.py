"""Every page, run by Streamlit's own tester, with the tiny network in place of the real one."""

import json
import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cracklib.classifier import Classifier
from cracklib.errors import WeightsError
from cracklib.intake import PhotoSet
from cracklib.photo import decode_photo, encode_png
from cracklib.pipeline import Inspector
from cracklib.samples import SAMPLES, sample_photo
from cracklib.weights import card_path
from tests.conftest import APP
from tests.tiny import TINY_HEAD, make_card, tiny_engine
from ui.errors import APOLOGY
from ui.own_folder import store

FIRST, *_, LAST = SAMPLES


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


def viewer(app):
    """What the page gives the viewer; the media file manager names files by their contents."""
    [data] = [
        json.loads(component.proto.json)
        for component in app.get("bidi_component")
        if component.proto.component_name == "photo_viewer"
    ]
    return data


def upload(app, name, data):
    app.file_uploader[0].set_value((name, data, "image/png")).run()


def problem(app):
    """The page's error as it reads."""
    return app.error[0].value.replace("\\", "")


def test_first_load_shows_the_first_sample(app, inspector):
    app.run()
    assert not app.exception
    assert shown(app) == f"{FIRST}.jpg"
    expected = inspector.inspect(sample_photo(FIRST))
    title = {"crack": "Crack found", "no_crack": "No crack found"}[expected.verdict]
    assert title in verdict(app)
    assert app.query_params == {}


@pytest.mark.parametrize("page", ["pages/inspect.py", "pages/model.py", "pages/about.py"])
def test_every_page_runs(app, page):
    app.run().switch_page(page).run()
    assert not app.exception
    assert not app.error


def test_a_place_like_a_crack_is_pointed_out_where_none_is_found(app):
    wall = np.random.default_rng(0).integers(120, 160, (240, 240, 3)).astype(np.uint8)
    app.run()
    upload(app, "plain.png", encode_png(wall))
    assert "No crack found" in verdict(app)
    assert "coloured" not in verdict(app)
    wall[103:137, 103:137] = 0
    upload(app, "marked.png", encode_png(wall))
    assert "No crack found" in verdict(app)
    assert "Look at what is coloured all the same" in verdict(app)


def test_controls_reach_the_viewer_and_never_run_the_model(app, inspector, dark_png):
    app.run()
    upload(app, "dark.png", dark_png)
    before = inspector.classifier.forward_passes
    first = viewer(app)
    app.slider(key="opacity").set_value(0.8)
    app.button_group(key="colormap").set_value("magma")
    app.slider(key="threshold").set_value(0.9).run()
    assert viewer(app)["controls"] == {"opacity": 0.8, "colormap": "magma", "threshold": 0.9}
    assert viewer(app)["heat"] == first["heat"]
    heats = [first["heat"]]
    for name, title in (
        ("Class activation map", "Evidence for a crack, log-odds"),
        ("As in the article", "Share of the map's maximum"),
    ):
        app.button_group(key="heat").set_value(name).run()
        assert viewer(app)["heat"] not in heats
        assert viewer(app)["bar"]["title"] == title
        assert viewer(app)["photo"] == first["photo"]
        heats.append(viewer(app)["heat"])
    assert inspector.classifier.forward_passes == before


def test_reset_gives_the_defaults_back(app):
    app.run()
    app.slider(key="opacity").set_value(0.8)
    app.button_group(key="heat").set_value("Class activation map")
    app.button_group(key="colormap").set_value("magma").run()
    [reset] = [button for button in app.button if button.label == "Reset the controls"]
    reset.click().run()
    assert app.slider(key="opacity").value == 0.35
    assert app.slider(key="threshold").value == 0.25
    assert app.button_group(key="colormap").value == "jet"
    assert app.button_group(key="heat").value == "Crack"


def test_faithfulness_of_the_map_is_measured_on_demand(app, inspector):
    app.run()
    before = inspector.classifier.forward_passes
    assert not any("area under deletion" in markdown.value for markdown in app.markdown)
    app.button(key="measure-faithfulness").click().run()
    assert not app.exception
    assert any("area under deletion" in markdown.value for markdown in app.markdown)
    assert inspector.classifier.forward_passes > before


def test_link_restores_sample_and_view(app):
    app.query_params.update(sample=LAST, opacity="0.8", threshold="0.5", colormap="viridis")
    app.query_params.update(heat="Class activation map")
    app.run()
    assert shown(app) == f"{LAST}.jpg"
    assert app.slider(key="opacity").value == 0.8
    assert app.slider(key="threshold").value == 0.5
    assert app.button_group(key="colormap").value == "viridis"
    assert app.button_group(key="heat").value == "Class activation map"


def test_link_with_unusable_values_says_so_and_shows_the_defaults(app):
    app.query_params.update(sample="[moon](https://example.org)", opacity="7", colormap="pink")
    app.run()
    assert shown(app) == f"{FIRST}.jpg"
    assert app.slider(key="opacity").value == 0.35
    assert "not here" in app.toast[0].value
    assert "moon" not in app.toast[0].value
    assert any("opacity, colormap" in caption.value for caption in app.caption)


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


def test_failed_link_falls_back_to_the_first_sample_and_stays_to_be_tried_again(app):
    app.query_params["url"] = "ftp://example.org/wall.png"
    app.run()
    assert "http" in app.error[0].value
    assert shown(app) == f"{FIRST}.jpg"
    app.slider(key="opacity").set_value(0.8).run()
    assert app.error
    assert app.query_params["url"] == "ftp://example.org/wall.png"
    app.button(key=f"show-{LAST}").click().run()
    assert not app.error
    assert "url" not in app.query_params


def test_garbage_upload_keeps_the_last_result_until_the_next_success(app, dark_png):
    app.query_params["sample"] = LAST
    app.run()
    upload(app, "notes.png", b"these are notes, not a photo")
    assert "notes.png" in problem(app)
    assert shown(app) == f"{LAST}.jpg"
    upload(app, "dark.png", dark_png)
    assert not app.error
    assert shown(app) == "dark.png"
    assert "sample" not in app.query_params


def test_what_no_photo_can_be_is_refused_on_the_page_and_past_on_the_next(app):
    app.run()
    upload(app, "wall.avif", b"\0\0\0\x1cftypavif" + bytes(20))
    assert "'wall.avif' is an AVIF picture" in problem(app)
    assert f"Shown below is {FIRST}.jpg" in problem(app)
    assert not app.file_uploader[0].value
    app.switch_page("pages/about.py").run()
    app.switch_page("pages/inspect.py").run()
    assert not app.error


def test_a_photo_too_dark_to_judge_is_unsure(app):
    app.run()
    upload(app, "night.png", encode_png(np.zeros((200, 300, 3), np.uint8)))
    assert "<h2>Unsure</h2>" in verdict(app)
    assert "too dark. Photograph it with more light." in verdict(app)
    assert viewer(app)["verdict"].startswith("Unsure, ")


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


@pytest.mark.parametrize("then", [None, FIRST])
def test_going_back_to_the_bare_address_shows_what_was_there_last(app, dark_png, then):
    app.run()
    upload(app, "dark.png", dark_png)
    if then:
        app.button(key=f"show-{then}").click().run()
    app.button(key=f"show-{LAST}").click().run()
    app.query_params.clear()
    app.run()
    assert shown(app) == (f"{then}.jpg" if then else "dark.png")
    assert app.query_params == {}


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


def kept_photos():
    """What all sessions together keep to train on, as (name, label, origin, pixels)."""
    sets = [PhotoSet(path) for path in store().root.glob("*/photos")]
    return [
        (photo.name, photo.label, photo.origin, decode_photo(photos.path(photo).read_bytes()))
        for photos in sets
        for photo in photos.photos
    ]


def sets_cookie(app):
    return any(c.proto.component_name == "session_cookie" for c in app.get("bidi_component"))


def captions(app):
    return " ".join(caption.value for caption in app.caption)


def test_who_only_inspects_keeps_nothing(app, dark_png):
    app.run()
    upload(app, "dark.png", dark_png)
    assert list(store().root.iterdir()) == []
    assert not sets_cookie(app)


def test_a_photo_is_kept_as_what_the_person_says_it_shows(app, dark_png, dark_corner):
    app.run()
    upload(app, "dark.png", dark_png)
    assert "No crack found" not in verdict(app)
    app.button(key="feedback-no_crack").click().run()
    assert not app.exception
    [(name, label, origin, photo)] = kept_photos()
    assert (name, label, origin) == ("dark.png", "no_crack", "feedback")
    np.testing.assert_allclose(photo.pixels, dark_corner.pixels, atol=8)
    assert "Kept as “no crack”. Kept for training in this session: 1 photo." in captions(app)
    assert sets_cookie(app)


def test_what_is_kept_is_no_larger_than_a_photo_has_to_be(app):
    grain = np.random.default_rng(0).normal(140, 12, (400, 400, 3)).clip(0, 255).astype(np.uint8)
    png = encode_png(grain)
    app.run()
    upload(app, "grain.png", png)
    app.button(key="feedback-crack").click().run()
    [path] = store().root.glob("*/photos/photos/*")
    assert path.stat().st_size < 0.6 * len(png)


def test_below_an_unsure_verdict_one_says_what_the_photo_shows(app):
    app.run()
    upload(app, "night.png", encode_png(np.zeros((200, 300, 3), np.uint8)))
    assert "<h2>Unsure</h2>" in verdict(app)
    [button] = [button for button in app.button if button.label == "No crack"]
    button.click().run()
    assert [label for _, label, *_ in kept_photos()] == ["no_crack"]


def test_an_answer_can_be_changed_and_taken_back(app):
    app.run()
    for _ in range(2):
        app.button(key="feedback-no_crack").click().run()
        app.button(key="feedback-crack").click().run()
        assert [label for _, label, *_ in kept_photos()] == ["crack"]
        app.button(key="feedback-back").click().run()
        assert kept_photos() == []
    assert "Kept" not in captions(app)


def test_an_answer_is_remembered_after_a_reload(app):
    app.run()
    app.button(key="feedback-no_crack").click().run()
    again = AppTest.from_file(APP, default_timeout=60)
    again.session_state["_token"] = app.session_state["_token"]
    again.run()
    assert "Kept as" in captions(again)
    again.button(key="feedback-back").click().run()
    assert kept_photos() == []


def test_an_answer_belongs_to_its_photo(app, dark_png):
    app.run()
    app.button(key="feedback-crack").click().run()
    upload(app, "dark.png", dark_png)
    assert "Kept as" not in captions(app)
    assert "1 photo" in captions(app)
    app.button(key=f"show-{FIRST}").click().run()
    assert "Kept as" in captions(app)


def test_a_photo_that_cannot_be_kept_says_why(app, monkeypatch):
    app.run()
    monkeypatch.setattr("cracklib.store.MAX_SESSION_BYTES", 1000)
    app.button(key="feedback-crack").click().run()
    assert "would be over its 0 MB" in app.error[0].value
    assert kept_photos() == []


@pytest.fixture
def own_model(app, inspector, monkeypatch):
    """Gives a session a model of its own that finds no crack anywhere, and the way to use it."""
    sober = Inspector(
        Classifier(
            tiny_engine,
            TINY_HEAD | {"predictions/bias": np.array([50.0, 0.0], np.float32)},
            make_card(name="north wall", sha256="1" * 64),
        )
    )

    def load(path=None):
        return inspector if path is None else sober

    def give(app):
        app.button(key="feedback-crack").click().run()
        folder = store().open(app.session_state["_token"])
        path = folder.model_path("north wall")
        path.parent.mkdir()
        path.write_text("weights")
        card_path(path).write_text("card")
        return folder

    monkeypatch.setattr(Inspector, "load", load)
    return give


def test_another_model_judges_the_shown_photo_again_in_this_session_only(app, own_model, dark_png):
    other = AppTest.from_file(APP, default_timeout=60).run()
    upload(other, "dark.png", dark_png)
    app.run()
    upload(app, "dark.png", dark_png)
    assert "No crack found" not in verdict(app)

    own_model(app).use_model("north wall")
    assert "No crack found" in verdict(app.run())
    assert shown(app) == "dark.png"
    assert any("‘north wall’" in text.value for text in app.markdown)
    assert "No crack found" not in verdict(other.run())
    assert not any("‘north wall’" in text.value for text in other.markdown)

    [back] = [button for button in app.button if button.label == "Back to the bundled model"]
    back.click().run()
    assert "No crack found" not in verdict(app)


def test_the_link_says_that_it_does_not_bring_the_model(app, own_model):
    def told(app):
        [text] = [text.value for text in app.markdown if "opens this link" in text.value]
        return text

    app.run()
    folder = own_model(app)
    assert "model" not in told(app)
    folder.use_model("north wall")
    assert "judged by the bundled model, not by yours" in told(app.run())


def test_a_model_that_is_gone_leaves_the_bundled_one_and_says_so(app, own_model):
    app.run()
    folder = own_model(app)
    folder.use_model("north wall")
    folder.models()[0].unlink()
    app.run()
    assert "‘north wall’ can't be used" in app.warning[0].value
    assert "is not there any more" in app.warning[0].value
    assert not app.exception
    assert not app.run().warning


def test_everything_is_deleted_at_once(app):
    app.run()
    app.button(key="feedback-crack").click().run()
    app.switch_page("pages/about.py").run()
    app.button(key="delete-everything").click().run()
    assert not app.exception
    assert list(store().root.glob("*/")) == []
    assert "_token" not in app.session_state
    assert not [button for button in app.button if button.key == "delete-everything"]


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
    assert problem(app) == f"{APOLOGY} Shown below is {FIRST}.jpg."
    assert "ZeroDivisionError" in caplog.text
    assert shown(app) == f"{FIRST}.jpg"


def test_names_are_shown_as_text(app, dark_png):
    app.run()
    upload(app, "**bold** <b>[x](y).png", dark_png)
    assert shown(app) == "**bold** <b>[x](y).png"
    upload(app, "**bold** [x](y).png", b"this is no photo")
    assert "**bold**" not in app.error[0].value
    assert "[x](y)" in problem(app)


@pytest.mark.parametrize("limit", ["MAX_SET_BYTES", "MAX_FILE_BYTES"])
def test_the_name_of_a_photo_that_cannot_be_kept_is_shown_as_text(
    app, dark_png, monkeypatch, limit
):
    app.run()
    upload(app, "a __bold__ wall.png", dark_png)
    monkeypatch.setattr(f"cracklib.config.{limit}", 100)
    app.button(key="feedback-crack").click().run()
    assert "a __bold__ wall.png" in problem(app)
    assert "__bold__" not in app.error[0].value


def test_samples_are_the_rendered_recipes():
    photo, sample = sample_photo(FIRST), SAMPLES[FIRST]
    rendered = sample.render()
    assert photo.pixels.shape == rendered.shape
    difference = np.abs(photo.pixels.astype(int) - rendered.astype(int))
    assert difference.mean() < 8
