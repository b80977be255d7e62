"""The search of large photos on the inspect page, with the tiny network."""

import numpy as np
import pytest

from cracklib.classifier import Classifier
from cracklib.errors import CrackError
from cracklib.photo import encode_png
from cracklib.pipeline import Inspector
from tests.tiny import TINY_HEAD, make_card, tiny_dense_engine
from ui import scan


@pytest.fixture
def inspector():
    """One whose network can be run on any part of a photo."""
    return Inspector(Classifier(tiny_dense_engine, TINY_HEAD, make_card()))


def speck(height, width):
    """A wall with a dark spot of 16 px, in PNG."""
    pixels = np.full((height, width, 3), 150, np.uint8)
    pixels[320:336, 480:496] = 0
    return encode_png(pixels)


def upload(app, data):
    app.file_uploader[0].set_value(("wall.png", data, "image/png")).run()


def search(app):
    """What the page's fragment does by the clock, which the tester has none of."""
    tiles = app.session_state["search"].scan
    while not tiles.finished:
        tiles.step()
    app.run()


def click(app, label):
    [button] = [button for button in app.button if button.label == label]
    button.click().run()


def labels(app):
    return [button.label for button in app.button]


def searched(app):
    return bool(app.session_state["result"].inspection.scales)


def test_a_large_photo_is_searched_by_itself_and_a_smaller_one_when_asked(app):
    app.run()
    assert not searched(app)
    assert "Cancel" not in labels(app), "the sample is small"
    upload(app, speck(1500, 1600))
    assert "Cancel" in labels(app)
    assert not searched(app), "the first result is shown at once"
    search(app)
    assert searched(app)
    upload(app, speck(900, 1200))
    assert "Cancel" not in labels(app)
    app.button_group(key="scan").set_value("On").run()
    search(app)
    assert searched(app)


def test_the_switch_shows_either_result_without_another_pass(app, inspector):
    app.run()
    upload(app, speck(1500, 1600))
    search(app)
    classifier = inspector.classifier
    before = classifier.forward_passes
    app.button_group(key="scan").set_value("Off").run()
    assert not searched(app)
    app.button_group(key="scan").set_value("Automatic").run()
    assert searched(app)
    assert classifier.forward_passes == before


def test_cancel_keeps_the_first_result_and_the_search_can_go_on(app):
    app.run()
    upload(app, speck(1500, 1600))
    app.session_state["search"].scan.step()
    click(app, "Cancel")
    assert "Cancel" not in labels(app)
    assert not searched(app)
    assert app.button_group(key="scan").value == "Automatic", "the next photo is searched again"
    before = app.session_state["search"].scan.done_px
    click(app, "Go on")
    assert "Cancel" in labels(app)
    assert app.session_state["search"].scan.done_px == before > 0
    search(app)
    assert searched(app)


def test_the_switch_takes_up_a_cancelled_search(app):
    app.run()
    upload(app, speck(1500, 1600))
    click(app, "Cancel")
    app.button_group(key="scan").set_value("On").run()
    assert "Cancel" in labels(app)


@pytest.mark.parametrize("how", ["cancel", "switch", "page", "another photo", "a small photo"])
def test_a_search_that_is_left_gives_its_memory_back(app, inspector, monkeypatch, how):
    app.run()
    upload(app, speck(1500, 1600))
    app.session_state["search"].scan.step()
    given_back = []
    monkeypatch.setattr(inspector.classifier, "release_memory", lambda: given_back.append(how))
    if how == "cancel":
        click(app, "Cancel")
    elif how == "switch":
        app.button_group(key="scan").set_value("Off").run()
    elif how == "page":
        app.switch_page("pages/about.py").run()
    else:
        upload(app, speck(1400, 1600) if how == "another photo" else speck(340, 500))
    assert given_back


@pytest.mark.parametrize("how", ["button", "switch"])
def test_a_search_that_failed_gives_its_memory_back_and_can_be_tried_again(
    app, inspector, monkeypatch, how
):
    go_on, given_back = scan._go_on, []

    def go_on_at_once(search, inspector):
        search.drawn = True
        go_on(search, inspector)

    def fail(_):
        raise CrackError("no memory left")

    app.run()
    with monkeypatch.context() as patched:
        patched.setattr(scan, "_go_on", go_on_at_once)
        patched.setattr("cracklib.scan.Scan.step", fail)
        patched.setattr(inspector.classifier, "release_memory", lambda: given_back.append(1))
        upload(app, speck(1500, 1600))
    assert [error.value for error in app.error] == ["no memory left"]
    assert given_back
    if how == "button":
        click(app, "Try again")
    else:
        app.button_group(key="scan").set_value("Off").run()
        app.button_group(key="scan").set_value("On").run()
    assert not app.error
    assert "Cancel" in labels(app)
    search(app)
    assert searched(app)


def test_the_link_keeps_the_switch(app):
    app.query_params["scan"] = "Off"
    app.run()
    upload(app, speck(1500, 1600))
    assert app.button_group(key="scan").value == "Off"
    assert "Cancel" not in labels(app)


def test_faithfulness_is_that_of_the_looks_at_the_whole(app):
    app.run()
    upload(app, speck(1500, 1600))
    search(app)
    app.button(key="measure-faithfulness").click().run()
    assert not app.exception
    whole = app.session_state["result"].inspection.whole
    found = app.session_state["faithfulness"].found
    assert found.deletion[0] == pytest.approx(whole.probability, abs=0.01)
    assert any("without the search" in caption.value for caption in app.caption)

    app.button_group(key="scan").set_value("Off").run()
    assert app.get("arrow_vega_lite_chart") or app.get("vega_lite_chart")
    assert not any("without the search" in caption.value for caption in app.caption)
