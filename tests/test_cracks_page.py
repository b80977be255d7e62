"""Measuring on the inspect page, run by Streamlit's own tester with the tiny network."""

import gc
from weakref import ref

import numpy as np
import pytest

from cracklib.samples import SAMPLES
from tests.test_app import viewer

*_, LAST = SAMPLES


@pytest.fixture
def app(app, monkeypatch):
    """The app on its first sample, where two level bars are taken for the cracks."""

    def two_bars(inspection):
        mask = np.zeros(inspection.photo.size, bool)
        mask[100:104, 50:250] = mask[200:204, 50:150] = True
        return mask

    monkeypatch.setattr("cracklib.measurement.crack_mask", two_bars)
    return app.run().toggle(key="measure").set_value(True).run()


def test_the_list_is_ranked_and_in_pixels(app):
    assert not app.exception
    [table] = app.dataframe
    assert sorted(table.value["length, px"].round(-1), reverse=True) == [200, 100]
    assert list(table.value["crack"]) == [1, 2]


def test_millimetres_bring_the_class_and_what_it_is_not(app):
    app.button_group(key="scale-way").set_value("Millimetres per pixel").run()
    app.number_input[0].set_value(0.5).run()
    assert not app.exception
    [table] = app.dataframe
    assert sorted(table.value["length, mm"].round(-1), reverse=True) == [100, 50]
    assert "class" in table.value
    assert any("not an opinion on the structure" in caption.value for caption in app.caption)


def test_millimetres_typed_for_one_photo_are_asked_anew_for_the_next(app):
    app.button_group(key="scale-way").set_value("Millimetres per pixel").run()
    app.number_input[0].set_value(0.5).run()
    app.button(key=f"show-{LAST}").click().run()
    assert app.number_input[0].value is None
    assert "length, px" in app.dataframe[0].value


def test_what_was_set_is_still_so_after_another_page(app):
    app.button_group(key="scale-way").set_value("Millimetres per pixel").run()
    app.number_input[0].set_value(0.5).run()
    app.switch_page("pages/about.py").run()
    app.switch_page("pages/inspect.py").run()
    assert "length, mm" in app.dataframe[0].value


def test_no_marker_leaves_pixels_and_says_why(app):
    app.button_group(key="scale-way").set_value("Marker in the photo").run()
    assert not app.exception
    assert "No ArUco marker" in app.warning[0].value
    assert "length, px" in app.dataframe[0].value


def ruler_on(photo_id):
    """What the viewer sends when 200 px of a photo were measured as 100 mm."""
    return {"photo": photo_id, "points": [[10, 20], [210, 20]], "mm": 100}


def test_two_points_of_this_photo_give_the_scale(app):
    app.button_group(key="scale-way").set_value("Two points").run()
    assert "length, px" in app.dataframe[0].value
    assert any("Press Ruler" in caption.value for caption in app.caption)
    app.session_state["_viewer_ruler"] = ruler_on(viewer(app)["photo"]["id"])
    app.run()
    [table] = app.dataframe
    assert sorted(table.value["length, mm"].round(-1), reverse=True) == [100, 50]
    assert viewer(app)["ruler"]["mm"] == 100, "the viewer's own ruler goes on with it"
    app.button(key=f"show-{LAST}").click().run()
    assert viewer(app)["ruler"] is None


def test_two_points_of_another_photo_give_none(app):
    app.session_state["_viewer_ruler"] = ruler_on("another")
    app.button_group(key="scale-way").set_value("Two points").run()
    assert not app.exception
    assert "length, px" in app.dataframe[0].value


def choose(app, row):
    app.session_state[app.dataframe[0].key] = {"selection": {"rows": [row]}}
    app.run()


def near(app):
    """What the picture beside the list says it shows."""
    [caption] = [image.captions[0] for image in app.image if image.captions[0]]
    return caption


def test_a_row_chosen_for_one_photo_says_nothing_of_the_next(app):
    choose(app, 1)
    assert near(app).startswith("Crack 2")
    assert viewer(app)["focus"]["box"]
    app.button(key=f"show-{LAST}").click().run()
    assert near(app) == "Choose a row to go near"
    assert viewer(app)["focus"] is None
    choose(app, 1)
    assert viewer(app)["focus"]["box"], "the same row of another photo is chosen anew"


def test_fewer_cracks_than_the_row_chosen_before_are_shown(app, monkeypatch):
    choose(app, 1)

    def one_bar(inspection):
        mask = np.zeros(inspection.photo.size, bool)
        mask[100:104, 50:250] = True
        return mask

    monkeypatch.setattr("cracklib.measurement.crack_mask", one_bar)
    app.button(key=f"show-{LAST}").click().run()
    assert not app.error
    assert near(app) == "Choose a row to go near"


def test_the_photo_before_is_not_kept_by_what_was_measured_of_it(app):
    app.button(key="measure-faithfulness").click().run()
    app.toggle(key="measure").set_value(False).run()
    before = ref(app.session_state["result"].inspection)
    app.button(key=f"show-{LAST}").click().run()
    app.run()  # Streamlit itself holds what the run before drew
    gc.collect()
    assert before() is None
