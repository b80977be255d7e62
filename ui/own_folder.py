"""The private folder of this browser session, found again by a token in a cookie."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from cracklib.config import SESSION_UNUSED_S, store_root
from cracklib.errors import CrackError
from cracklib.jobs import advance, end_session
from cracklib.store import SessionFolder, Store
from ui.errors import errors_told
from ui.training.photo_set import forget_photos

COOKIE = "wall_crack_session"

_LOOK_EVERY_S = 60
_RENEW_EVERY_S = 3600
_TOKEN, _ENDED = "_token", "_ended"
_ELSEWHERE = "session-elsewhere"

_set_cookie = st.components.v2.component(
    "session_cookie",
    js="""
export default function ({ data: { name, token, maxAge } }) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie =
    `${name}=${token}; Max-Age=${maxAge}; Path=/; SameSite=Strict${secure}`;
  if (!token) location.replace(`${location.pathname}?deleted=1`);
}
""",
)

_look_for_cookie = st.components.v2.component(
    "session_elsewhere",
    js="""
export default function ({ data: { name }, setTriggerValue }) {
  const look = () => {
    const cookie = document.cookie.split("; ").find((each) => each.startsWith(`${name}=`));
    if (cookie) setTriggerValue("token", cookie.slice(name.length + 1));
  };
  addEventListener("focus", look);
  return () => removeEventListener("focus", look);
}
""",
)


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """All sessions' folders, looked after from now on. Raises ``CrackError``."""
    sessions = Store(store_root())
    Thread(target=_look_after_for_ever, args=(sessions,), daemon=True).start()
    return sessions


def own_folder(create: bool = True) -> SessionFolder | None:
    """The folder of this session, used just now; None where it has none and ``create`` is false.

    Of a new one the browser learns when ``streamlit_app`` has run to its end, or begins anew: after
    one was made in a fragment, or before what takes long, let the whole page run. Raises
    ``CrackError`` where there can't be one.
    """
    token = st.session_state.get(_TOKEN) or st.context.cookies.to_dict().get(COOKIE)
    folder = store().open(token) if token else None
    if folder is None:
        st.session_state.pop(_TOKEN, None)
        if not create:
            return None
        folder = store().create()
    st.session_state[_TOKEN] = folder.token
    return folder


@contextmanager
def cookie_kept() -> Iterator[None]:
    """Around a page: let the browser keep the token, forget it, or say one that it got elsewhere.

    Streamlit knows the cookies of when a tab was opened; one without a folder takes up what another
    tab began since, when it is gone to, so that there are not two and one is lost.
    Before the page where the token is known by then, as a page may take long and be left before
    its end; else after it. A browser without a folder gets no cookie.
    """
    with suppress(CrackError):
        store()  # deletes what is a day old, whoever comes
        own_folder(create=False)
    box = st.container(key="cookie")
    token = _token_to_keep()
    if token is None:
        with box:
            _look_for_cookie(data={"name": COOKIE}, key=_ELSEWHERE, on_token_change=_take_up)
    else:
        _tell_browser(box, token, "before")
    yield
    new_token = _token_to_keep()
    if new_token is not None and new_token != token:
        _tell_browser(box, new_token, "after")


def _take_up() -> None:
    token = st.session_state[_ELSEWHERE].token
    with suppress(CrackError):
        if token and store().open(token):
            st.session_state[_TOKEN] = token


def _token_to_keep() -> str | None:
    """Empty where the browser is to forget it, None where there is nothing to say."""
    return st.session_state.get(_TOKEN) or ("" if st.session_state.get(_ENDED) else None)


def _tell_browser(box: DeltaGenerator, token: str, when: str) -> None:
    max_age_s = int(SESSION_UNUSED_S) if token else 0
    renewed = int(time.time() / _RENEW_EVERY_S)
    with box:
        _set_cookie(
            data={"name": COOKIE, "token": token, "maxAge": max_age_s, "renewed": renewed},
            key=f"session-cookie-{when}",
        )


def show_deletion() -> None:
    """A way to delete all that this session keeps, where it keeps anything; and that it is done."""
    if st.query_params.pop("deleted", None):
        st.toast("Everything of yours was deleted.", icon=":material/check:", duration="long")
    if own_folder(create=False) is None:
        return
    with st.expander("Delete everything of mine", icon=":material/delete_forever:"):
        st.markdown(
            "Deletes your photos, models and runs from this server, ends a run that is under way, "
            "and removes the cookie. This can't be undone."
        )
        st.button("Delete it all", key="delete-everything", type="primary", on_click=_delete_all)


def _delete_all() -> None:
    folder = own_folder(create=False)
    if folder:
        end_session(folder)
        forget_photos(folder)
    st.session_state.clear()
    st.session_state[_ENDED] = True


def _look_after_for_ever(sessions: Store) -> None:
    while True:
        time.sleep(_LOOK_EVERY_S)
        _look_after(sessions)


def _look_after(sessions: Store) -> None:
    """Though nobody has a page open, training that waits begins, and old sessions go."""
    with errors_told(logging.getLogger(__name__).warning):
        advance(sessions)
        sessions.sweep()
