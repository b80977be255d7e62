"""The session's folder and its cookie, in Streamlit's own tester."""

import json
import os

import pytest
import streamlit as st
from streamlit.runtime.context import StreamlitCookies
from streamlit.testing.v1 import AppTest

from cracklib.store import Store
from ui.own_folder import COOKIE, store
from ui.training.photo_set import photo_set

PAGE = """
import streamlit as st
from ui.own_folder import cookie_kept, own_folder, show_deletion

with cookie_kept():
    if st.button("Look"):
        own_folder(create=False)
    if st.button("Keep"):
        own_folder()
    show_deletion()
    folder = own_folder(create=False)
    st.session_state.path = folder and folder.path
    if st.button("Leave"):
        st.stop()
"""


@pytest.fixture
def sent(monkeypatch, tmp_path):
    """The cookies that browsers send when they connect."""
    cookies = {}
    monkeypatch.setattr(type(st.context), "cookies", property(lambda _: StreamlitCookies(cookies)))
    monkeypatch.setenv("CRACKLIB_STORE", str(tmp_path / "store"))
    store.clear()
    yield cookies
    store.clear()


@pytest.fixture
def app(sent):
    return AppTest.from_string(PAGE).run()


def click(app, label):
    [button] = [button for button in app.button if button.label == label]
    return button.click().run()


def folder_of(app):
    return app.session_state["path"]


def set_cookie(app):
    """What the page gave the browser to keep, or None."""
    told = [json.loads(component.proto.json) for component in app.get("bidi_component")]
    return next((cookie for cookie in reversed(told) if "token" in cookie), None)


def all_folders():
    return list(store().root.iterdir())


def test_who_keeps_nothing_has_no_folder_and_no_cookie(app):
    click(app, "Look")
    assert folder_of(app) is None
    assert all_folders() == []
    assert set_cookie(app) is None


def test_one_folder_for_the_whole_session(app):
    click(app, "Keep")
    path = folder_of(app)
    click(app, "Keep")
    assert folder_of(app) == path
    assert all_folders() == [path]


def test_the_browser_gets_the_token_for_a_day_and_finds_the_folder_with_it(app, sent):
    click(app, "Keep")
    cookie = set_cookie(app)
    assert (cookie["name"], cookie["maxAge"]) == (COOKIE, 24 * 3600)
    assert store().open(cookie["token"]).path == folder_of(app)

    stranger = AppTest.from_string(PAGE).run()
    assert folder_of(stranger) is None
    sent[COOKIE] = cookie["token"]
    again = AppTest.from_string(PAGE).run()
    assert folder_of(again) == folder_of(app)


def test_the_browser_knows_the_token_before_a_page_that_is_left_half_way(app):
    click(app, "Keep")
    click(app, "Leave")
    assert store().open(set_cookie(app)["token"]).path == folder_of(app)


@pytest.mark.parametrize("token", ["", "garbage", "../" * 14 + "a", "a" * 43, "é" * 43])
def test_a_token_that_opens_nothing_is_as_good_as_none(sent, token):
    sent[COOKIE] = token
    app = AppTest.from_string(PAGE).run()
    assert not app.exception
    assert folder_of(app) is None
    click(app, "Keep")
    assert set_cookie(app)["token"] != token


def test_a_folder_that_was_deleted_meanwhile_is_made_anew(app):
    click(app, "Keep")
    old = folder_of(app)
    store().open(set_cookie(app)["token"]).delete()
    app.run()
    assert folder_of(app) is None
    assert set_cookie(app) is None
    click(app, "Keep")
    assert folder_of(app) not in (None, old)


def test_deleting_everything_removes_folder_cookie_and_memory(app, sent):
    click(app, "Keep")
    sent[COOKIE] = set_cookie(app)["token"]
    app.session_state["intake"] = "photos"
    folder = store().open(sent[COOKIE])
    photos = photo_set(folder)
    click(app, "Delete it all")
    assert all_folders() == []
    assert folder_of(app) is None
    assert "intake" not in app.session_state
    assert (set_cookie(app)["token"], set_cookie(app)["maxAge"]) == ("", 0)
    assert "Delete it all" not in [button.label for button in app.button]

    click(app, "Keep")
    assert set_cookie(app)["token"] not in ("", sent[COOKIE])
    assert photo_set(folder) is not photos


def test_who_deleted_everything_is_told_so_once(app):
    app.query_params["deleted"] = "1"
    app.run()
    assert [toast.value for toast in app.toast] == ["Everything of yours was deleted."]
    assert "deleted" not in app.query_params
    app.run()
    assert not app.toast


def test_no_page_says_the_token(app):
    click(app, "Keep")
    token = set_cookie(app)["token"]
    said = [element for element in app.main if element.type != "bidi_component"]
    assert token not in repr(said)
    assert token not in str(app.query_params)


def test_any_visit_deletes_what_is_a_day_old(sent, tmp_path):
    root = tmp_path / "store"
    old = Store(root).create()
    os.utime(old.path, (0, 0))
    AppTest.from_string(PAGE).run()
    assert not old.path.exists()
