"""Teach the model your own walls: photos in, train, compare, and go on with the better model."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from cracklib.jobs import jobs_of
from ui.errors import errors_told
from ui.navigation import require_router
from ui.own_folder import own_folder
from ui.training.models import show_models
from ui.training.photos import show_photos
from ui.training.run import show_news, show_runs
from ui.training.settings import show_settings


@contextmanager
def part(number: int, title: str) -> Iterator[None]:
    """Inside the box of one part of the story, which may fail without the others."""
    with boxes[number]:
        st.header(f"{number} · {title}", anchor=title.lower().replace(" ", "-"))
        with errors_told(st.error):
            yield


require_router()

st.title("Teach it your walls", anchor=False)
st.markdown(
    "The model is wrong on walls like yours? Give it some of them with the right answer, train, "
    "see whether it got better, and go on inspecting with the better one. Photos and models are "
    "seen by you alone and are deleted a day after your last visit."
)

news = st.container()
boxes = {number: st.container(border=True, key=f"part-{number}") for number in range(1, 5)}

split = None
with part(1, "Photos"):
    split = show_photos(own_folder(create=False))

folder = own_folder(create=False)
if folder:
    with news, errors_told(st.error):
        show_news(folder)
with part(2, "Training"):
    if folder and split:
        show_settings(folder, split)
    else:
        st.caption("Starts once there are enough different photos of both kinds, cracked and not.")

with part(4, "Your models"):
    show_models(folder)

with part(3, "Runs"):  # last, because comparing two models takes a while
    if folder and jobs_of(folder):
        show_runs(folder)
    else:
        st.caption("What you train is seen here while it runs, and compared when it is done.")
