"""The model: its card, and how good it is, drawn from the files of its measurement."""

import streamlit as st

from cracklib.measured import read_heatmaps, read_rendered, read_verdicts
from ui.card import card_rows, rows_html, terms
from ui.errors import errors_told
from ui.failures import show_failures, show_limits
from ui.model import load_inspector, model_in_use, show_model_in_use
from ui.navigation import require_router
from ui.scores import (
    show_curves,
    show_heatmaps,
    show_quality,
    show_reproduction,
)

require_router()
inspector = load_inspector()
card = inspector.card
is_own = model_in_use() is not None

st.title("The model, and how good it is", anchor=False)
show_model_in_use()
st.markdown("What it was made of, what it gets right and wrong, and how to check that yourself.")

st.header("Card", anchor="card")
st.html(rows_html({"Name": card.name} | card_rows(card)))
if not is_own:
    st.markdown(terms(card))

st.header("Verdicts", anchor="verdicts")
verdicts = None
if not is_own:
    with errors_told(st.info):
        verdicts = read_verdicts(card.sha256)
show_quality(card, verdicts)
if verdicts:
    show_curves(verdicts)

if is_own:
    st.markdown(
        "Curves, heatmaps and failures were measured of the bundled model, not of yours; "
        "the *Train* page compares the two, photo by photo."
    )
else:
    st.header("Heat that follows the crack", anchor="heat")
    with errors_told(st.info):
        show_heatmaps(read_heatmaps(card.sha256))

    st.header("Where it fails", anchor="failures")
    with errors_told(st.info):
        show_failures(read_rendered(card.sha256), inspector)
    show_limits()

    st.header("How to get these figures", anchor="reproduce")
    show_reproduction()
